"""An exploration's life: the decision to inject, its end, what is learned from it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from msgspec import UNSET

from processor.loop import entropy
from processor.loop.experiment import DEFAULT_PREDICTED_GAIN
from processor.loop.intake import Reading, signals_of
from processor.loop.profiles import BUILT_IN, base_parameters, multipliers
from processor.loop.quality import QualityModel, raw_prediction
from processor.loop.rules import Rules
from processor.loop.selection import Choice, choose_profile
from processor.loop.session import EXPLORING, RECENT_GAINS, STABLE, Exploration, Session
from schemas.actions import Action, CompletedInjection, DebugRecord, EndReason, Reason
from schemas.events import StateEvent

SUCCESS_GAIN = 0.1
MAX_EXPERIENCE = 100
# Only a large min_exploration_steps makes an exploration longer than 300 steps.
MAX_KNOWN_STEPS = 1000
# A number may take twice the place that it had in the event: too many signals would not fit into the action's topic.
MAX_SHOWN_BYTES = 64 * 1024
NUMBER_BYTES = 24  # a double's text at most
LOOP_SIGNALS = ("novelty", "aesthetic_score", "volatility", "lambda_max")


def performance(weights: Sequence[float], novelty: float, aesthetic_score: float, volatility: float) -> float:
    """w·(novelty, aesthetic_score), minus w·volatility."""
    return weights[0] * novelty + weights[1] * aesthetic_score - weights[2] * volatility


def _shown(signals: dict[str, Any]) -> dict[str, Any]:
    """The signals for a debug record; of too many, only the loop's own, and how many there were."""
    size = sum(len(name) + (len(value) if isinstance(value, str) else NUMBER_BYTES) for name, value in signals.items())
    if size <= MAX_SHOWN_BYTES:
        return signals
    return {**{name: signals[name] for name in LOOP_SIGNALS}, "signals_cut": len(signals)}


class Forecast(NamedTuple):
    """w·x as it is and clipped to [0, 1] (None without a model), and the amplitude to use."""

    raw: float | None
    predicted_gain: float | None
    factor: float


