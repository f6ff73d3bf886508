"""The loop once more, as plainly as it can be said: dictionaries, no shortcuts, nothing cached.

It exists to be compared with: a stream through both must give the same actions and metrics. It knows JSON states of
one partition without expiry; the wire is not its business.
"""

from __future__ import annotations

import hashlib
import json
import math
from fractions import Fraction
from typing import Any

from processor.config import Settings

State = dict[str, Any]


class Refused(Exception):
    """The state is not usable."""


def clip(value: float, low: float, high: float) -> float:
    return max(low, min(high, value))


def is_number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(float(value))
    except OverflowError:
        return False


def read(state: Any) -> tuple[dict[str, float], list[str], bool, bool]:
    """Numbers, warnings, override, whether aesthetic_score was given."""
    if not isinstance(state, dict):
        raise Refused
    override = state.get("emergency_override")
    if override not in (None, True, False) or (isinstance(override, int | float) and not isinstance(override, bool)):
        raise Refused
    raw = {name: state.get(name) for name in ("novelty", "aesthetic_score", "volatility", "lambda_max")}
    if raw["novelty"] is None:
        raw["novelty"] = state.get("novelty_score")
    numbers, warnings = {}, []
    for name, default in {"novelty": 0.5, "aesthetic_score": 0.5, "volatility": 0.0, "lambda_max": 0.0}.items():
        value = raw[name]
        if value is None:
            numbers[name] = default
            if default:
                warnings.append(f"{name}_missing")
        elif not is_number(value):
            if not override:
                raise Refused
            numbers[name] = default
            warnings.append(f"{name}_invalid")
        elif name != "lambda_max" and not 0 <= value <= 1:
            numbers[name] = clip(float(value), 0.0, 1.0)
            warnings.append(f"{name}_clamped")
        else:
            numbers[name] = float(value)
    return numbers, warnings, bool(override), raw["aesthetic_score"] is not None


def multiplier(name: str, t: float, p: dict[str, float]) -> float:
    if name == "cosine_ramp":
        r = min(p["ramp_fraction"], 0.5)
        if r <= 0:
            return 1.0
        if t < r:
            return (1 - math.cos(math.pi * t / r)) / 2
        if t > 1 - r:
            return (1 + math.cos(math.pi * (t - 1 + r) / r)) / 2
        return 1.0
    if name == "exponential_decay":
        return p["floor"] + (1 - p["floor"]) * math.exp(-p["decay_rate"] * t)
    if name == "pulse":
        return (1 + math.sin(2 * math.pi * p["frequency"] * t)) / 2
    if name == "sinusoidal":
        return 1 + p["amplitude"] * math.sin(2 * math.pi * p["frequency"] * t)
    return 1.0


def ridge(samples: list[tuple[list[float], float]], regularization: float, prior: list[float]) -> list[float]:
    """Exact rational elimination."""
    rows = []
    for i in range(6):
        row = [sum((Fraction(x[i]) * Fraction(x[j]) for x, _ in samples), Fraction()) for j in range(6)]
        row[i] += Fraction(regularization)
        right = sum((Fraction(x[i]) * Fraction(y) for x, y in samples), Fraction())
        rows.append([*row, right + Fraction(regularization) * Fraction(prior[i])])
    for i in range(6):
        pivot = rows[i][i]
        rows[i] = [value / pivot for value in rows[i]]
        for j in range(6):
            if j != i:
                factor = rows[j][i]
                rows[j] = [a - factor * b for a, b in zip(rows[j], rows[i], strict=True)]
    return [float(row[6]) for row in rows]


class PlainModel:
    def __init__(self, settings: Settings) -> None:
        self.quality = settings.quality
        self.samples: list[tuple[list[float], float]] = []
        self.since_fit = 0
        self.version = 0
        self.weights = None if self.quality.feature_weights is None else list(self.quality.feature_weights)

    def add(self, x: list[float], gain: float) -> None:
        self.samples = [*self.samples, (x, gain)][-self.quality.max_history :]
        self.since_fit += 1
        if self.since_fit == (self.quality.retrain_interval if self.version else self.quality.min_samples):
            prior = list(self.quality.feature_weights or [0.0] * 6)
            self.weights = ridge(self.samples, self.quality.regularization, prior)
            self.version += 1
            self.since_fit = 0


