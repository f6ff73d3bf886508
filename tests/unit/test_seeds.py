"""Every Python snippet of the two seed documents runs against the in-process face.

Snippets are kept as close to the documents as running allows: what they leave open (the system state, the web
socket, history) is supplied here.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
import random
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from structlog.testing import capture_logs

from creative_feedback import (
    PROFILE_DEFAULTS,
    QUALITY_MODEL_CONFIG,
    STREAMING_DEFAULTS,
    CreativeFeedbackLoop,
    configure_logging,
)

HIGH = {"novelty": 0.9, "aesthetic_score": 0.6, "volatility": 0.1}
CALM = {"novelty": 0.5, "aesthetic_score": 0.6, "volatility": 0.1}


@pytest.fixture(autouse=True)
def _logging_left_as_found() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


def explore_once(feedback: CreativeFeedbackLoop, gain_to: float = 0.9) -> None:
    """One whole exploration, ending with an aesthetic score of `gain_to`."""
    feedback.update(HIGH)
    while feedback.current_injection is not None:
        feedback.update({**HIGH, "aesthetic_score": gain_to})
    while feedback.get_creative_metrics()["mode"] != "stable":
        feedback.update(CALM)


# Deep dive, 1: entropy profiles


@pytest.mark.parametrize(
    ("state", "profile"),
    [
        ({"volatility": 0.71, "novelty": 0.1}, "exponential_decay"),
        ({"volatility": 0.7, "novelty": 0.29}, "pulse"),
        ({"volatility": 0.7, "novelty": 0.41}, "cosine_ramp"),
        ({"novelty": 0.4}, "constant"),
        ({"novelty": 0.7}, "constant"),
        ({"novelty": 0.3}, "constant"),
    ],
)
def test_profile_selection_follows_the_documented_rule(state: dict[str, float], profile: str) -> None:
    assert CreativeFeedbackLoop()._select_entropy_profile(state) == profile


def test_constant_profile_keeps_the_base_factor() -> None:
    feedback = CreativeFeedbackLoop()
    assert [feedback._get_profile_factor(0.6, step, 10, "constant", {}) for step in range(10)] == [0.6] * 10


def test_usage_example_selects_pulse_and_oscillates() -> None:
    feedback = CreativeFeedbackLoop()
    state = {"novelty": 0.2, "volatility": 0.1}
    result = feedback.inject_entropy(state)
    assert result["action"] == "inject_entropy"
    assert result["profile"] == "pulse"
    duration, base_factor = result["duration"], result["entropy_factor"]
    factors = [
        feedback._get_profile_factor(base_factor, step, duration, "pulse", {"frequency": 3.0})
        for step in range(duration)
    ]
    half = base_factor / 2
    falls = sum(1 for before, after in pairwise(factors) if before > half >= after)
    assert max(factors) == pytest.approx(base_factor, rel=1e-3)
    assert min(factors) == pytest.approx(0.0, abs=1e-3)
    assert falls == 3


# Deep dive, 2: quality model


def test_features_are_the_documented_six() -> None:
    feedback = CreativeFeedbackLoop(max_exploration_steps=200)
    state = {"novelty": 0.8, "aesthetic_score": 0.6, "volatility": 0.2}
    injection = feedback._create_injection(state=state, factor=0.4, duration=50)
    assert list(injection.features) == [0.8, 0.6, 0.2, 0.4, 50 / 200, 0 / 100]


@pytest.mark.parametrize(("weight", "adjustment"), [(0.0, 0.7), (1.0, 1.2), (0.4, 1.0)])
def test_prediction_adjusts_the_factor(weight: float, adjustment: float) -> None:
    state = {"novelty": 0.75, "aesthetic_score": 0.6}
    feedback = CreativeFeedbackLoop(feature_weights=[weight, 0, 0, 0, 0, 0])
    result = feedback.update(state)
    assert result["predicted_gain"] == pytest.approx(weight * 0.75)
    assert result["entropy_factor"] == pytest.approx(result["base_factor"] * adjustment)


def test_the_model_trains_from_twenty_samples_on() -> None:
    feedback = CreativeFeedbackLoop(max_exploration_steps=10, recovery_steps=0)
    for number in range(20):
        assert feedback.quality_model["trained"] is False, number
        explore_once(feedback)
    assert feedback.quality_model["trained"] is True
    assert feedback.quality_model["samples"] == 20


# Deep dive, 3: metric streaming


async def test_streaming_setup_delivers_every_interval() -> None:
    sent: list[dict[str, Any]] = []

    class Websocket:
        async def send(self, text: str) -> None:
            sent.append(json.loads(text))

    websocket = Websocket()

    async def metric_callback(metrics: dict[str, Any]) -> None:
        await websocket.send(json.dumps(metrics))

    feedback = CreativeFeedbackLoop()
    feedback.enable_metric_streaming(callback=metric_callback, interval_steps=10)
    for _ in range(30):
        feedback.update(CALM)
    await feedback.metrics_delivered()
    assert [metric["stream_sequence"] for metric in sent] == [0, 1, 2]
    assert [metric["steps_in_mode"] for metric in sent] == [10, 20, 30]


async def test_streamed_data_has_the_documented_shape() -> None:
    streamed: list[dict[str, Any]] = []
    feedback = CreativeFeedbackLoop()
    feedback.enable_metric_streaming(streamed.append, interval_steps=1)
    feedback.update({**HIGH, "timestamp": "2024-01-10T15:30:45Z"})
    metric = streamed[0]
    assert {
        "mode",
        "steps_in_mode",
        "cumulative_gain",
        "current_injection",
        "performance_trend",
        "timestamp",
        "stream_sequence",
    } <= metric.keys()
    assert {"entropy_factor", "profile", "progress"} <= metric["current_injection"].keys()
    assert metric["performance_trend"].keys() == {"novelty", "aesthetic"}
    assert metric["timestamp"] == "2024-01-10T15:30:45Z"


async def test_prometheus_callback_of_the_deep_dive() -> None:
    registry = CollectorRegistry()
    creativity_gain = Gauge("tori_creativity_gain", "Cumulative creative gain", registry=registry)
    exploration_count = Counter("tori_explorations", "Total explorations", registry=registry)

    async def prometheus_callback(metrics: dict[str, Any]) -> None:
        creativity_gain.set(metrics["cumulative_gain"])
        if metrics["mode"] == "exploring":
            exploration_count.inc()

    feedback = CreativeFeedbackLoop(max_exploration_steps=10, recovery_steps=0)
    feedback.enable_metric_streaming(prometheus_callback, interval_steps=1)
    explore_once(feedback)
    await feedback.metrics_delivered()
    assert registry.get_sample_value("tori_creativity_gain") == pytest.approx(0.15)
    assert registry.get_sample_value("tori_explorations_total") == 10


async def test_complete_integration_example(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("integration")
    sent: list[dict[str, Any]] = []

    class Dashboard:
        async def send(self, text: str) -> None:
            sent.append(json.loads(text))

    dashboard_ws = Dashboard()
    states = [{"novelty": 0.1, "aesthetic_score": 0.6}] * 6

    async def get_system_state() -> dict[str, float]:
        return states.pop(0)

    configure_logging()
    feedback = CreativeFeedbackLoop()

    async def dashboard_streamer(metrics: dict[str, Any]) -> None:
        await dashboard_ws.send(json.dumps({"type": "creativity_update", "data": metrics}))
        if metrics.get("current_injection", {}).get("profile") == "pulse":
            logger.info("Pulse injection active - breaking out of local minimum")

    feedback.enable_metric_streaming(dashboard_streamer, interval_steps=5)
    injected: list[str] = []

    async def creative_loop() -> None:
        while states:
            state = await get_system_state()
            result = feedback.update(state)
            if result["action"] == "inject_entropy":
                assert feedback.current_injection is not None
                injected.append(f"Injecting with profile: {feedback.current_injection.entropy_profile}")
                injected.append(f"Predicted gain: {feedback.quality_model.get('last_prediction', 'N/A')}")
            await asyncio.sleep(0)

    with caplog.at_level(logging.INFO, logger="integration"):
        logging.getLogger().addHandler(caplog.handler)
        await creative_loop()
        await feedback.metrics_delivered()
    assert injected == ["Injecting with profile: pulse", "Predicted gain: 0.3"]
    assert [message["type"] for message in sent] == ["creativity_update"] * 2
    assert "Pulse injection active" in caplog.text


# Deep dive: configuration reference


def test_configuration_reference_is_importable_with_its_values() -> None:
    assert PROFILE_DEFAULTS["cosine_ramp"] == {"ramp_fraction": 0.2}
    assert PROFILE_DEFAULTS["exponential_decay"]["decay_rate"] == 2.0
    assert PROFILE_DEFAULTS["pulse"] == {"frequency": 3.0}
    assert QUALITY_MODEL_CONFIG == {
        "min_samples": 20,
        "max_history": 500,
        "regularization": 0.01,
        "retrain_interval": 10,
    }
    assert STREAMING_DEFAULTS == {"interval_steps": 10, "include_history": False, "include_predictions": True}


# Production guide, 1: setup


def test_installation_snippet() -> None:
    configure_logging(logging.INFO)
    assert logging.getLogger().level == logging.INFO
    creative_feedback = CreativeFeedbackLoop(
        stability_threshold=0.8,
        max_exploration_steps=200,
        recovery_steps=30,
    )
    assert creative_feedback.get_creative_metrics()["mode"] == "stable"


def test_spectral_cortex_integration_applies_creative_entropy() -> None:
    class SpectralCortex:
        def __init__(self, config: Mapping[str, Any]) -> None:
            self.config = config
            self.applied: list[dict[str, Any]] = []
            self.monitored: list[dict[str, Any]] = []
            self.creative_feedback = CreativeFeedbackLoop()
            if self.config.get("enable_creativity_monitoring"):
                self._setup_creativity_monitoring()

        def _setup_creativity_monitoring(self) -> None:
            self.creative_feedback.enable_metric_streaming(self.monitored.append, interval_steps=1)

        def _calculate_aesthetic_score(self, spectral_state: Mapping[str, Any]) -> float:
            return 0.7

        def _calculate_volatility(self) -> float:
            return 0.1

        def _apply_creative_entropy(self, spectral_state: Mapping[str, Any], creative_action: dict[str, Any]) -> None:
            self.applied.append(creative_action)

        def process(self, spectral_state: dict[str, Any]) -> dict[str, Any]:
            creative_state = {
                "novelty": spectral_state.get("novelty", 0.5),
                "aesthetic_score": self._calculate_aesthetic_score(spectral_state),
                "volatility": self._calculate_volatility(),
                "lambda_max": spectral_state.get("lambda_max", 0.0),
                "coherence": spectral_state.get("phase", "local"),
            }
            creative_action = self.creative_feedback.update(creative_state)
            if creative_action["action"] == "inject_entropy":
                self._apply_creative_entropy(spectral_state, creative_action)
            return spectral_state

    cortex = SpectralCortex({"enable_creativity_monitoring": True})
    cortex.process({"phase": "global"})
    cortex.process({"novelty": 0.95})
    assert [action["profile"] for action in cortex.applied] == ["constant"]
    assert [metric["mode"] for metric in cortex.monitored] == ["stable", "exploring"]


# Production guide, 2: profiles


class CustomCreativeFeedback(CreativeFeedbackLoop):
    def _select_entropy_profile(self, state: Mapping[str, Any]) -> str:
        """Custom profile selection for your domain"""
        if state.get("conversation_stalled", False):
            return "pulse"
        if state.get("temperature", 0) > 0.8:
            return "exponential_decay"
        if state.get("user_comfort", 1.0) < 0.5:
            return "cosine_ramp"
        return super()._select_entropy_profile(state)


@pytest.mark.parametrize(
    ("extra", "profile"),
    [
        ({"conversation_stalled": True, "temperature": 0.9}, "pulse"),
        ({"temperature": 0.81, "user_comfort": 0.1}, "exponential_decay"),
        ({"user_comfort": 0.49}, "cosine_ramp"),
        ({"temperature": 0.8, "user_comfort": 0.5}, "constant"),
    ],
)
def test_custom_selection_by_overriding(extra: dict[str, Any], profile: str) -> None:
    assert CustomCreativeFeedback().update({**HIGH, **extra})["profile"] == profile


def sinusoidal_profile(base_factor: float, step: int, total_steps: int, params: Mapping[str, float]) -> float:
    """Smooth sinusoidal variation"""
    amplitude = params.get("amplitude", 0.3)
    frequency = params.get("frequency", 2.0)
    t = step / total_steps
    modulation = 1 + amplitude * np.sin(2 * np.pi * frequency * t)
    return float(base_factor * modulation)


def test_custom_profile_is_registered_instead_of_a_recursive_lambda() -> None:
    class Wavy(CreativeFeedbackLoop):
        def _select_entropy_profile(self, state: Mapping[str, Any]) -> str:
            return "wavy"

    feedback = Wavy()
    feedback.register_profile("wavy", sinusoidal_profile)
    started = feedback.update(HIGH)
    assert started["profile"] == "wavy"
    for step in range(1, 20):
        action = feedback.update(HIGH)
        expected = sinusoidal_profile(started["entropy_factor"], step, started["duration"], {})
        assert action["current_factor"] == pytest.approx(min(1.0, expected))


def test_the_recursive_lambda_of_the_guide_falls_back_to_constant_with_a_warning() -> None:
    feedback: Any = CreativeFeedbackLoop()
    feedback._get_profile_factor = lambda bf, s, ts, p, params: (
        sinusoidal_profile(bf, s, ts, params)
        if p == "sinusoidal"
        else feedback._get_profile_factor(bf, s, ts, p, params)
    )
    with capture_logs():
        action = feedback.update(HIGH)
    assert action["warnings"] == ["profile_error"]
    assert action["current_factor"] == action["entropy_factor"]


# Production guide, 3: quality model


def load_exploration_history() -> list[dict[str, Any]]:
    return [
        {
            "initial_state": {"novelty": 0.1 * (number % 10), "aesthetic_score": 0.5, "volatility": 0.2},
            "entropy_factor": 0.3 + 0.02 * number,
            "duration": 10 + number,
            "final_performance": 0.5,
            "creative_gain": 0.01 * number,
        }
        for number in range(25)
    ]


def pretrain_quality_model(feedback_loop: CreativeFeedbackLoop, historical_data: list[dict[str, Any]]) -> None:
    for record in historical_data:
        injection = feedback_loop._create_injection(
            state=record["initial_state"],
            factor=record["entropy_factor"],
            duration=record["duration"],
        )
        injection.performance_after = record["final_performance"]
        injection.creative_gain = record["creative_gain"]
        feedback_loop._update_quality_model(injection)
    print(f"Pre-trained on {len(historical_data)} historical explorations")


def test_pretraining_from_history_trains_the_model(capsys: pytest.CaptureFixture[str]) -> None:
    creative_feedback = CreativeFeedbackLoop()
    historical = load_exploration_history()
    pretrain_quality_model(creative_feedback, historical)
    assert capsys.readouterr().out == "Pre-trained on 25 historical explorations\n"
    assert creative_feedback.quality_model["trained"] is True
    strong = creative_feedback._predict_creative_gain({"novelty": 0.4, "aesthetic_score": 0.5}, 0.78, 34)
    weak = creative_feedback._predict_creative_gain({"novelty": 0.4, "aesthetic_score": 0.5}, 0.3, 10)
    assert weak < strong <= 1.0


def test_online_learning_configuration_takes_effect() -> None:
    creative_feedback = CreativeFeedbackLoop(max_exploration_steps=10, recovery_steps=0)
    creative_feedback.quality_model["min_samples"] = 10
    creative_feedback.quality_model["regularization"] = 0.1
    creative_feedback.quality_model["feature_weights"] = np.array([0.3, 0.4, -0.2, 0.5, 0.1, 0.05])
    predicted = creative_feedback._predict_creative_gain(HIGH, 0.5, 10)
    assert predicted == pytest.approx(0.3 * 0.9 + 0.4 * 0.6 - 0.2 * 0.1 + 0.5 * 0.5 + 0.1)
    for _ in range(10):
        explore_once(creative_feedback)
    assert creative_feedback.quality_model["trained"] is True


# Production guide, 4: streaming


async def test_websocket_metric_streamer() -> None:
    sent: list[dict[str, Any]] = []

    class Connection:
        async def send(self, text: str) -> None:
            sent.append(json.loads(text))

    class WebSocketMetricStreamer:
        def __init__(self, uri: str = "ws://localhost:8765/creativity") -> None:
            self.uri = uri
            self.ws: Connection | None = None

        async def connect(self) -> None:
            self.ws = Connection()

        async def stream_metric(self, metric: dict[str, Any]) -> None:
            if self.ws:
                await self.ws.send(
                    json.dumps({"type": "creativity_metric", "timestamp": metric["timestamp"], "data": metric})
                )

    streamer = WebSocketMetricStreamer()
    await streamer.connect()
    creative_feedback = CreativeFeedbackLoop()
    creative_feedback.enable_metric_streaming(streamer.stream_metric, interval_steps=10)
    for _ in range(10):
        creative_feedback.update(CALM)
    await creative_feedback.metrics_delivered()
    assert [message["data"]["stream_sequence"] for message in sent] == [0]
    assert sent[0]["timestamp"] == sent[0]["data"]["timestamp"]


async def test_prometheus_metric_handler_counts_completed_explorations() -> None:
    registry = CollectorRegistry()
    creativity_gain = Gauge("tori_creativity_gain", "Cumulative creative gain", registry=registry)
    exploration_duration = Histogram("tori_exploration_duration", "Exploration duration", registry=registry)
    exploration_count = Counter("tori_explorations", "Total explorations", ["profile"], registry=registry)
    current_mode = Gauge("tori_creative_mode", "Current creative mode", ["mode"], registry=registry)

    async def prometheus_metric_handler(metric: dict[str, Any]) -> None:
        creativity_gain.set(metric["cumulative_gain"])
        mode = metric["mode"]
        for m in ["stable", "exploring", "recovering"]:
            current_mode.labels(mode=m).set(1 if m == mode else 0)
        if "completed_injection" in metric:
            inj = metric["completed_injection"]
            exploration_duration.observe(inj["duration_steps"])
            exploration_count.labels(profile=inj["entropy_profile"]).inc()

    creative_feedback = CreativeFeedbackLoop(max_exploration_steps=10, recovery_steps=0)
    creative_feedback.enable_metric_streaming(prometheus_metric_handler, interval_steps=1)
    explore_once(creative_feedback)
    await creative_feedback.metrics_delivered()
    assert registry.get_sample_value("tori_explorations_total", {"profile": "constant"}) == 1
    assert registry.get_sample_value("tori_exploration_duration_sum") == 10
    assert registry.get_sample_value("tori_creative_mode", {"mode": "stable"}) == 1


async def test_structured_log_handler_tells_transitions_starts_and_completions() -> None:
    logger = structlog.get_logger()

    async def structured_log_handler(metric: dict[str, Any]) -> None:
        if "mode_changed" in metric:
            logger.info(
                "creative_mode_transition",
                from_mode=metric["previous_mode"],
                to_mode=metric["mode"],
                cumulative_gain=metric["cumulative_gain"],
            )
        if metric["mode"] == "exploring" and metric.get("just_started"):
            logger.info(
                "creative_exploration_started",
                profile=metric["current_injection"]["entropy_profile"],
                predicted_gain=metric.get("predicted_gain"),
                entropy_factor=metric["current_injection"]["entropy_factor"],
            )
        if "completed_injection" in metric:
            inj = metric["completed_injection"]
            logger.info(
                "creative_exploration_completed",
                actual_gain=inj["creative_gain"],
                duration=inj["duration_steps"],
                profile=inj["entropy_profile"],
            )

    creative_feedback = CreativeFeedbackLoop(max_exploration_steps=10, recovery_steps=0)
    creative_feedback.enable_metric_streaming(structured_log_handler, interval_steps=1)
    with capture_logs() as logs:
        explore_once(creative_feedback)
        await creative_feedback.metrics_delivered()
    assert [entry["event"] for entry in logs] == [
        "creative_mode_transition",
        "creative_exploration_started",
        "creative_mode_transition",
        "creative_exploration_completed",
        "creative_mode_transition",
    ]
    assert logs[1]["predicted_gain"] == 0.3
    assert logs[3]["duration"] == 10


# Production guide, 5: practices


def test_robust_creative_feedback_defaults_and_falls_back() -> None:
    logger = logging.getLogger("robust")

    class RobustCreativeFeedback(CreativeFeedbackLoop):
        def update(self, current_state: Mapping[str, Any]) -> dict[str, Any]:
            state: Any = current_state
            try:
                required_keys = ["novelty", "aesthetic_score"]
                for key in required_keys:
                    if key not in state:
                        logger.warning(f"Missing {key} in state, using default")
                        state[key] = 0.5
                state["novelty"] = np.clip(state.get("novelty", 0.5), 0, 1)
                state["aesthetic_score"] = np.clip(state.get("aesthetic_score", 0.5), 0, 1)
                return super().update(state)
            except Exception as e:
                logger.error(f"Creative feedback error: {e}", exc_info=True)
                return {"action": "maintain", "error": str(e)}

    feedback = RobustCreativeFeedback()
    assert feedback.update({"novelty": 5})["action"] == "inject_entropy"
    assert "warnings" not in feedback.update({"novelty": 0.9, "aesthetic_score": 0.4})
    broken = feedback.update({"novelty": "high"})
    assert broken["action"] == "maintain"
    assert broken["error"]


def test_cached_profile_factor_gives_the_same_actions() -> None:
    plain = CreativeFeedbackLoop()

    @lru_cache(maxsize=1000)
    def cached_profile_factor(profile: str, step: int, total_steps: int, param_tuple: Any) -> float:
        return plain._get_profile_factor(1.0, step, total_steps, profile, dict(param_tuple))

    class Optimized(CreativeFeedbackLoop):
        def _get_profile_factor(
            self, base_factor: float, step: int, total_steps: int, profile: str, params: Mapping[str, float]
        ) -> float:
            param_tuple = tuple(sorted(params.items()))
            return base_factor * cached_profile_factor(profile, step, total_steps, param_tuple)

    optimized = Optimized()
    state = {"novelty": 0.1, "aesthetic_score": 0.6, "timestamp": "t"}
    for _ in range(30):
        assert optimized.update(state) == plain.update(state)
    assert cached_profile_factor.cache_info().currsize == 30


# Production guide, 6: testing in production


def test_ab_testing_creative_feedback_keeps_a_users_group(monkeypatch: pytest.MonkeyPatch) -> None:
    class ABTestingCreativeFeedback(CreativeFeedbackLoop):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.ab_groups = {
                "control": ["constant"],
                "treatment": ["cosine_ramp", "exponential_decay", "pulse"],
            }
            self.user_group: dict[str, str] = {}

        def _select_entropy_profile(self, state: Mapping[str, Any]) -> str:
            user_id = state.get("user_id", "default")
            if user_id not in self.user_group:
                self.user_group[user_id] = random.choice(["control", "treatment"])
            group = self.user_group[user_id]
            if group == "control":
                return "constant"
            return super()._select_entropy_profile(state)

    monkeypatch.setattr(random, "choice", lambda groups: groups[0])
    feedback = ABTestingCreativeFeedback(recovery_steps=0, max_exploration_steps=10)
    assert feedback.update({"novelty": 0.1, "user_id": "u1"})["profile"] == "constant"
    assert feedback.user_group == {"u1": "control"}
    monkeypatch.setattr(random, "choice", lambda groups: groups[1])
    other = ABTestingCreativeFeedback()
    assert other.update({"novelty": 0.1, "user_id": "u2"})["profile"] == "pulse"


@pytest.mark.parametrize(("draw", "profile"), [(0.05, "pulse"), (0.5, "constant")])
def test_gradual_rollout_creative_feedback(monkeypatch: pytest.MonkeyPatch, draw: float, profile: str) -> None:
    class GradualRolloutCreativeFeedback(CreativeFeedbackLoop):
        def __init__(self, *args: Any, enhancement_percentage: float = 0.1, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.enhancement_percentage = enhancement_percentage

        def _should_use_enhancements(self) -> bool:
            return random.random() < self.enhancement_percentage

        def _select_entropy_profile(self, state: Mapping[str, Any]) -> str:
            if self._should_use_enhancements():
                return super()._select_entropy_profile(state)
            return "constant"

        def _predict_creative_gain(self, state: Mapping[str, Any], factor: float, duration: int) -> float:
            if self._should_use_enhancements():
                return super()._predict_creative_gain(state, factor, duration)
            return 0.3

    monkeypatch.setattr(random, "random", lambda: draw)
    feedback = GradualRolloutCreativeFeedback(feature_weights=[2.0, 0, 0, 0, 0, 0])
    result = feedback.update({"novelty": 0.1, "aesthetic_score": 0.6})
    assert result["profile"] == profile
    assert result["predicted_gain"] == pytest.approx(0.2 if draw < 0.1 else 0.3)


# Production guide, 7: debugging


class DebugCreativeFeedback(CreativeFeedbackLoop):
    def __init__(self, *args: Any, debug: bool = True, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.debug = debug

    def inject_entropy(self, base_state: Mapping[str, Any]) -> dict[str, Any]:
        result = super().inject_entropy(base_state)
        if self.debug:
            assert self.current_injection is not None
            print("[DEBUG] Entropy Injection:")
            print(f"  State: {base_state}")
            print(f"  Selected Profile: {self.current_injection.entropy_profile}")
            print(f"  Factor: {result['entropy_factor']}")
            print(f"  Duration: {result['duration']}")
            if self.quality_model["trained"]:
                prediction = self._predict_creative_gain(base_state, result["entropy_factor"], result["duration"])
                print(f"  Predicted Gain: {prediction:.3f}")
        return result


@pytest.mark.parametrize("call", ["update", "inject_entropy"])
def test_debug_mode_prints_every_injection_once(capsys: pytest.CaptureFixture[str], call: str) -> None:
    feedback = DebugCreativeFeedback()
    pretrain_quality_model(feedback, load_exploration_history())
    capsys.readouterr()
    run: Callable[[dict[str, float]], dict[str, Any]] = getattr(feedback, call)
    result = run(HIGH)
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "[DEBUG] Entropy Injection:"
    assert printed[2:5] == [
        "  Selected Profile: constant",
        f"  Factor: {result['entropy_factor']}",
        "  Duration: 200",
    ]
    assert printed[5].startswith("  Predicted Gain: ")
    assert len(printed) == 6
    assert result["reason"] == ("high_novelty" if call == "update" else "forced")


def creativity_health(creative_feedback: CreativeFeedbackLoop) -> dict[str, Any]:
    metrics = creative_feedback.get_creative_metrics()
    health: dict[str, Any] = {
        "status": "healthy",
        "mode": metrics["mode"],
        "cumulative_gain": metrics["cumulative_gain"],
        "exploration_count": len(creative_feedback.injection_history),
        "quality_model_trained": creative_feedback.quality_model["trained"],
        "last_exploration": None,
    }
    if creative_feedback.injection_history:
        last = creative_feedback.injection_history[-1]
        health["last_exploration"] = {
            "profile": last.entropy_profile,
            "gain": last.creative_gain,
            "duration": last.duration_steps,
        }
    if metrics["cumulative_gain"] < 0.1 and len(creative_feedback.injection_history) > 10:
        health["status"] = "degraded"
        health["reason"] = "Low cumulative gain despite multiple explorations"
    return health


def test_health_check_endpoint_payload() -> None:
    feedback = CreativeFeedbackLoop(max_exploration_steps=10, recovery_steps=0)
    assert creativity_health(feedback) == {
        "status": "healthy",
        "mode": "stable",
        "cumulative_gain": 0.0,
        "exploration_count": 0,
        "quality_model_trained": False,
        "last_exploration": None,
    }
    for _ in range(11):
        explore_once(feedback, gain_to=0.5)
    health = creativity_health(feedback)
    assert health["status"] == "degraded"
    assert health["exploration_count"] == 11
    assert math.isclose(health["last_exploration"]["gain"], -0.05)
    assert health["last_exploration"]["duration"] == 10
