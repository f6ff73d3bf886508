"""From the state as given to the numbers used: missing, clamped, broken."""

from __future__ import annotations

import copy
import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.loop.intake import StateRefused, read_state, signals_of
from schemas.events import StateFields
from tests.unit.loop.play import CALM, Play

BROKEN = ["0.5", True, False, [0.5], {"value": 0.5}, math.nan, math.inf, -math.inf, 10**400, -(10**400)]
NUMBERS = ("novelty", "aesthetic_score", "volatility", "lambda_max")


@pytest.mark.parametrize("state", [{}, dict.fromkeys(NUMBERS), {"novelty_score": None}])
def test_missing_and_null_scores_have_defaults_and_the_named_warnings(state: dict[str, Any]) -> None:
    reading = read_state(state)
    assert reading[:4] == (0.5, 0.5, 0.0, 0.0)
    assert reading.warnings == ["novelty_missing", "aesthetic_score_missing"]
    assert reading.reported is False


@pytest.mark.parametrize(("given_score", "used"), [(-0.1, 0.0), (1.1, 1.0), (5, 1.0), (-3, 0.0)])
@pytest.mark.parametrize("name", ["novelty", "aesthetic_score", "volatility"])
def test_scores_outside_the_unit_interval_are_clamped_with_a_warning(
    name: str, given_score: float, used: float
) -> None:
    reading = read_state({**CALM, name: given_score})
    assert getattr(reading, name) == used
    assert reading.warnings == [f"{name}_clamped"]


@pytest.mark.parametrize("lambda_max", [-5.0, 0.0, 12.5, 1e308])
def test_lambda_max_is_never_clamped(lambda_max: float) -> None:
    reading = read_state({**CALM, "lambda_max": lambda_max})
    assert reading.lambda_max == lambda_max
    assert reading.warnings is None


@pytest.mark.parametrize("value", BROKEN, ids=repr)
@pytest.mark.parametrize("name", NUMBERS)
def test_what_is_no_finite_number_refuses_the_event(name: str, value: Any) -> None:
    with pytest.raises(StateRefused, match=f"{name} is not a finite number"):
        read_state({**CALM, name: value})


@pytest.mark.parametrize("value", BROKEN, ids=repr)
@pytest.mark.parametrize("name", NUMBERS)
def test_override_wins_over_broken_numbers(name: str, value: Any) -> None:
    reading = read_state({**CALM, name: value, "emergency_override": True})
    assert reading.override is True
    assert reading.warnings == [f"{name}_invalid"]
    assert getattr(reading, name) == {"novelty": 0.5, "aesthetic_score": 0.5}.get(name, 0.0)


@pytest.mark.parametrize("value", [0, 1, 1.0, "true", "", [], [True], {}])
def test_override_of_another_type_refuses_the_event(value: Any) -> None:
    with pytest.raises(StateRefused, match="emergency_override"):
        read_state({**CALM, "emergency_override": value})


@pytest.mark.parametrize("value", [False, None])
def test_false_and_null_override_count_as_absent(value: Any) -> None:
    assert read_state({**CALM, "emergency_override": value}).override is False


@pytest.mark.parametrize("state", [None, [1, 2], "calm", 3, True])
def test_state_that_is_no_object_is_refused(state: Any) -> None:
    with pytest.raises(StateRefused, match="not an object"):
        read_state(state)


def test_first_non_null_of_novelty_and_its_alias_is_taken_then_validated() -> None:
    assert read_state({**CALM, "novelty": 0.3, "novelty_score": 0.9}).novelty == 0.3
    assert read_state({**CALM, "novelty": None, "novelty_score": 0.9}).novelty == 0.9
    assert read_state({"novelty_score": 1.5}).warnings == ["novelty_clamped", "aesthetic_score_missing"]
    with pytest.raises(StateRefused, match="novelty"):
        read_state({**CALM, "novelty": "high", "novelty_score": 0.9})
    assert read_state({**CALM, "novelty": 0.3, "novelty_score": "ignored"}).novelty == 0.3


def test_warnings_come_in_the_documented_order() -> None:
    play = Play()
    play(emergency_override=True)
    warnings = play(
        {
            "force_inject": True,
            "lambda_max": "x",
            "volatility": -1,
            "aesthetic_score": 2,
            "emergency_override": True,
        }
    )["warnings"]
    assert warnings == [
        "novelty_missing",
        "aesthetic_score_clamped",
        "volatility_clamped",
        "lambda_max_invalid",
        "force_inject_ignored",
    ]


def test_callers_object_is_never_modified() -> None:
    state = {"novelty": 3, "aesthetic_score": None, "force_inject": True, "extra": [1]}
    before = copy.deepcopy(state)
    play = Play(profiles={"selector": "tests.unit.loop.customs:meddling_selector"})
    play(state)
    assert state == before


@pytest.mark.parametrize("number", [np.float64(0.4), np.float32(0.5), np.int64(1), Fraction(1, 2), 1])
def test_numbers_of_other_numeric_types_are_numbers(number: Any) -> None:
    assert read_state({**CALM, "novelty": number}).novelty == float(number)


def test_signals_are_the_scalars_with_the_numbers_as_used() -> None:
    state = {
        "novelty_score": 1.5,
        "volatility": None,
        "mood": "calm",
        "turns": 3,
        "nested": {"a": 1},
        "list": [1],
        "nothing": None,
        "temperature": "hot",
        "user_comfort": math.nan,
    }
    assert signals_of(state, read_state(state)) == {
        "novelty_score": 1.5,
        "novelty": 1.0,
        "aesthetic_score": 0.5,
        "volatility": 0.0,
        "lambda_max": 0.0,
        "mood": "calm",
        "turns": 3,
    }


scores = st.none() | st.floats(allow_nan=True, allow_infinity=True) | st.sampled_from([-0.0, 0.0, 1.0, 5e-324])
flags = st.none() | st.booleans()


@given(
    st.builds(
        StateFields,
        novelty=scores,
        novelty_score=scores,
        aesthetic_score=scores,
        volatility=scores,
        lambda_max=scores,
        emergency_override=flags,
        force_inject=flags,
    )
)
def test_typed_shortcut_and_reference_reading_give_the_same_action(fields: StateFields) -> None:
    typed, reference = Play(), Play()
    names = ("novelty", "novelty_score", "aesthetic_score", "volatility", "lambda_max")
    plain = {name: getattr(fields, name) for name in (*names, "emergency_override", "force_inject")}
    assert repr(typed(fields)) == repr(reference(plain))
    assert typed.session.points.tobytes() == reference.session.points.tobytes()