class Injector:
    """Decides explorations and learns from them, under one configuration."""

    def __init__(self, rules: Rules, shared_model: QualityModel | None) -> None:
        self.rules = rules
        self.shared_model = shared_model

    def inject(
        self, session: Session, event: StateEvent, reading: Reading, steps: int
    ) -> tuple[Action, list[str] | None]:
        """Start an exploration in a stable session whose trigger fired; the action and all warnings."""
        rules = self.rules
        loop = rules.settings.loop
        n, a, v = reading.novelty, reading.aesthetic_score, reading.volatility
        base = entropy.base_factor(n, a)
        duration = entropy.duration_steps(n, loop.min_exploration_steps, loop.max_exploration_steps)
        forecast = self.forecast(session, event, reading, base, duration)
        factor = forecast.factor
        model = self.model(session)
        choice = self.choose(session, event, reading)
        profile = choice.profile
        params = self.parameters(profile, n, v)
        exploration = Exploration(
            injection_id=f"{session.session_id}:{session.total_injections}",
            profile=profile,
            params=params,
            multipliers=self.known_multipliers(profile, duration, params),
            base_factor=base,
            entropy_factor=factor,
            duration_steps=duration,
            features=self.features(session, reading, factor, duration),
            performance_before=performance(rules.weights, n, a, v),
            predicted_gain=forecast.predicted_gain,
            model_version=0 if model is None else model.version,
        )
        session.exploration = exploration
        session.total_injections += 1
        session.mode = EXPLORING
        session.steps_in_mode = 0
        session.streak = 0
        session.ledger_dirty = True
        multiplier, failure = self.multiplier(exploration, 0)
        current = self.current_factor(exploration, multiplier)
        warnings = [*(reading.warnings or ()), *(code for code in (choice.warning, failure) if code is not None)]
        action = Action(
            session.session_id,
            "inject_entropy",
            EXPLORING,
            0,
            session.step,
            UNSET if event.sequence is None else event.sequence,
            UNSET if event.timestamp is None else event.timestamp,
            self.trigger(reading),
            current,
            1.0 + 0.5 * current,
            exploration.injection_id,
            profile,
            params,
            factor,
            0.0,
            duration,
            base,
            1.5 * factor,
            forecast.predicted_gain,
            True,
            True,
            STABLE,
        )
        if loop.debug:
            action.debug = DebugRecord(
                _shown(signals_of(event.state, reading)),
                self.triggers(reading, steps),
                choice.rule,
                list(self.features(session, reading, base, duration)),
                base,
                factor,
                UNSET if forecast.raw is None else forecast.raw,
            )
        return action, warnings or None

    def trigger(self, reading: Reading) -> Reason:
        """The first trigger that fired, where one did."""
        loop = self.rules.settings.loop
        if reading.force:
            return "forced"
        if reading.novelty > loop.novelty_high:
            return "high_novelty"
        if reading.novelty < loop.novelty_low:
            return "low_novelty"
        return "stable_patience"

    def triggers(self, reading: Reading, steps: int) -> dict[str, dict[str, float | bool]]:
        """Every trigger with its value, its threshold and whether it fired."""
        loop = self.rules.settings.loop
        n = reading.novelty
        return {
            "forced": {"value": reading.force, "fired": reading.force},
            "high_novelty": {"value": n, "threshold": loop.novelty_high, "fired": n > loop.novelty_high},
            "low_novelty": {"value": n, "threshold": loop.novelty_low, "fired": n < loop.novelty_low},
            "stable_patience": {
                "value": steps,
                "threshold": loop.stable_patience_steps,
                "fired": steps >= self.rules.patience_steps,
            },
        }

    def model(self, session: Session) -> QualityModel | None:
        """The model that serves `session`, if there is one yet."""
        return session.model if self.shared_model is None else self.shared_model

    def features(self, session: Session, reading: Reading, factor: float, duration: int) -> tuple[float, ...]:
        """The six inputs of the quality model for an injection of `factor` over `duration` steps."""
        return (
            reading.novelty,
            reading.aesthetic_score,
            reading.volatility,
            factor,
            duration / self.rules.settings.loop.max_exploration_steps,
            min(session.completed, MAX_EXPERIENCE) / MAX_EXPERIENCE,
        )

    def forecast(self, session: Session, event: StateEvent, reading: Reading, base: float, duration: int) -> Forecast:
        """What the model expects of an injection with amplitude `base`, and the amplitude to use."""
        if session.group == "default":
            return Forecast(None, DEFAULT_PREDICTED_GAIN, base)
        model = self.model(session)
        weights = self.rules.model.prior
        if model is not None and model.weights is not None:
            weights = model.weights
        if weights is None:
            return Forecast(None, None, base)
        raw = raw_prediction(weights, self.features(session, reading, base, duration))
        predicted = min(1.0, max(0.0, raw))
        return Forecast(raw, predicted, self.adjusted(base, predicted))

    def adjusted(self, base: float, predicted_gain: float) -> float:
        """The amplitude after the model's adjustment: less where little is expected, more where much is."""
        quality = self.rules.settings.quality
        if predicted_gain < quality.low_gain:
            return entropy.clip_amplitude(base * quality.low_gain_multiplier)
        if predicted_gain > quality.high_gain:
            return entropy.clip_amplitude(base * quality.high_gain_multiplier)
        return base

    @staticmethod
    def current_factor(exploration: Exploration, multiplier: float) -> float:
        """The entropy to apply now, 0 to 1."""
        return min(1.0, max(0.0, exploration.entropy_factor * multiplier))

    def choose(self, session: Session, event: StateEvent, reading: Reading) -> Choice:
        """The profile for this injection."""
        selection = self.rules.selection
        signals = None
        if selection.selector is not None or selection.hints:
            signals = signals_of(event.state, reading)
        return choose_profile(selection, session.group, reading.novelty, reading.volatility, signals)

    def parameters(self, profile: str, novelty: float, volatility: float) -> dict[str, float]:
        """Every parameter of `profile` with the value to use."""
        config = self.rules.settings.profiles
        return base_parameters(profile, config.params_mode, config.params, novelty, volatility)

    def known_multipliers(self, profile: str, duration: int, params: dict[str, float]) -> tuple[float, ...] | None:
        """m at every step, where it is worth keeping: built-in profiles whose parameters repeat, of usual length."""
        built_in = BUILT_IN.get(profile)
        if built_in is None or self.rules.profiles[profile] is not built_in:
            return None
        if not self.rules.multipliers_known or duration > MAX_KNOWN_STEPS:
            return None
        return multipliers(profile, duration, tuple(sorted(params.items())))

    def multiplier(self, exploration: Exploration, step: int) -> tuple[float, str | None]:
        """m at `step`, and a warning code where a custom profile failed and constant stands in."""
        if exploration.multipliers is not None:
            return exploration.multipliers[step], None
        profile = self.rules.profiles.get(exploration.profile)
        if profile is not None:
            try:
                value = float(profile(1.0, step, exploration.duration_steps, dict(exploration.params)))
                if math.isfinite(value):
                    return value, None
            except MemoryError:  # says nothing about the profile: the partition must stop instead
                raise
            except Exception:
                return 1.0, "profile_error"
        return 1.0, "profile_error"

    def learn(self, session: Session, exploration: Exploration) -> None:
        """Give the quality model the sample of a completed exploration."""
        gain = exploration.creative_gain
        if gain is None:
            return
        model = self.shared_model
        if model is None:
            model = session.model
            if model is None:
                model = session.model = QualityModel()
        model.add(self.rules.model, exploration.features, gain)


def complete(session: Session, steps: int, end_reason: EndReason, performance_after: float) -> CompletedInjection:
    """End the running exploration with its gain; the caller changes the mode."""
    exploration = _running(session)
    gain = performance_after - exploration.performance_before
    exploration.creative_gain = gain
    session.completed += 1
    session.cumulative_gain += gain
    session.successful += gain > SUCCESS_GAIN
    session.recent_gains = (*session.recent_gains[1 - RECENT_GAINS :], gain)
    return _ended(session, exploration, steps, end_reason, performance_after)


def abort(session: Session, steps: int) -> CompletedInjection:
    """End the running exploration for an emergency: neither counted nor learned from."""
    session.aborted += 1
    return _ended(session, _running(session), steps, "emergency", None)


def _running(session: Session) -> Exploration:
    exploration = session.exploration
    if exploration is None:
        raise AssertionError(f"session {session.session_id!r} explores without an exploration")
    return exploration


def _ended(
    session: Session,
    exploration: Exploration,
    steps: int,
    end_reason: EndReason,
    performance_after: float | None,
) -> CompletedInjection:
    session.ledger_dirty = True
    exploration.steps_executed = steps
    return CompletedInjection(
        exploration.injection_id,
        exploration.profile,
        exploration.params,
        exploration.base_factor,
        exploration.entropy_factor,
        exploration.duration_steps,
        steps,
        exploration.performance_before,
        performance_after,
        exploration.creative_gain,
        exploration.predicted_gain,
        exploration.model_version,
        list(exploration.features),
        end_reason,
        "aborted" if end_reason == "emergency" else "completed",
    )