class PlainSession:
    def __init__(self, name: str, model: PlainModel) -> None:
        self.name = name
        self.model = model
        self.mode = "stable"
        self.in_mode = self.step = self.finished = self.injections = self.stream = self.streak = 0
        self.baseline: float | None = None
        self.gain = 0.0
        self.points: list[tuple[float, float, str | None]] = []
        self.run: State = {}
        self.group: str | None = None


class PlainLoop:
    """Any number of sessions under one configuration."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.sessions: dict[str, PlainSession] = {}
        self.shared = PlainModel(settings) if settings.quality.scope == "shared" else None

    def update(self, name: str, state: Any, timestamp: str | None) -> tuple[State, State | None]:
        stamp = {} if timestamp is None else {"timestamp": timestamp}
        known = self.sessions.get(name)
        session = known or PlainSession(name, self.shared or PlainModel(self.settings))
        try:
            x, warnings, override, reported = read(state)
        except Refused:
            place = {"mode": session.mode, "steps_in_mode": session.in_mode, "step": session.step}
            return {"session_id": name, **stamp, "action": "maintain", **place, "error": "refused"}, None
        self.sessions[name] = session
        action = self.valid(session, state, x, warnings, override, reported)
        action = {"session_id": name, **stamp, **action}
        return action, self.metric(session, action, stamp)

    def valid(
        self, s: PlainSession, state: State, x: dict[str, float], warnings: list[str], override: bool, reported: bool
    ) -> State:
        loop = self.settings.loop
        n, a, lam = x["novelty"], x["aesthetic_score"], x["lambda_max"]
        arrived = s.mode
        s.step += 1
        s.in_mode += 1
        self.assign(s, state)
        force = state.get("force_inject") is True
        if force and arrived != "stable":
            warnings.append("force_inject_ignored")
        extra: State = {}
        limit = loop.emergency_lambda_max
        if override or (limit > 0 and lam > limit):
            reason = "emergency_override" if override else "lambda_max"
            name, mode = "emergency_halt", "emergency"
            if arrived == "exploring":
                extra["completed_injection"] = self.end(s, None, "emergency")
        elif arrived == "emergency":
            if limit > 0 and loop.emergency_exit_ratio > 0 and lam >= loop.emergency_exit_ratio * limit:
                name, reason, mode = "emergency_halt", "emergency_hysteresis", "emergency"
            else:
                name, reason, mode = "recover", "emergency_cleared", "recovering"
        elif arrived == "stable":
            if reported and s.baseline is None:
                s.baseline = a
            triggers = [
                ("forced", force),
                ("high_novelty", n > loop.novelty_high),
                ("low_novelty", n < loop.novelty_low),
                ("stable_patience", 0 < loop.stable_patience_steps <= s.in_mode),
            ]
            fired = [code for code, fires in triggers if fires]
            if fired:
                name, reason, mode = "inject_entropy", fired[0], "exploring"
                extra |= self.inject(s, state, x)
            else:
                name, reason, mode = "maintain", "no_trigger", "stable"
        elif arrived == "exploring":
            if s.baseline is not None and reported:
                s.streak = s.streak + 1 if a < loop.stability_threshold * s.baseline else 0
            if s.in_mode >= s.run["duration"]:
                reason = "duration_reached"
            elif s.streak >= loop.prune_patience_steps:
                reason = "aesthetic_below_baseline"
            else:
                reason = "exploring"
            name, mode = "continue_exploration", "exploring"
            if reason != "exploring":
                name, mode = "end_exploration", "recovering"
                extra["completed_injection"] = self.end(s, x, reason)
        elif s.in_mode >= loop.recovery_steps:
            name, reason, mode = "maintain", "recovery_complete", "stable"
        else:
            name, reason, mode = "recover", "recovering", "recovering"
        s.mode = mode
        if mode != arrived:
            s.in_mode = 0
            extra |= {"mode_changed": True, "previous_mode": arrived}
        factor = 0.0
        if mode == "exploring":
            run = s.run
            t = s.in_mode / max(run["duration"], 1)
            factor = clip(run["factor"] * multiplier(run["profile"], t, run["params"]), 0.0, 1.0)
            extra |= {
                "entropy_factor": run["factor"],
                "profile": run["profile"],
                "profile_params": run["params"],
                "progress": s.in_mode / run["duration"],
                "injection_id": run["id"],
            }
        lambdas = {"exploring": 1 + 0.5 * factor, "recovering": 0.9, "emergency": 0.5, "stable": 1.0}
        s.points.append((n, a, None))
        action = {
            "action": name,
            "reason": reason,
            "mode": mode,
            "steps_in_mode": s.in_mode,
            "step": s.step,
            "current_factor": factor,
            "lambda_multiplier": lambdas[mode],
            **extra,
        }
        if warnings:
            action["warnings"] = warnings
        if s.group is not None:
            action["experiment"] = {"mode": self.settings.experiment.mode, "group": s.group}
        return action

    def assign(self, s: PlainSession, state: State) -> None:
        experiment = self.settings.experiment
        if experiment.mode == "off" or s.group is not None:
            return
        user = state.get("user_id")
        unit = s.name if user is None else user if isinstance(user, str) else json.dumps(user)
        digest = hashlib.blake2b((experiment.salt + ":" + unit).encode(), digest_size=64).digest()
        u = int.from_bytes(digest[:8], "big") / 2**64
        if experiment.mode == "ab":
            s.group = "treatment" if u < experiment.treatment_share else "control"
        else:
            s.group = "enhanced" if u < experiment.enhancement_percentage else "default"

    def profile(self, s: PlainSession, state: State, x: dict[str, float]) -> str:
        profiles = self.settings.profiles
        if s.group in ("control", "default"):
            return "constant"
        if profiles.selection != "auto":
            return profiles.selection
        if profiles.hints:
            temperature, comfort = state.get("temperature"), state.get("user_comfort")
            if state.get("conversation_stalled") is True:
                return "pulse"
            if is_number(temperature) and temperature > 0.8:  # type: ignore[operator]
                return "exponential_decay"
            if is_number(comfort) and comfort < 0.5:  # type: ignore[operator]
                return "cosine_ramp"
        if x["volatility"] > 0.7:
            return "exponential_decay"
        if x["novelty"] < 0.3:
            return "pulse"
        return "cosine_ramp" if 0.4 < x["novelty"] < 0.7 else "constant"

    def params(self, name: str, x: dict[str, float]) -> dict[str, float]:
        adaptive = self.settings.profiles.params_mode == "adaptive"
        n, v = x["novelty"], x["volatility"]
        params: dict[str, dict[str, float]] = {
            "constant": {},
            "cosine_ramp": {"ramp_fraction": 0.25 if adaptive else 0.2},
            "exponential_decay": {"decay_rate": 1 + 3 * v if adaptive else 2.0, "floor": 0.0},
            "pulse": {"frequency": 2 + 3 * (1 - n) if adaptive else 3.0},
            "sinusoidal": {"amplitude": 0.3, "frequency": 2.0},
        }
        return params[name] | self.settings.profiles.params.get(name, {})

    def performance(self, x: dict[str, float]) -> float:
        w = self.settings.loop.performance_weights
        return w[0] * x["novelty"] + w[1] * x["aesthetic_score"] - w[2] * x["volatility"]

    def inject(self, s: PlainSession, state: State, x: dict[str, float]) -> State:
        loop, quality = self.settings.loop, self.settings.quality
        n, a, v = x["novelty"], x["aesthetic_score"], x["volatility"]
        base = (0.3 + 0.4 * n) * (1 + 0.5 * (a - 0.5)) * (0.5 + 0.5 * max(0, 1 - abs(0.6 - n)))
        base = clip(base, 0.1, 0.9)
        planned = 100 + math.trunc(200 * n)
        duration = max(loop.min_exploration_steps, min(loop.max_exploration_steps, planned))
        features = [n, a, v, base, duration / loop.max_exploration_steps, min(s.finished, 100) / 100]
        predicted, factor = None, base
        if s.group == "default":
            predicted = 0.3
        elif s.model.weights is not None:
            predicted = clip(sum(w * f for w, f in zip(s.model.weights, features, strict=True)), 0.0, 1.0)
            if predicted < quality.low_gain:
                factor = clip(base * quality.low_gain_multiplier, 0.1, 0.9)
            elif predicted > quality.high_gain:
                factor = clip(base * quality.high_gain_multiplier, 0.1, 0.9)
        profile = self.profile(s, state, x)
        s.run = {
            "id": f"{s.name}:{s.injections}",
            "profile": profile,
            "params": self.params(profile, x),
            "base": base,
            "factor": factor,
            "duration": duration,
            "before": self.performance(x),
            "predicted": predicted,
            "version": s.model.version,
            "features": [*features[:3], factor, *features[4:]],
        }
        s.injections += 1
        s.streak = 0
        return {
            "duration": duration,
            "base_factor": base,
            "lambda_factor": 1.5 * factor,
            "predicted_gain": predicted,
            "just_started": True,
        }

    def end(self, s: PlainSession, x: dict[str, float] | None, reason: str) -> State:
        run = s.run
        after = None if x is None else self.performance(x)
        gain = None if after is None else after - run["before"]
        if gain is not None:
            s.finished += 1
            s.gain += gain
            s.model.add(run["features"], gain)
        return {
            "injection_id": run["id"],
            "entropy_profile": run["profile"],
            "profile_params": run["params"],
            "base_factor": run["base"],
            "entropy_factor": run["factor"],
            "duration_steps": run["duration"],
            "steps_executed": s.in_mode,
            "performance_before": run["before"],
            "performance_after": after,
            "creative_gain": gain,
            "predicted_gain": run["predicted"],
            "model_version": run["version"],
            "features": run["features"],
            "end_reason": reason,
            "status": "aborted" if gain is None else "completed",
        }

    def metric(self, s: PlainSession, action: State, stamp: State) -> State | None:
        streaming = self.settings.streaming
        s.points[-1] = (*s.points[-1][:2], stamp.get("timestamp"))
        if not streaming.interval_steps:
            return None
        if s.step % streaming.interval_steps and "mode_changed" not in action:
            return None
        window = s.points[-streaming.trend_window :]
        between = max(1, len(window) - 1)
        metric: State = {
            "session_id": s.name,
            **stamp,
            "mode": s.mode,
            "steps_in_mode": s.in_mode,
            "cumulative_gain": s.gain,
            "performance_trend": {
                "novelty": (window[-1][0] - window[0][0]) / between,
                "aesthetic": (window[-1][1] - window[0][1]) / between,
            },
            "stream_sequence": s.stream,
        }
        s.stream += 1
        if s.mode == "exploring":
            names = ("entropy_factor", "current_factor", "profile", "progress")
            metric["current_injection"] = {name: action[name] for name in names}
            metric["current_injection"]["entropy_profile"] = action["profile"]
            if streaming.include_predictions:
                metric["predicted_gain"] = s.run["predicted"]
        if streaming.include_history:
            metric["performance_history"] = [
                {"novelty": n, "aesthetic_score": a} | ({} if at is None else {"timestamp": at})
                for n, a, at in s.points[-1000:]
            ]
        for name in ("mode_changed", "previous_mode", "just_started", "completed_injection"):
            if name in action:
                metric[name] = action[name]
        return metric
