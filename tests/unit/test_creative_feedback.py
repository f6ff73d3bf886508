"""The in-process face: the same loop, the seeds' names."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

import creative_feedback
from creative_feedback import CreativeFeedbackLoop
from processor.errors import ConfigError
from processor.surfaces.callbacks import QUEUE_METRICS
from tests.unit.loop.play import CALM, NOVEL, Play

SHORT: dict[str, Any] = {"max_exploration_steps": 10, "recovery_steps": 1}


def test_public_names_are_the_seeds() -> None:
    assert set(creative_feedback.__all__) == {
        "PROFILE_DEFAULTS",
        "QUALITY_MODEL_CONFIG",
        "STREAMING_DEFAULTS",
        "CreativeFeedbackLoop",
        "Injection",
        "configure_logging",
    }
    for name in creative_feedback.__all__:
        assert hasattr(creative_feedback, name)


def test_actions_are_those_of_the_loop_but_for_the_default_prediction() -> None:
    face = CreativeFeedbackLoop(**SHORT, session_id="s")
    play = Play(loop=SHORT)
    for number in range(200):
        state = {**(NOVEL if number % 9 else CALM), "lambda_max": 0.1 if number % 41 == 40 else 0.0}
        expected = play(state)
        found = face.update({**state, "timestamp": "t"})
        assert found.pop("timestamp") == "t"
        for record in (found, found.get("completed_injection", {})):
            if record.get("predicted_gain") == 0.3:
                record["predicted_gain"] = None
        assert found == expected, number


def test_missing_timestamp_is_stamped_utc_by_the_face() -> None:
    stamped = datetime.fromisoformat(CreativeFeedbackLoop().update(CALM)["timestamp"])
    assert stamped.utcoffset() == timedelta(0)


def test_state_is_not_modified() -> None:
    state = dict(NOVEL)
    feedback = CreativeFeedbackLoop()
    feedback.update(state)
    feedback.inject_entropy(state)
    assert state == NOVEL


@pytest.mark.parametrize("state", [{"novelty": "x"}, [1], None])
@pytest.mark.parametrize("method", ["update", "inject_entropy"])
def test_refused_state_comes_back_as_maintain_with_error(state: Any, method: str) -> None:
    feedback = CreativeFeedbackLoop()
    action = getattr(feedback, method)(state)
    assert action["action"] == "maintain"
    assert action["error"]
    assert feedback.get_creative_metrics()["steps_in_mode"] == 0


def test_inject_entropy_is_an_update_with_force_inject() -> None:
    feedback = CreativeFeedbackLoop(**SHORT)
    assert feedback.inject_entropy(CALM)["reason"] == "forced"
    again = feedback.inject_entropy(CALM)
    assert again["action"] == "continue_exploration"
    assert again["warnings"] == ["force_inject_ignored"]


@pytest.mark.parametrize(
    ("keys", "named"),
    [
        ({"recovery_step": 3}, "recovery_step: unknown key; did you mean recovery_steps"),
        ({"stability_threshold": 2.0}, "loop.stability_threshold"),
        ({"max_exploration_steps": 5}, "max_exploration_steps"),
        ({"selection": "sawtooth"}, "profiles.selection"),
        ({"bootstrap_servers": "x"}, "bootstrap_servers: unknown key"),
    ],
)
def test_wrong_keys_are_configuration_errors_that_name_them(keys: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        CreativeFeedbackLoop(**keys)


def test_any_key_of_the_behaviour_sections_is_taken() -> None:
    feedback = CreativeFeedbackLoop(
        novelty_high=0.95, selection="pulse", min_samples=7, trend_window=5, mode="ab", treatment_share=1.0
    )
    assert feedback.update(NOVEL)["reason"] == "no_trigger"
    action = feedback.inject_entropy(NOVEL)
    assert (action["profile"], action["experiment"]) == ("pulse", {"mode": "ab", "group": "treatment"})
    assert feedback.quality_model["min_samples"] == 7


def test_pretrain_file_trains_the_session_it_names(tmp_path: Path) -> None:
    path = tmp_path / "history.json"
    record = {"initial_state": CALM, "entropy_factor": 0.4, "duration": 20, "creative_gain": 0.2}
    path.write_bytes(msgspec.json.encode({"session_id": "mine", "records": [record] * 20}))
    assert CreativeFeedbackLoop(pretrain_file=str(path), session_id="mine").quality_model["trained"] is True
    assert CreativeFeedbackLoop(pretrain_file=str(path)).quality_model["trained"] is False


# Injections


def test_current_injection_becomes_history_when_it_ends() -> None:
    feedback = CreativeFeedbackLoop(**SHORT)
    started = feedback.update(NOVEL)
    injection = feedback.current_injection
    assert injection is not None
    assert (injection.entropy_profile, injection.entropy_factor, injection.duration_steps) == (
        "constant",
        started["entropy_factor"],
        10,
    )
    assert (injection.creative_gain, injection.status) == (None, "running")
    assert len(feedback.injection_history) == 0
    for _ in range(10):
        last = feedback.update(NOVEL)
    assert feedback.current_injection is None
    assert feedback.injection_history == [injection]
    assert injection.creative_gain == last["completed_injection"]["creative_gain"]
    assert (injection.steps_executed, injection.status) == (10, "completed")


def test_aborted_injection_is_in_the_history_without_a_gain() -> None:
    feedback = CreativeFeedbackLoop(**SHORT)
    feedback.update(NOVEL)
    feedback.update({**NOVEL, "emergency_override": True})
    assert feedback.injection_history[-1].status == "aborted"
    assert feedback.injection_history[-1].creative_gain is None


def test_injection_history_keeps_the_last_hundred() -> None:
    feedback = CreativeFeedbackLoop(max_exploration_steps=10, recovery_steps=0)
    for _ in range(12 * 105):
        feedback.update(NOVEL)
    assert len(feedback.injection_history) == 100
    assert feedback.injection_history[-1].injection_id == "local:104"


def test_history_is_always_kept_in_process() -> None:
    feedback = CreativeFeedbackLoop(stable_patience_steps=0)
    for number in range(1100):
        feedback.update({**CALM, "timestamp": f"t{number}"})
    history = feedback.get_creative_metrics()["performance_history"]
    assert len(history) == 1000
    assert history[0] == {"novelty": 0.5, "aesthetic_score": 0.6, "timestamp": "t100"}


# Overriding


def test_override_that_does_not_call_its_parent_still_injects() -> None:
    class Silent(CreativeFeedbackLoop):
        def inject_entropy(self, base_state: Mapping[str, Any]) -> dict[str, Any]:
            return {}

    action = Silent().update(NOVEL)
    assert (action["action"], action["mode"]) == ("inject_entropy", "exploring")


def test_override_that_raised_leaves_nothing_for_the_next_injection() -> None:
    class Unsteady(CreativeFeedbackLoop):
        steady = False

        def inject_entropy(self, base_state: Mapping[str, Any]) -> dict[str, Any]:
            if not self.steady:
                raise RuntimeError("not today")
            return super().inject_entropy(base_state)

    feedback = Unsteady()
    with pytest.raises(RuntimeError, match="not today"):
        feedback.update(NOVEL)
    feedback.steady = True
    action = feedback.inject_entropy(CALM)
    assert (action["reason"], action["step"]) == ("forced", 2)


def test_overridden_prediction_is_used_and_remembered() -> None:
    seen: list[tuple[Mapping[str, Any], float, int]] = []

    class Optimist(CreativeFeedbackLoop):
        def _predict_creative_gain(self, state: Mapping[str, Any], factor: float, duration: int) -> float:
            seen.append((state, factor, duration))
            return 0.8

    feedback = Optimist()
    assert "last_prediction" not in feedback.quality_model
    action = feedback.update({**NOVEL, "mood": "calm"})
    assert action["predicted_gain"] == 0.8
    assert action["entropy_factor"] == pytest.approx(min(0.9, action["base_factor"] * 1.2))
    assert feedback.quality_model["last_prediction"] == 0.8
    assert seen == [({**NOVEL, "mood": "calm"}, action["base_factor"], 200)]


def test_failing_overrides_fall_back_as_registered_ones_do() -> None:
    class Broken(CreativeFeedbackLoop):
        def _select_entropy_profile(self, state: Mapping[str, Any]) -> str:
            raise RuntimeError("cannot decide")

        def _get_profile_factor(self, *args: Any) -> float:
            return float("nan")

        def _predict_creative_gain(self, *args: Any) -> float:
            raise RuntimeError("cannot predict")

    feedback = Broken()
    with capture_logs() as logs:
        action = feedback.update(NOVEL)
    assert action["profile"] == "constant"
    assert action["warnings"] == ["selector_error", "profile_error"]
    assert action["current_factor"] == action["entropy_factor"]
    assert action["predicted_gain"] == 0.3
    assert [entry["event"] for entry in logs] == [
        "creative_gain_prediction_failed",
        "creative_profile_selection_failed",
        "creative_profile_failed",
    ]


def test_registered_profile_must_be_callable() -> None:
    with pytest.raises(ConfigError, match="wavy"):
        CreativeFeedbackLoop().register_profile("wavy", 3)  # type: ignore[arg-type]


def test_history_without_outcome_teaches_nothing() -> None:
    feedback = CreativeFeedbackLoop()
    injection = feedback._create_injection(state=CALM, factor=0.4, duration=20)
    with pytest.raises(ValueError, match="creative_gain or performance_after"):
        feedback._update_quality_model(injection)
    injection.performance_after = injection.performance_before + 0.25
    feedback._update_quality_model(injection)
    assert feedback._model.samples[6] == 0.25


def test_history_that_is_no_number_teaches_nothing() -> None:
    feedback = CreativeFeedbackLoop(min_samples=1, max_history=1, retrain_interval=1)
    injection = feedback._create_injection(state=CALM, factor=0.4, duration=20)
    injection.creative_gain = 0.2
    feedback._update_quality_model(injection)
    before = feedback._predict_creative_gain(CALM, 0.4, 20)
    for gain in (float("nan"), float("inf")):
        injection.creative_gain = gain
        with pytest.raises(ValueError, match="not finite"):
            feedback._update_quality_model(injection)
    with pytest.raises(ValueError, match="not finite"):
        feedback._create_injection(state=CALM, factor=float("nan"), duration=20)
    injection.creative_gain = 0.2
    feedback._update_quality_model(injection)
    assert feedback._predict_creative_gain(CALM, 0.4, 20) == before


@pytest.mark.parametrize(
    ("key", "value", "error"),
    [
        ("feature_weights", [1, 2, 3], ValueError),
        ("feature_weights", [1, 2, 3, 4, 5, float("nan")], ValueError),
        ("regularization", 0, ValueError),
        ("min_samples", 0, ValueError),
        ("min_samples", 501, ValueError),
        ("retrain_interval", 1.5, ValueError),
        ("trained", True, ValueError),
        ("max_history", 10, ValueError),
        ("learning_rate", 0.1, KeyError),
    ],
)
def test_quality_model_refuses_what_it_cannot_take(key: str, value: Any, error: type[Exception]) -> None:
    model = CreativeFeedbackLoop().quality_model
    with pytest.raises(error, match=key):
        model[key] = value
    with pytest.raises(ValueError, match="cannot be deleted"):
        del model["trained"]


def test_quality_model_reads_as_a_mapping() -> None:
    model = CreativeFeedbackLoop(min_samples=4).quality_model
    assert dict(model) == {
        "trained": False,
        "samples": 0,
        "model_version": 0,
        "min_samples": 4,
        "max_history": 500,
        "regularization": 0.01,
        "retrain_interval": 10,
        "feature_weights": None,
    }
    model["feature_weights"] = range(6)
    assert model["feature_weights"] == (0, 1, 2, 3, 4, 5)
    assert len(model) == 8


def test_debug_goes_to_the_log_too() -> None:
    feedback = CreativeFeedbackLoop(debug=True)
    with capture_logs() as logs:
        action = feedback.update(NOVEL)
    assert logs[0]["event"] == "creative_injection_debug"
    assert logs[0]["features"] == action["debug"]["features"]


# Streaming


def test_callbacks_listen_side_by_side_each_with_its_own_interval_and_sequence() -> None:
    often: list[dict[str, Any]] = []
    seldom: list[dict[str, Any]] = []
    feedback = CreativeFeedbackLoop()
    feedback.enable_metric_streaming(often.append, interval_steps=2)
    feedback.enable_metric_streaming(seldom.append)
    for _ in range(20):
        feedback.update(CALM)
    assert [metric["stream_sequence"] for metric in often] == list(range(10))
    assert [metric["stream_sequence"] for metric in seldom] == [0, 1]
    feedback.update(NOVEL)
    assert often[-1]["just_started"] is True
    assert seldom[-1]["just_started"] is True


def test_interval_zero_is_silence() -> None:
    heard: list[dict[str, Any]] = []
    feedback = CreativeFeedbackLoop()
    feedback.enable_metric_streaming(heard.append, interval_steps=0)
    feedback.update(NOVEL)
    assert heard == []
    with pytest.raises(ValueError, match="interval_steps"):
        feedback.enable_metric_streaming(heard.append, interval_steps=-1)


async def fails(metric: dict[str, Any]) -> None:
    raise RuntimeError("dashboard gone")


def fails_at_once(metric: dict[str, Any]) -> None:
    raise RuntimeError("dashboard gone")


@pytest.mark.parametrize("callback", [fails, fails_at_once])
async def test_errors_of_callbacks_are_logged_and_never_raised(callback: Any) -> None:
    feedback = CreativeFeedbackLoop()
    feedback.enable_metric_streaming(callback, interval_steps=1)
    with capture_logs() as logs:
        assert feedback.update(NOVEL)["action"] == "inject_entropy"
        await feedback.metrics_delivered()
    assert [entry["event"] for entry in logs] == ["creative_metric_callback_failed"]


async def test_slow_coroutine_loses_metrics_beyond_the_queue_and_holds_nothing_up() -> None:
    release = asyncio.Event()
    heard: list[int] = []

    async def slow(metric: dict[str, Any]) -> None:
        await release.wait()
        heard.append(metric["stream_sequence"])

    feedback = CreativeFeedbackLoop()
    feedback.enable_metric_streaming(slow, interval_steps=1)
    with capture_logs() as logs:
        for _ in range(QUEUE_METRICS + 50):
            feedback.update(CALM)
        for _ in range(3):
            await asyncio.sleep(0)
        release.set()
        await feedback.metrics_delivered()
    assert heard == list(range(len(heard)))
    assert QUEUE_METRICS <= len(heard) <= QUEUE_METRICS + 1
    assert {entry["event"] for entry in logs} == {"creative_metric_dropped"}
    assert len(heard) + len(logs) == QUEUE_METRICS + 50


async def test_function_that_returns_a_coroutine_is_awaited() -> None:
    heard: list[int] = []

    async def listen(metric: dict[str, Any]) -> None:
        heard.append(metric["stream_sequence"])

    feedback = CreativeFeedbackLoop()
    feedback.enable_metric_streaming(lambda metric: listen(metric), interval_steps=1)
    feedback.update(CALM)
    await feedback.metrics_delivered()
    assert heard == [0]


def test_coroutine_callbacks_work_where_no_event_loop_runs() -> None:
    heard: list[int] = []

    async def listen(metric: dict[str, Any]) -> None:
        heard.append(metric["stream_sequence"])

    feedback = CreativeFeedbackLoop()
    feedback.enable_metric_streaming(listen, interval_steps=1)
    for _ in range(5):
        feedback.update(CALM)
    asyncio.run(feedback.metrics_delivered())
    assert heard == [0, 1, 2, 3, 4]
    feedback.close()
    gc.collect()
