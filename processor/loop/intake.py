"""From the state as it arrived to the numbers the loop works with.

`read_state` is the reference for every rule about missing, clamped and broken values; the step takes a
shortcut only where none of them applies.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from numbers import Real
from typing import Any, NamedTuple

from msgspec.structs import asdict

from schemas.events import StateFields

NEUTRAL_SCORE = 0.5


class StateRefused(Exception):
    """The state cannot be used: nothing changes, the action says why (`str` of this, one line)."""


class Reading(NamedTuple):
    """A usable state: scores within [0, 1], `lambda_max` finite, `reported`: aesthetic_score was given."""

    novelty: float
    aesthetic_score: float
    volatility: float
    lambda_max: float
    override: bool
    force: bool
    reported: bool
    warnings: list[str] | None


def read_state(state: Any) -> Reading:
    """The numbers of a state with their warnings; raises `StateRefused`.

    `state` is a `StateFields`, a mapping, or anything else (refused). It is not modified.
    """
    fields = fields_of(state)
    override = fields.get("emergency_override")
    if override is None or override is False:
        override = False
    elif override is not True:
        raise StateRefused("emergency_override is not a boolean")
    warnings: list[str] = []
    given = fields.get("novelty")
    if given is None:
        given = fields.get("novelty_score")
    novelty = _score("novelty", given, NEUTRAL_SCORE, override, warnings)
    given = fields.get("aesthetic_score")
    aesthetic_score = _score("aesthetic_score", given, NEUTRAL_SCORE, override, warnings)
    volatility = _score("volatility", fields.get("volatility"), 0.0, override, warnings)
    lambda_max = _number("lambda_max", fields.get("lambda_max"), 0.0, override, warnings)
    return Reading(
        novelty,
        aesthetic_score,
        volatility,
        lambda_max,
        override,
        fields.get("force_inject") is True,
        given is not None,
        warnings or None,
    )


def fields_of(state: Any) -> Mapping[str, Any]:
    """The state's fields by name; raises `StateRefused` where it is no object."""
    if isinstance(state, StateFields):
        return asdict(state)
    if isinstance(state, Mapping):
        return state
    raise StateRefused("state is not an object")


def finite_number(value: Any) -> float | None:
    """`value` as a float, or None where it is no finite number (booleans are none)."""
    if isinstance(value, bool) or not isinstance(value, Real):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def signals_of(state: Any, reading: Reading) -> dict[str, Any]:
    """What a selector sees: every scalar field as given, the four numbers of the loop as it uses them.

    Null counts as absent, and so does a temperature or user_comfort that is no finite number.
    """
    signals = {
        name: value for name, value in fields_of(state).items() if isinstance(value, (str, bool, int, float, Real))
    }
    for name in ("temperature", "user_comfort"):
        if name in signals and finite_number(signals[name]) is None:
            del signals[name]
    signals["novelty"] = reading.novelty
    signals["aesthetic_score"] = reading.aesthetic_score
    signals["volatility"] = reading.volatility
    signals["lambda_max"] = reading.lambda_max
    return signals


def _number(name: str, given: Any, default: float, override: bool, warnings: list[str]) -> float:
    if given is None:
        return default
    number = finite_number(given)
    if number is not None:
        return number
    if not override:
        raise StateRefused(f"{name} is not a finite number")
    # An emergency must get through, whatever else is broken.
    warnings.append(f"{name}_invalid")
    return default


def _score(name: str, given: Any, default: float, override: bool, warnings: list[str]) -> float:
    if given is None:
        if default:
            warnings.append(f"{name}_missing")
        return default
    score = _number(name, given, default, override, warnings)
    if 0.0 <= score <= 1.0:
        return score
    warnings.append(f"{name}_clamped")
    return 0.0 if score < 0.0 else 1.0
