"""Modes, in the order in which they are checked."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest

from tests.unit.loop.play import CALM, DULL, NOVEL, Play, outcome

SHORT = {"max_exploration_steps": 10, "recovery_steps": 3}


def test_steps_in_mode_counts_from_one_in_the_first_mode_and_from_zero_after_a_change() -> None:
    play = Play(loop=SHORT)
    assert [action["steps_in_mode"] for action in play.times(2)] == [1, 2]
    assert play(NOVEL)["steps_in_mode"] == 0
    assert [play(NOVEL)["steps_in_mode"] for _ in range(9)] == list(range(1, 10))
    assert play(NOVEL)["steps_in_mode"] == 0
    assert [play()["steps_in_mode"] for _ in range(3)] == [1, 2, 0]
    assert play()["steps_in_mode"] == 1
    assert [action["step"] for action in play.actions] == list(range(1, 18))


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        ({"force_inject": True, "novelty": 0.9}, "forced"),
        ({"novelty": math.nextafter(0.7, 1)}, "high_novelty"),
        ({"novelty": math.nextafter(0.2, 0)}, "low_novelty"),
    ],
)
def test_first_trigger_that_fires_names_the_injection(state: dict[str, float], reason: str) -> None:
    assert outcome(Play()(CALM, **state)) == ("inject_entropy", reason)


@pytest.mark.parametrize("novelty", [0.2, 0.7, 0.5])
def test_triggers_are_strict(novelty: float) -> None:
    assert outcome(Play()(novelty=novelty)) == ("maintain", "no_trigger")


def test_patience_injects_at_the_step_it_names_and_zero_is_never() -> None:
    play = Play(loop={"stable_patience_steps": 3})
    assert [outcome(action)[1] for action in play.times(3)] == ["no_trigger", "no_trigger", "stable_patience"]
    patient = Play(loop={"stable_patience_steps": 0})
    assert {outcome(action)[1] for action in patient.times(500)} == {"no_trigger"}


@pytest.mark.parametrize("duration", [10, 11, 37])
def test_exactly_the_planned_steps_are_injected(duration: int) -> None:
    play = Play(loop={"max_exploration_steps": duration})
    actions = [play(NOVEL)]
    while actions[-1]["mode"] == "exploring":
        actions.append(play(NOVEL))
    assert actions[0]["duration"] == duration
    assert len(actions) - 1 == duration
    assert outcome(actions[-1]) == ("end_exploration", "duration_reached")
    ended = actions[-1]["completed_injection"]
    assert (ended["steps_executed"], ended["duration_steps"]) == (duration, duration)
    assert [action["progress"] for action in actions[:-1]] == [step / duration for step in range(duration)]


def test_actions_carry_what_their_mode_asks_for_and_nothing_else() -> None:
    play = Play(loop=SHORT, quality={"feature_weights": [0.1, 0, 0, 0, 0, 0]})
    common = {"session_id", "action", "mode", "steps_in_mode", "step", "reason", "current_factor", "lambda_multiplier"}
    exploring = common | {"entropy_factor", "profile", "profile_params", "progress", "injection_id"}
    change = {"mode_changed", "previous_mode"}
    assert play().keys() == common
    assert play(NOVEL).keys() == exploring | change | {
        "duration",
        "base_factor",
        "lambda_factor",
        "predicted_gain",
        "just_started",
    }
    assert play(NOVEL).keys() == exploring
    for _ in range(8):
        play(NOVEL)
    assert play(NOVEL).keys() == common | change | {"completed_injection"}
    assert play().keys() == common
    play()
    assert play().keys() == common | change


def test_lambda_multiplier_follows_the_mode() -> None:
    play = Play(loop=SHORT)
    assert play()["lambda_multiplier"] == 1.0
    injected = play(NOVEL)
    assert injected["lambda_multiplier"] == 1 + 0.5 * injected["current_factor"]
    assert injected["lambda_factor"] == 1.5 * injected["entropy_factor"]
    assert play(lambda_max=0.09)["lambda_multiplier"] == 0.5
    assert play()["lambda_multiplier"] == 0.9
    assert [play()["lambda_multiplier"] for _ in range(3)] == [0.9, 0.9, 1.0]


def test_current_factor_is_zero_outside_exploring() -> None:
    play = Play(loop=SHORT)
    for state in (CALM, NOVEL, {**CALM, "lambda_max": 0.1}, CALM, CALM, CALM, CALM):
        action = play(state)
        assert (action["current_factor"] == 0.0) == (action["mode"] != "exploring")


@pytest.mark.parametrize("first", [CALM, NOVEL, None])
def test_emergency_takes_effect_in_its_own_event_from_every_mode(first: dict[str, float] | None) -> None:
    play = Play(loop=SHORT)
    if first is None:  # recovering
        play(emergency_override=True)
        play()
    else:
        play(first)
    before = play.actions[-1]["mode"]
    halted = play(emergency_override=True, novelty=0.9)
    assert outcome(halted) == ("emergency_halt", "emergency_override")
    assert (halted["mode"], halted["previous_mode"], halted["steps_in_mode"]) == ("emergency", before, 0)


def test_lambda_limit_is_strict_and_the_override_is_named_first() -> None:
    play = Play()
    assert play(lambda_max=0.08)["mode"] == "stable"
    assert outcome(play(lambda_max=math.nextafter(0.08, 1))) == ("emergency_halt", "lambda_max")
    assert outcome(play(lambda_max=0.5, emergency_override=True)) == ("emergency_halt", "emergency_override")


def test_emergency_counts_on_while_it_lasts_and_once_per_episode() -> None:
    play = Play()
    play(lambda_max=0.1)
    again = play(lambda_max=0.1)
    assert again["steps_in_mode"] == 1
    assert "mode_changed" not in again
    assert outcome(play(lambda_max=0.04)) == ("emergency_halt", "emergency_hysteresis")
    assert play(lambda_max=0.2)["steps_in_mode"] == 3
    assert play.figures()["emergency_stops"] == 1
    assert outcome(play(lambda_max=math.nextafter(0.04, 0))) == ("recover", "emergency_cleared")
    play(emergency_override=True)
    assert play.figures()["emergency_stops"] == 2


def test_exit_ratio_zero_leaves_as_soon_as_the_emergency_is_over() -> None:
    play = Play(loop={"emergency_exit_ratio": 0})
    play(lambda_max=0.09)
    assert outcome(play(lambda_max=0.08)) == ("recover", "emergency_cleared")


def test_limit_zero_switches_the_lambda_rule_and_its_hysteresis_off() -> None:
    play = Play(loop={"emergency_lambda_max": 0})
    assert play(lambda_max=1e300)["mode"] == "stable"
    play(emergency_override=True)
    assert outcome(play(lambda_max=5)) == ("recover", "emergency_cleared")


def test_aborted_exploration_is_recorded_with_null_gain_and_not_counted() -> None:
    play = Play(loop=SHORT)
    play(NOVEL)
    play(NOVEL)
    ended = play(NOVEL, lambda_max=0.09)["completed_injection"]
    assert (ended["status"], ended["end_reason"]) == ("aborted", "emergency")
    assert (ended["creative_gain"], ended["performance_after"]) == (None, None)
    assert ended["steps_executed"] == 2
    figures = play.figures()
    assert (figures["total_injections"], figures["completed"], figures["aborted"]) == (1, 0, 1)
    assert figures["cumulative_gain"] == 0.0
    assert figures["recent_avg_gain"] is None
    assert play.session.model is None


def test_recovery_ends_at_its_step_and_ignores_triggers() -> None:
    play = Play(loop=SHORT)
    play(emergency_override=True)
    play()
    found = [outcome(play(DULL)) for _ in range(3)]
    assert found == [("recover", "recovering")] * 2 + [("maintain", "recovery_complete")]
    assert outcome(play(DULL)) == ("inject_entropy", "low_novelty")


def test_recovery_of_zero_steps_ends_at_the_next_event() -> None:
    play = Play(loop={"recovery_steps": 0})
    play(emergency_override=True)
    assert outcome(play()) == ("recover", "emergency_cleared")
    assert outcome(play()) == ("maintain", "recovery_complete")


def test_force_inject_outside_stable_warns_by_the_mode_on_arrival() -> None:
    play = Play(loop=SHORT)
    assert "warnings" not in play(force_inject=True, emergency_override=True)
    assert play(force_inject=True, emergency_override=True)["warnings"] == ["force_inject_ignored"]
    assert play(force_inject=True)["warnings"] == ["force_inject_ignored"]
    assert outcome(play(force_inject=True)) == ("recover", "recovering")
    play()
    assert play(force_inject=True)["warnings"] == ["force_inject_ignored"]  # recovery_complete
    assert "warnings" not in play(force_inject=True)
    assert play(force_inject=True)["warnings"] == ["force_inject_ignored"]


@pytest.mark.parametrize("value", [1, "true", [True], {}, 0, False, None])
def test_force_inject_other_than_true_is_false_and_never_refuses(value: object) -> None:
    action = Play()(force_inject=value)
    assert outcome(action) == ("maintain", "no_trigger")
    assert "warnings" not in action


# Baseline and pruning


def test_baseline_is_the_first_reported_score_of_a_stable_row_and_stays() -> None:
    play = Play(loop=SHORT)
    play({"novelty": 0.5})
    assert play.figures()["baseline"] is None
    play(aesthetic_score=0.3, emergency_override=True)
    play(aesthetic_score=0.3)
    for _ in range(3):
        play(aesthetic_score=0.3)  # the last one is recovery_complete
    assert play.figures()["baseline"] is None
    play(aesthetic_score=1.5)
    assert play.figures()["baseline"] == 1.0
    play(aesthetic_score=0.2)
    assert play.figures()["baseline"] == 1.0


def test_baseline_is_set_by_the_event_that_injects() -> None:
    play = Play()
    play(NOVEL)
    assert play.figures()["baseline"] == 0.6


def test_pruning_is_strict_and_recorded() -> None:
    play = Play(loop=SHORT)
    play(aesthetic_score=0.5)
    play(NOVEL)
    floor = 0.8 * 0.5
    assert outcome(play(aesthetic_score=floor)) == ("continue_exploration", "exploring")
    pruned = play(aesthetic_score=math.nextafter(floor, 0))
    assert outcome(pruned) == ("end_exploration", "aesthetic_below_baseline")
    assert pruned["completed_injection"]["status"] == "completed"
    assert pruned["completed_injection"]["steps_executed"] == 2


def test_prune_patience_wants_consecutive_steps_and_missing_scores_leave_the_streak() -> None:
    play = Play(loop={**SHORT, "prune_patience_steps": 2})
    low, high, missing = {"novelty": 0.9, "aesthetic_score": 0.1}, NOVEL, {"novelty": 0.9}
    play()
    play(NOVEL)
    for state in (low, high, missing, low, missing):
        assert play(state)["action"] == "continue_exploration"
    assert outcome(play(low)) == ("end_exploration", "aesthetic_below_baseline")


def test_streak_starts_anew_in_each_exploration() -> None:
    play = Play(loop={"max_exploration_steps": 10, "recovery_steps": 0, "prune_patience_steps": 2})
    low = {"novelty": 0.9, "aesthetic_score": 0.1}
    play()
    play(NOVEL)
    play.times(8, NOVEL)
    play(low)
    assert play(low)["reason"] == "duration_reached"
    play()
    assert play(low)["action"] == "inject_entropy"
    assert play(low)["action"] == "continue_exploration"
    assert play(low)["reason"] == "aesthetic_below_baseline"


def test_without_a_baseline_nothing_is_pruned() -> None:
    play = Play(loop=SHORT)
    play({"novelty": 0.9})
    assert {action["action"] for action in play.times(9, {"novelty": 0.9, "aesthetic_score": 0.0})} == {
        "continue_exploration"
    }


# Refusals


def test_refused_event_changes_nothing_and_counts_no_step() -> None:
    play, twin = Play(loop=SHORT), Play(loop=SHORT)
    for state in (CALM, NOVEL, NOVEL):
        play(state)
        twin(state)
    refused = play(novelty="high")
    assert refused == {
        "session_id": "s",
        "action": "maintain",
        "mode": "exploring",
        "steps_in_mode": 1,
        "step": 3,
        "error": refused["error"],
    }
    assert play.times(30, NOVEL) == twin.times(30, NOVEL)
    assert play.metrics == twin.metrics
    assert play.figures() == twin.figures()


def test_refused_first_event_leaves_a_session_as_new() -> None:
    play = Play(experiment={"mode": "ab"})
    refused = play(novelty=[1])
    assert (refused["mode"], refused["steps_in_mode"], refused["step"]) == ("stable", 0, 0)
    assert "experiment" not in refused
    assert play.session.group is None
    assert play()["step"] == 1


# Gain


def test_gain_is_performance_after_minus_before_and_sums_up() -> None:
    play = Play(loop={**SHORT, "performance_weights": [0.2, 0.5, 0.3]})
    play(novelty=0.8, aesthetic_score=0.4, volatility=0.5)
    play.times(9, NOVEL)
    ended = play(novelty=0.9, aesthetic_score=0.9, volatility=0.1)["completed_injection"]
    before, after = 0.2 * 0.8 + 0.5 * 0.4 - 0.3 * 0.5, 0.2 * 0.9 + 0.5 * 0.9 - 0.3 * 0.1
    assert ended["performance_before"] == pytest.approx(before)
    assert ended["performance_after"] == pytest.approx(after)
    assert ended["creative_gain"] == pytest.approx(after - before)
    assert play.figures()["cumulative_gain"] == ended["creative_gain"]
    assert play.figures()["successful_explorations"] == 1


def test_injection_ids_count_explorations_of_the_session() -> None:
    play = Play("a/b", loop={"max_exploration_steps": 10, "recovery_steps": 0})
    ids = [action["injection_id"] for action in play.times(60, NOVEL) if "just_started" in action]
    assert ids[:3] == ["a/b:0", "a/b:1", "a/b:2"]


def test_modes_follow_only_the_legal_paths() -> None:
    play = Play(loop={**SHORT, "stable_patience_steps": 4})
    for number in range(400):
        play(lambda_max=0.1 if number % 37 == 0 else 0.0, novelty=(number % 10) / 10)
    legal = {
        ("stable", "exploring"),
        ("exploring", "recovering"),
        ("recovering", "stable"),
        ("emergency", "recovering"),
        ("stable", "emergency"),
        ("exploring", "emergency"),
        ("recovering", "emergency"),
    }
    changes = {
        (before["mode"], after["mode"]) for before, after in pairwise(play.actions) if before["mode"] != after["mode"]
    }
    assert changes == legal
