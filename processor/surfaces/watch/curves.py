"""What the profiles look like, for pictures."""

from __future__ import annotations

import math
from contextlib import suppress

from processor.config import Settings
from processor.loop.profiles import base_parameters
from processor.loop.rules import Rules

POINTS = 65
MIDDLE = 0.5  # novelty and volatility that adaptive parameters are drawn for


def default_curves(settings: Settings) -> dict[str, list[float]]:
    """By profile the multiplier over an exploration, `POINTS` values; a custom one that fails has none."""
    curves = {}
    for name, profile in Rules(settings).profiles.items():
        config = settings.profiles
        params = base_parameters(name, config.params_mode, config.params, MIDDLE, MIDDLE)
        values: list[float] = []
        with suppress(Exception):  # whatever a user's code raises: its explorations run as constant ones
            values = [float(profile(1.0, step, POINTS - 1, params)) for step in range(POINTS)]
        curves[name] = values if all(map(math.isfinite, values)) else []
    return curves
