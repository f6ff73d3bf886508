"""Entropy profiles: how the injected amplitude moves over an exploration.

A profile has the seeds' signature ``f(base_factor, step, total_steps, params) -> factor``; with a base of 1.0
it gives the multiplier m(t), t = step / total_steps.  m does not depend on the amplitude, so the multipliers of
a (profile, duration, parameters) triple are computed once and kept.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Literal

from processor.loop.elementary import exponential, sine_of_turns

Parameters = Mapping[str, float]
Profile = Callable[[float, int, int, Parameters], float]

CONSTANT = "constant"

PROFILE_DEFAULTS: dict[str, dict[str, float]] = {
    "constant": {},
    "cosine_ramp": {"ramp_fraction": 0.2},
    "exponential_decay": {"decay_rate": 2.0, "floor": 0.0},
    "pulse": {"frequency": 3.0},
    "sinusoidal": {"amplitude": 0.3, "frequency": 2.0},
}


def constant(base_factor: float, step: int, total_steps: int, params: Parameters) -> float:
    """The same factor at every step."""
    return base_factor


def cosine_ramp(base_factor: float, step: int, total_steps: int, params: Parameters) -> float:
    """Fade in over the first ``ramp_fraction`` (at most 0.5) of the run, fade out over the last."""
    ramp = min(params["ramp_fraction"], 0.5)
    if ramp <= 0.0:
        return base_factor
    t = step / max(total_steps, 1)
    # (1 - cos x) / 2 is the square of sin(x / 2).
    if t < ramp:
        half = sine_of_turns(t / (4.0 * ramp))
    elif t > 1.0 - ramp:
        half = sine_of_turns((1.0 - t) / (4.0 * ramp))
    else:
        return base_factor
    return base_factor * half * half


def exponential_decay(base_factor: float, step: int, total_steps: int, params: Parameters) -> float:
    """Start strong and fall towards ``floor`` at ``decay_rate`` per run."""
    t = step / max(total_steps, 1)
    floor = params["floor"]
    return base_factor * (floor + (1.0 - floor) * exponential(-params["decay_rate"] * t))


def pulse(base_factor: float, step: int, total_steps: int, params: Parameters) -> float:
    """``frequency`` full bursts between 0 and the base factor."""
    t = step / max(total_steps, 1)
    return base_factor * 0.5 * (1.0 + sine_of_turns(params["frequency"] * t))


def sinusoidal(base_factor: float, step: int, total_steps: int, params: Parameters) -> float:
    """The base factor, swinging by ``amplitude`` around it ``frequency`` times."""
    t = step / max(total_steps, 1)
    return base_factor * (1.0 + params["amplitude"] * sine_of_turns(params["frequency"] * t))


BUILT_IN: dict[str, Profile] = {
    "constant": constant,
    "cosine_ramp": cosine_ramp,
    "exponential_decay": exponential_decay,
    "pulse": pulse,
    "sinusoidal": sinusoidal,
}


def base_parameters(
    name: str,
    mode: Literal["static", "adaptive"],
    overrides: Mapping[str, Mapping[str, float]],
    novelty: float,
    volatility: float,
) -> dict[str, float]:
    """Every parameter of profile `name` with the value to use: defaults, then the mode's, then overrides."""
    params = dict(PROFILE_DEFAULTS.get(name, ()))
    if mode == "adaptive":
        if name == "cosine_ramp":
            params["ramp_fraction"] = 0.25
        elif name == "exponential_decay":
            params["decay_rate"] = 1.0 + 3.0 * volatility
        elif name == "pulse":
            params["frequency"] = 2.0 + 3.0 * (1.0 - novelty)
    params.update(overrides.get(name, ()))
    return params


@lru_cache(maxsize=1024)
def multipliers(name: str, duration_steps: int, params: tuple[tuple[str, float], ...]) -> tuple[float, ...] | None:
    """m at the steps 0 … duration - 1 of a built-in profile; `params` are the sorted items.

    None where extreme parameters make a value that is no finite number.
    """
    profile = BUILT_IN[name]
    mapping = dict(params)
    values = tuple(profile(1.0, step, duration_steps, mapping) for step in range(duration_steps))
    return values if all(map(math.isfinite, values)) else None
