"""The creative feedback loop inside a process: one session, the seeds' names, the same loop as on Kafka.

    feedback = CreativeFeedbackLoop(recovery_steps=30)
    action = feedback.update({"novelty": 0.9, "aesthetic_score": 0.6})

Subclasses may override `_select_entropy_profile`, `_predict_creative_gain`, `_get_profile_factor` and
`inject_entropy`; a state without a timestamp is stamped UTC here, never in the loop.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec
import structlog
from msgspec import UNSET

from processor.config import Settings, all_keys, settings_from
from processor.config.keys import nearest
from processor.errors import ConfigError
from processor.loop import entropy
from processor.loop.experiment import DEFAULT_PREDICTED_GAIN
from processor.loop.figures import creative_metrics
from processor.loop.injection import Forecast, Injector, performance
from processor.loop.intake import Reading, StateRefused, read_state, signals_of
from processor.loop.pretraining import read_pretraining
from processor.loop.profiles import PROFILE_DEFAULTS, Profile
from processor.loop.quality import QualityModel, predicted_gain
from processor.loop.rules import Rules
from processor.loop.selection import Choice
from processor.loop.session import Exploration, Session
from processor.loop.step import FeedbackLoop
from processor.surfaces.callbacks import MetricCallback, MetricSubscription
from processor.surfaces.in_process import Injection, QualityModelView, as_number
from processor.surfaces.logs import configure_logging
from schemas.actions import Action
from schemas.events import StateEvent

__all__ = [
    "PROFILE_DEFAULTS",
    "QUALITY_MODEL_CONFIG",
    "STREAMING_DEFAULTS",
    "CreativeFeedbackLoop",
    "Injection",
    "configure_logging",
]

_DEFAULTS = Settings()
QUALITY_MODEL_CONFIG: dict[str, Any] = {
    name: getattr(_DEFAULTS.quality, name)
    for name in ("min_samples", "max_history", "regularization", "retrain_interval")
}
STREAMING_DEFAULTS: dict[str, Any] = {
    name: getattr(_DEFAULTS.streaming, name) for name in ("interval_steps", "include_history", "include_predictions")
}
MAX_INJECTION_HISTORY = 100

_BEHAVIOUR_SECTIONS = frozenset({"loop", "profiles", "quality", "streaming", "experiment"})

_log = structlog.stdlib.get_logger("creative_feedback")


class CreativeFeedbackLoop:
    """One session's feedback loop.

    Further keys are those of the configuration's behaviour sections without their section, for instance
    ``novelty_high=0.6`` or ``min_samples=10``; raises `ConfigError` on unknown keys and values out of range.
    """

    def __init__(
        self,
        stability_threshold: float = 0.8,
        max_exploration_steps: int = 200,
        recovery_steps: int = 30,
        *,
        session_id: str = "local",
        **keys: Any,
    ) -> None:
        keys |= {
            "stability_threshold": stability_threshold,
            "max_exploration_steps": max_exploration_steps,
            "recovery_steps": recovery_steps,
        }
        self.settings = _settings(keys)
        self._rules = Rules(self.settings, keep_history=True)
        self._session = Session(session_id)
        pretrained = read_pretraining(self._rules)
        scope = None if self.settings.quality.scope == "shared" else session_id
        self._model = pretrained.model(scope) or QualityModel()
        self._loop = FeedbackLoop(self._rules, self._model)
        self._loop.injector = _OverridableInjector(self, self._rules, self._model)
        self._loop.interval_steps = 0  # until somebody listens
        self._subscriptions: list[MetricSubscription] = []
        self._begin_injection: Callable[[], Action] | None = None
        self._direct_injection = False
        self.quality_model = QualityModelView(self._loop.injector, self._model)
        self.current_injection: Injection | None = None
        self.injection_history: list[Injection] = []  # the last MAX_INJECTION_HISTORY that ended

    def update(self, current_state: Mapping[str, Any]) -> dict[str, Any]:
        """Advance by one state; the action as a dict (with ``error``, and nothing changed, where it is refused)."""
        return self._advance(current_state)

    def inject_entropy(self, base_state: Mapping[str, Any]) -> dict[str, Any]:
        """An update with force_inject. Also runs, with the state at hand, at every injection of `update`."""
        begin = self._begin_injection
        if begin is not None:
            self._begin_injection = None
            started: dict[str, Any] = msgspec.to_builtins(begin())
            return started
        self._direct_injection = True
        try:
            forced = isinstance(base_state, Mapping)  # anything else is refused as it is
            return self._advance({**base_state, "force_inject": True} if forced else base_state)
        finally:
            self._direct_injection = False

    def enable_metric_streaming(
        self, callback: MetricCallback, interval_steps: int | None = None
    ) -> MetricSubscription:
        """Call `callback` with a metric every `interval_steps` (default: the configured interval) and at every event.

        Several callbacks may listen, each with its own interval and stream sequence. Coroutine functions run
        through a bounded queue; errors of callbacks are logged.
        """
        interval = self.settings.streaming.interval_steps if interval_steps is None else interval_steps
        subscription = MetricSubscription(callback, interval)
        self._subscriptions.append(subscription)
        self._loop.interval_steps = 1
        return subscription

    async def metrics_delivered(self) -> None:
        """Wait until every metric so far has reached its callback."""
        for subscription in self._subscriptions:
            await subscription.delivered()

    def close(self) -> None:
        """Stop delivering metrics; needed only where coroutine callbacks run without an event loop of yours."""
        for subscription in self._subscriptions:
            subscription.close()
        self._subscriptions.clear()
        self._loop.interval_steps = 0

    def get_creative_metrics(self) -> dict[str, Any]:
        """The session's figures: mode, gains, counts, history, trend."""
        figures: dict[str, Any] = msgspec.to_builtins(creative_metrics(self._session, self._loop))
        return figures

    def register_profile(self, name: str, profile: Profile) -> None:
        """Add a profile ``f(base_factor, step, total_steps, params) -> factor`` under `name`."""
        if not callable(profile):
            raise ConfigError(f"profile {name!r}: {profile!r} is not callable")
        self._rules.profiles[name] = profile

    def _select_entropy_profile(self, state: Mapping[str, Any]) -> str:
        """The name of the profile for an injection in `state`."""
        event = StateEvent(self._session.session_id, None, None, state)
        return Injector.choose(self._loop.injector, self._session, event, read_state(state)).profile

    def _predict_creative_gain(self, state: Mapping[str, Any], factor: float, duration: int) -> float:
        """Predicted gain (0 to 1) of an injection in `state`; 0.3 where there is no model yet."""
        weights = self._model.weights or self._rules.model.prior
        if weights is None or self._session.group == "default":
            return DEFAULT_PREDICTED_GAIN
        reading = read_state(state)
        return predicted_gain(weights, self._loop.injector.features(self._session, reading, factor, duration))

    def _get_profile_factor(
        self, base_factor: float, step: int, total_steps: int, profile: str, params: Mapping[str, float]
    ) -> float:
        """The factor of `profile` at `step`; parameters left out have their defaults. Unknown names: KeyError."""
        return self._rules.profiles[profile](
            base_factor, step, total_steps, {**PROFILE_DEFAULTS.get(profile, {}), **params}
        )

    def _create_injection(self, state: Mapping[str, Any], factor: float, duration: int) -> Injection:
        """A past exploration to learn from, reconstructed; set its outcome, then `_update_quality_model`."""
        reading = read_state(state)
        n, a, v = reading.novelty, reading.aesthetic_score, reading.volatility
        factor = as_number(factor)
        relative_duration = as_number(duration) / self.settings.loop.max_exploration_steps
        return Injection(
            entropy_profile=self._select_entropy_profile(state),
            entropy_factor=factor,
            duration_steps=duration,
            base_factor=entropy.base_factor(n, a),
            performance_before=performance(self._rules.weights, n, a, v),
            features=(n, a, v, factor, relative_duration, 0.0),
            status="history",
        )

    def _update_quality_model(self, injection: Injection) -> None:
        """Give the quality model the sample of `injection`, whose gain or performance_after must be set."""
        gain = injection.creative_gain
        if gain is None:
            if injection.performance_after is None:
                raise ValueError("set creative_gain or performance_after of the injection first")
            gain = injection.performance_after - injection.performance_before
        self._model.add(self._rules.model, injection.features, as_number(gain))

    def _advance(self, state: Any) -> dict[str, Any]:
        event = StateEvent(self._session.session_id, None, _timestamp(state), state)
        running = self.current_injection
        try:
            action, metric = self._loop.step(self._session, event)
        except StateRefused as error:
            refusal = self._loop.refusal(self._session, event, str(error))
            return msgspec.to_builtins(refusal)  # type: ignore[no-any-return]
        if running is not None and action.completed_injection is not UNSET:
            self._record_end(running, action)
        if action.debug is not UNSET:
            _log.info("creative_injection_debug", **msgspec.to_builtins(action.debug))
        if metric is not None:
            figures = msgspec.to_builtins(metric)
            for subscription in self._subscriptions:
                subscription.push(figures, action.step, action.mode_changed is not UNSET)
        return msgspec.to_builtins(action)  # type: ignore[no-any-return]

    def _record_end(self, running: Injection, action: Action) -> None:
        ended = action.completed_injection
        assert ended is not UNSET
        running.steps_executed = ended.steps_executed
        running.performance_after = ended.performance_after
        running.creative_gain = ended.creative_gain
        running.end_reason = ended.end_reason
        running.status = ended.status
        self.injection_history.append(running)
        del self.injection_history[:-MAX_INJECTION_HISTORY]
        self.current_injection = None


