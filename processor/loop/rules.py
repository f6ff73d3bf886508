"""The configuration, compiled: thresholds, registries and rules as the step needs them."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from typing import Any

from processor.config import Settings
from processor.errors import ConfigError
from processor.loop.profiles import BUILT_IN, PROFILE_DEFAULTS, Profile
from processor.loop.quality import ModelRules, ring_capacity
from processor.loop.selection import SelectionRules

HISTORY_POINTS = 1000
POINT_BLOCK = 16  # points in one block of the ring, the unit in which they are stored


class Rules:
    """Everything the loop needs to know about `settings`; raises `ConfigError` naming the key.

    `keep_history` keeps the performance history also where metrics do not carry it (in process).
    """

    def __init__(self, settings: Settings, keep_history: bool = False) -> None:
        loop, quality, streaming, profiles = settings.loop, settings.quality, settings.streaming, settings.profiles
        self.settings = settings
        limit = loop.emergency_lambda_max
        # A limit of 0 switches the lambda rule off, a ratio of 0 the hysteresis.
        self.emergency_limit = limit if limit > 0.0 else math.inf
        self.emergency_exit = loop.emergency_exit_ratio * limit or math.inf
        self.patience_steps = loop.stable_patience_steps or math.inf
        self.weights = loop.performance_weights
        self.model = ModelRules(
            quality.min_samples,
            quality.max_history,
            quality.regularization,
            quality.retrain_interval,
            quality.feature_weights,
        )
        self.keeps_history = keep_history or streaming.include_history
        self.point_window = max(streaming.trend_window, HISTORY_POINTS if self.keeps_history else 0)
        self.point_capacity = ring_capacity(self.point_window, POINT_BLOCK)
        self.profiles = _profiles(settings)
        self.multipliers_known = profiles.params_mode == "static"
        selector = profiles.selector
        self.selection = SelectionRules(
            None if profiles.selection == "auto" else profiles.selection,
            None if selector is None else _resolve("profiles.selector", selector),
            profiles.hints,
            self.profiles,
        )
        # These look at fields of the state beyond the typed ones.
        self.wants_signals = selector is not None or loop.debug


def _profiles(settings: Settings) -> dict[str, Profile]:
    config = settings.profiles
    profiles: dict[str, Profile] = dict(BUILT_IN)
    for name, target in config.custom.items():
        profiles[name] = _resolve(f"profiles.custom.{name}", target)
    if config.selection != "auto" and config.selection not in profiles:
        raise ConfigError(
            f"profiles.selection: no profile {config.selection!r}; known: auto, {', '.join(sorted(profiles))}"
        )
    for name, params in config.params.items():
        if name not in profiles:
            raise ConfigError(f"profiles.params.{name}: no such profile; known: {', '.join(sorted(profiles))}")
        if name in config.custom:
            continue
        for parameter in params:
            if parameter not in PROFILE_DEFAULTS[name]:
                known = ", ".join(PROFILE_DEFAULTS[name]) or "none"
                raise ConfigError(f"profiles.params.{name}.{parameter}: no such parameter; known: {known}")
    return profiles


def _resolve(key: str, target: str) -> Callable[..., Any]:
    module_name, _, function_name = target.partition(":")
    try:
        function: Any = importlib.import_module(module_name)
        for part in function_name.split("."):
            function = getattr(function, part)
    except Exception as error:  # an import runs any code
        raise ConfigError(
            f"{key}: cannot load {target!r} ({error}); put its module in the current folder or on the Python path"
        ) from None
    if not callable(function):
        raise ConfigError(f"{key}: {target!r} is not callable")
    loaded: Callable[..., Any] = function
    return loaded
