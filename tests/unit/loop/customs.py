"""Profiles and selectors as a user would write them, loaded by name."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any


def rising(base_factor: float, step: int, total_steps: int, params: Mapping[str, float]) -> float:
    return base_factor * params.get("from", 0.0) + base_factor * step / total_steps


def failing(base_factor: float, step: int, total_steps: int, params: Mapping[str, float]) -> float:
    raise RuntimeError("no factor today")


def not_a_number(base_factor: float, step: int, total_steps: int, params: Mapping[str, float]) -> float:
    return math.nan


def no_number_at_all(base_factor: float, step: int, total_steps: int, params: Mapping[str, float]) -> Any:
    return "much"


def fails_at_step_two(base_factor: float, step: int, total_steps: int, params: Mapping[str, float]) -> float:
    if step == 2:
        raise ValueError("step two")
    return 0.5 * base_factor


def negative(base_factor: float, step: int, total_steps: int, params: Mapping[str, float]) -> float:
    return -base_factor


def exhausted(base_factor: float, step: int, total_steps: int, params: Mapping[str, float]) -> float:
    raise MemoryError


def by_mood(state: Mapping[str, Any]) -> str:
    return "pulse" if state.get("mood") == "restless" else "exponential_decay"


def failing_selector(state: Mapping[str, Any]) -> str:
    raise KeyError("mood")


def unknown_selector(state: Mapping[str, Any]) -> str:
    return "no_such_profile"


def unhashable_selector(state: Mapping[str, Any]) -> Any:
    return ["pulse"]


def meddling_selector(state: dict[str, Any]) -> str:
    state.clear()
    return "pulse"


NOT_CALLABLE = 3