class _OverridableInjector(Injector):
    """Asks the face's methods wherever the seeds let a subclass decide."""

    def __init__(self, face: CreativeFeedbackLoop, rules: Rules, model: QualityModel) -> None:
        super().__init__(rules, model)
        self._face = face

    def inject(
        self, session: Session, event: StateEvent, reading: Reading, steps: int
    ) -> tuple[Action, list[str] | None]:
        started: list[tuple[Action, list[str] | None]] = []

        def begin() -> Action:
            started.append(Injector.inject(self, session, event, reading, steps))
            if session.exploration is not None:
                self._face.current_injection = Injection.of(session.exploration)
            return started[0][0]

        if self._face._direct_injection:
            begin()
        else:
            self._face._begin_injection = begin
            try:
                self._face.inject_entropy(event.state)
            finally:  # an override may fail, or not call its parent: the next call must not find this one's
                self._face._begin_injection = None
            if not started:
                begin()
        return started[0]

    def choose(self, session: Session, event: StateEvent, reading: Reading) -> Choice:
        try:
            name = self._face._select_entropy_profile(signals_of(event.state, reading))
            if name in self.rules.profiles:
                return Choice(name, "method")
        except Exception:
            _log.exception("creative_profile_selection_failed")
        return Choice("constant", "method", "selector_error")

    def forecast(self, session: Session, event: StateEvent, reading: Reading, base: float, duration: int) -> Forecast:
        known = super().forecast(session, event, reading, base, duration)
        try:
            predicted = as_number(self._face._predict_creative_gain(signals_of(event.state, reading), base, duration))
        except Exception:
            _log.exception("creative_gain_prediction_failed")
            predicted = DEFAULT_PREDICTED_GAIN if known.predicted_gain is None else known.predicted_gain
        self._face.quality_model.last_prediction = predicted
        if known.raw is None and predicted == DEFAULT_PREDICTED_GAIN:
            return Forecast(None, predicted, base)
        return Forecast(known.raw, predicted, self.adjusted(base, predicted))

    def known_multipliers(self, profile: str, duration: int, params: dict[str, float]) -> tuple[float, ...] | None:
        return None

    def multiplier(self, exploration: Exploration, step: int) -> tuple[float, str | None]:
        try:
            factor = self._face._get_profile_factor(
                1.0, step, exploration.duration_steps, exploration.profile, dict(exploration.params)
            )
            return as_number(factor), None
        except Exception:
            _log.exception("creative_profile_failed", profile=exploration.profile)
            return 1.0, "profile_error"


def _settings(keys: Mapping[str, Any]) -> Settings:
    sections: dict[str, dict[str, Any]] = {}
    places = {
        name.partition(".")[2]: name.partition(".")[0]
        for name in all_keys()
        if name.partition(".")[0] in _BEHAVIOUR_SECTIONS
    }
    for key, value in keys.items():
        if key not in places:
            raise ConfigError(f"{key}: unknown key{nearest(key, places)}")
        sections.setdefault(places[key], {})[key] = value
    return settings_from(sections)


def _timestamp(state: Any) -> str:
    given = state.get("timestamp") if isinstance(state, Mapping) else None
    if isinstance(given, str):
        return given
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
