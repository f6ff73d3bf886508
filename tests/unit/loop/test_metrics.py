"""Streamed metrics and the figures asked for."""

from __future__ import annotations

import pytest

from tests.unit.loop.play import CALM, NOVEL, Play


def test_metrics_come_at_the_interval_and_at_every_event_without_gaps() -> None:
    play = Play(loop={"max_exploration_steps": 10, "recovery_steps": 2}, streaming={"interval_steps": 4})
    steps = []
    for state in [CALM] * 5 + [NOVEL] * 12 + [CALM] * 4:
        before = len(play.metrics)
        play(state)
        if len(play.metrics) > before:
            steps.append(len(play.actions))
    assert steps == [4, 6, 8, 12, 16, 18, 20]
    assert [metric["stream_sequence"] for metric in play.metrics] == list(range(7))


def test_interval_zero_gives_no_metrics_at_all() -> None:
    play = Play(streaming={"interval_steps": 0})
    play(NOVEL)
    play(emergency_override=True)
    assert play.metrics == []
    assert play.session.stream_sequence == 0


def test_event_keys_are_those_of_the_action() -> None:
    play = Play(loop={"max_exploration_steps": 10}, streaming={"interval_steps": 1})
    play()
    play.times(12, NOVEL)
    keys = ("mode_changed", "previous_mode", "just_started", "completed_injection")
    for action, metric in zip(play.actions, play.metrics, strict=True):
        assert {key: metric[key] for key in keys if key in metric} == {
            key: action[key] for key in keys if key in action
        }
        assert (metric["mode"], metric["steps_in_mode"]) == (action["mode"], action["steps_in_mode"])
    assert play.metrics[1]["just_started"] is True
    assert "completed_injection" in play.metrics[-2]


def test_current_injection_is_there_while_exploring_with_the_profile_under_both_names() -> None:
    play = Play(streaming={"interval_steps": 1})
    play()
    assert "current_injection" not in play.metrics[0]
    assert "predicted_gain" not in play.metrics[0]
    action = play(NOVEL)
    assert play.metrics[1]["predicted_gain"] is None
    assert play.metrics[1]["current_injection"] == {
        "entropy_factor": action["entropy_factor"],
        "current_factor": action["current_factor"],
        "profile": "constant",
        "entropy_profile": "constant",
        "progress": 0.0,
    }


def test_predictions_are_left_out_where_not_wanted() -> None:
    play = Play(streaming={"include_predictions": False})
    play(NOVEL)
    assert "predicted_gain" not in play.metrics[0]


@pytest.mark.parametrize("window", [2, 3, 15, 16, 17, 100, 1000])
def test_trend_is_the_slope_from_first_to_last_point_of_the_window(window: int) -> None:
    play = Play(loop={"stable_patience_steps": 0}, streaming={"interval_steps": 1, "trend_window": window})
    points = [(0.3 + 0.001 * (number * 7 % 300), 0.4 + 0.001 * (number * 11 % 500)) for number in range(150)]
    for number, (novelty, aesthetic) in enumerate(points):
        play(novelty=novelty, aesthetic_score=aesthetic)
        known = points[max(0, number + 1 - window) : number + 1]
        trend = play.metrics[-1]["performance_trend"]
        if len(known) < 2:
            assert trend == {"novelty": 0.0, "aesthetic": 0.0}
        else:
            assert trend["novelty"] == (known[-1][0] - known[0][0]) / (len(known) - 1)
            assert trend["aesthetic"] == (known[-1][1] - known[0][1]) / (len(known) - 1)


def test_history_holds_the_last_thousand_points_this_event_included() -> None:
    play = Play(loop={"stable_patience_steps": 0}, streaming={"interval_steps": 1, "include_history": True})
    for number in range(1040):
        play(novelty=0.3 + number / 4000)
        history = play.metrics[-1]["performance_history"]
        assert len(history) == min(number + 1, 1000)
        assert history[-1] == {"novelty": 0.3 + number / 4000, "aesthetic_score": 0.6}
    assert history[0]["novelty"] == 0.3 + 40 / 4000


def test_history_is_of_clamped_and_defaulted_values() -> None:
    play = Play(streaming={"interval_steps": 1, "include_history": True})
    play({"novelty": 1.5})
    assert play.metrics[0]["performance_history"] == [{"novelty": 1.0, "aesthetic_score": 0.5}]


def test_figures_of_a_new_session() -> None:
    assert Play().figures() == {
        "mode": "stable",
        "steps_in_mode": 0,
        "performance_history": [],
        "current_injection": None,
        "cumulative_gain": 0.0,
        "performance_trend": {"novelty": 0.0, "aesthetic": 0.0},
        "total_injections": 0,
        "completed": 0,
        "aborted": 0,
        "successful_explorations": 0,
        "success_rate": 0.0,
        "recent_avg_gain": None,
        "emergency_stops": 0,
        "baseline": None,
    }


def test_figures_sum_up_explorations() -> None:
    play = Play(loop={"max_exploration_steps": 10, "recovery_steps": 0})
    gains = []
    for number in range(14):
        play(NOVEL)
        play.times(9, NOVEL)
        ended = play(NOVEL, aesthetic_score=0.6 + 0.03 * number)["completed_injection"]
        gains.append(ended["creative_gain"])
        play()
    figures = play.figures()
    assert figures["completed"] == figures["total_injections"] == 14
    assert figures["successful_explorations"] == sum(gain > 0.1 for gain in gains)
    assert figures["success_rate"] == figures["successful_explorations"] / 14
    assert figures["recent_avg_gain"] == pytest.approx(sum(gains[-10:]) / 10)
    assert figures["cumulative_gain"] == pytest.approx(sum(gains))


def test_figures_show_the_exploration_in_progress() -> None:
    play = Play(profiles={"selection": "pulse"})
    play(NOVEL)
    action = play(NOVEL)
    current = play.figures()["current_injection"]
    assert current["current_factor"] == action["current_factor"]
    assert current["progress"] == action["progress"]


def test_debug_record_tells_what_the_injection_was_made_of() -> None:
    play = Play(loop={"debug": True}, quality={"feature_weights": [2, 0, 0, 0, 0, 0]})
    action = play({**NOVEL, "mood": "calm"})
    debug = action["debug"]
    assert debug["state"] == {**NOVEL, "mood": "calm"}
    assert debug["triggers"]["high_novelty"] == {"value": 0.9, "threshold": 0.7, "fired": True}
    assert debug["triggers"]["stable_patience"] == {"value": 1, "threshold": 50, "fired": False}
    assert debug["profile_rule"] == "default"
    assert debug["raw_prediction"] == pytest.approx(1.8)
    assert (debug["base_factor"], debug["final_factor"]) == (action["base_factor"], action["entropy_factor"])
    assert debug["features"][3] == action["base_factor"]
    assert "debug" not in play(NOVEL)
