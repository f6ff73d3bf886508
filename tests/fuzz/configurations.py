"""The configurations that inputs are folded under: each opens code that the others leave shut."""

from __future__ import annotations

from functools import cache
from typing import Any

from processor.config import Settings, settings_from

_QUICK = {"min_exploration_steps": 2, "max_exploration_steps": 8, "recovery_steps": 1, "stable_patience_steps": 2}
_LEARNING = {"min_samples": 2, "max_history": 3, "retrain_interval": 1}

SECTIONS: dict[str, dict[str, dict[str, Any]]] = {
    "default": {},
    "quick": {"loop": _QUICK, "quality": _LEARNING, "streaming": {"interval_steps": 2, "trend_window": 3}},
    "history": {
        "loop": _QUICK,
        "quality": {"feature_weights": [1, 0, 0, 0, 0, 0], "min_samples": 1, "max_history": 2},
        "profiles": {"params_mode": "adaptive", "hints": True},
        "streaming": {"interval_steps": 1, "include_history": True, "trend_window": 20},
        "experiment": {"mode": "ab"},
    },
    "debug": {
        "loop": {**_QUICK, "debug": True},
        "profiles": {"selector": "tests.unit.loop.customs:by_mood"},
        "experiment": {"mode": "rollout", "enhancement_percentage": 0.5},
        "streaming": {"interval_steps": 1},
    },
    "shared": {
        "loop": {**_QUICK, "recovery_steps": 0, "prune_patience_steps": 2},
        "quality": {**_LEARNING, "scope": "shared"},
        "profiles": {"selection": "sinusoidal", "params": {"sinusoidal": {"amplitude": 9.0}}},
        "engine": {"session_ttl": "1h"},
    },
    "narrow": {
        "loop": _QUICK,
        "streaming": {"interval_steps": 0},
        "engine": {"max_event_bytes": 200, "max_event_depth": 4, "session_ttl": "3s"},
    },
}


@cache
def settings_of(name: str) -> Settings:
    """The settings of one configuration."""
    return settings_from(SECTIONS[name])
