"""Profiles: the shape of each, its parameters, a user's own."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.errors import ConfigError
from processor.loop.profiles import BUILT_IN, PROFILE_DEFAULTS, base_parameters, multipliers
from tests.unit.loop.play import NOVEL, Play


def m(name: str, t: float, **params: float) -> float:
    return BUILT_IN[name](1.0, round(1000 * t), 1000, {**PROFILE_DEFAULTS[name], **params})


@pytest.mark.parametrize(
    ("name", "t", "params", "expected"),
    [
        ("constant", 0.37, {}, 1.0),
        ("cosine_ramp", 0.0, {}, 0.0),
        ("cosine_ramp", 0.1, {}, 0.5),
        ("cosine_ramp", 0.2, {}, 1.0),
        ("cosine_ramp", 0.5, {}, 1.0),
        ("cosine_ramp", 0.9, {}, 0.5),
        ("cosine_ramp", 0.25, {"ramp_fraction": 0.8}, 0.5),
        ("cosine_ramp", 0.0, {"ramp_fraction": 0.0}, 1.0),
        ("cosine_ramp", 0.0, {"ramp_fraction": -1.0}, 1.0),
        ("exponential_decay", 0.0, {}, 1.0),
        ("exponential_decay", 0.5, {}, math.exp(-1)),
        ("exponential_decay", 0.5, {"floor": 0.4}, 0.4 + 0.6 * math.exp(-1)),
        ("pulse", 0.0, {}, 0.5),
        ("pulse", 1 / 4, {"frequency": 1.0}, 1.0),
        ("pulse", 3 / 4, {"frequency": 1.0}, 0.0),
        ("sinusoidal", 0.0, {}, 1.0),
        ("sinusoidal", 1 / 8, {}, 1.3),
        ("sinusoidal", 3 / 8, {}, 0.7),
    ],
)
def test_multiplier_has_the_documented_shape(name: str, t: float, params: dict[str, float], expected: float) -> None:
    assert m(name, t, **params) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("name", BUILT_IN)
@given(duration=st.integers(1, 300), base=st.floats(0.1, 0.9))
def test_factor_is_the_base_times_the_cached_multiplier(name: str, duration: int, base: float) -> None:
    params = PROFILE_DEFAULTS[name]
    table = multipliers(name, duration, tuple(sorted(params.items())))
    assert table is not None
    assert len(table) == duration
    for step in {0, duration // 2, duration - 1}:
        assert BUILT_IN[name](base, step, duration, params) == pytest.approx(base * table[step], abs=1e-15)


@pytest.mark.parametrize("name", BUILT_IN)
def test_very_long_explorations_are_not_computed_beforehand(name: str) -> None:
    steps = 10**9
    play = Play(loop={"min_exploration_steps": steps, "max_exploration_steps": steps}, profiles={"selection": name})
    began = play(NOVEL)
    assert began["duration"] == steps
    for step in range(1, 4):
        expected = BUILT_IN[name](began["entropy_factor"], step, steps, PROFILE_DEFAULTS[name])
        assert play(NOVEL)["current_factor"] == pytest.approx(expected, rel=1e-12)


def test_parameters_are_defaults_then_mode_then_overrides() -> None:
    assert base_parameters("exponential_decay", "static", {}, 0.5, 0.9) == {"decay_rate": 2.0, "floor": 0.0}
    adaptive = base_parameters("exponential_decay", "adaptive", {}, 0.5, 0.9)
    assert adaptive == {"decay_rate": 1 + 3 * 0.9, "floor": 0.0}
    assert base_parameters("pulse", "adaptive", {}, 0.1, 0.9) == {"frequency": 2 + 3 * (1 - 0.1)}
    assert base_parameters("cosine_ramp", "adaptive", {}, 0.1, 0.9) == {"ramp_fraction": 0.25}
    assert base_parameters("sinusoidal", "adaptive", {}, 0.1, 0.9) == PROFILE_DEFAULTS["sinusoidal"]
    assert base_parameters("constant", "adaptive", {}, 0.1, 0.9) == {}
    overrides = {"pulse": {"frequency": 1.5}}
    for mode in ("static", "adaptive"):
        assert base_parameters("pulse", mode, overrides, 0.1, 0.9) == {"frequency": 1.5}


@pytest.mark.parametrize("params_mode", ["static", "adaptive"])
@pytest.mark.parametrize("name", BUILT_IN)
def test_current_factor_follows_the_profile_over_the_whole_run(name: str, params_mode: str) -> None:
    play = Play(loop={"max_exploration_steps": 40}, profiles={"selection": name, "params_mode": params_mode})
    started = play(NOVEL)
    params = started["profile_params"]
    assert params == base_parameters(name, params_mode, {}, NOVEL["novelty"], NOVEL["volatility"])  # type: ignore[arg-type]
    factors = [started["current_factor"], *(action["current_factor"] for action in play.times(39, NOVEL))]
    expected = [min(1.0, max(0.0, BUILT_IN[name](started["entropy_factor"], step, 40, params))) for step in range(40)]
    assert factors == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("params_mode", ["static", "adaptive"])
@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("exponential_decay", {"decay_rate": -1e308}),
        ("exponential_decay", {"floor": 1e308, "decay_rate": -900.0}),
        ("pulse", {"frequency": 1e308}),
        ("sinusoidal", {"amplitude": 1e308, "frequency": 1e308}),
        ("cosine_ramp", {"ramp_fraction": 5e-324}),
    ],
)
def test_extreme_parameters_never_stop_the_loop(name: str, params: dict[str, float], params_mode: str) -> None:
    play = Play(
        loop={"max_exploration_steps": 10},
        profiles={"selection": name, "params": {name: params}, "params_mode": params_mode},
    )
    for action in play.times(11, NOVEL):
        assert 0.0 <= action["current_factor"] <= 1.0
        assert action.get("warnings", ["profile_error"]) == ["profile_error"]


# A user's own


def custom(function: str, **params: float) -> Play:
    return Play(
        loop={"max_exploration_steps": 10},
        profiles={
            "custom": {"mine": f"tests.unit.loop.customs:{function}"},
            "selection": "mine",
            "params": {"mine": params},
        },
    )


def test_custom_profile_takes_part_like_a_built_in_one() -> None:
    play = custom("rising", **{"from": 0.2})
    started = play(NOVEL)
    assert started["profile"] == "mine"
    assert started["profile_params"] == {"from": 0.2}
    factor = started["entropy_factor"]
    assert started["current_factor"] == pytest.approx(0.2 * factor)
    assert play(NOVEL)["current_factor"] == pytest.approx(0.3 * factor)
    assert "warnings" not in play.actions[-1]


@pytest.mark.parametrize("function", ["failing", "not_a_number", "no_number_at_all"])
def test_failing_profile_falls_back_to_constant_with_a_warning(function: str) -> None:
    play = custom(function)
    for action in (play(NOVEL), play(NOVEL)):
        assert action["warnings"] == ["profile_error"]
        assert action["current_factor"] == action["entropy_factor"]


def test_profile_that_fails_at_one_step_is_asked_again_at_the_next() -> None:
    play = custom("fails_at_step_two")
    actions = play.times(4, NOVEL)
    assert ["warnings" in action for action in actions] == [False, False, True, False]
    factor = actions[0]["entropy_factor"]
    assert [action["current_factor"] / factor for action in actions] == pytest.approx([0.5, 0.5, 1.0, 0.5])


def test_custom_factor_is_clipped() -> None:
    assert custom("negative")(NOVEL)["current_factor"] == 0.0


def test_memory_error_of_a_profile_is_not_swallowed() -> None:
    with pytest.raises(MemoryError):
        custom("exhausted")(NOVEL)


@pytest.mark.parametrize(
    ("profiles", "key"),
    [
        ({"selection": "sawtooth"}, "profiles.selection"),
        ({"params": {"sawtooth": {"teeth": 3}}}, "profiles.params.sawtooth"),
        ({"params": {"pulse": {"freq": 3}}}, "profiles.params.pulse.freq"),
        ({"custom": {"mine": "tests.unit.loop.customs"}}, "profiles.custom"),
        ({"custom": {"mine": "tests.unit.loop.customs:absent"}}, "profiles.custom.mine"),
        ({"custom": {"mine": "tests.unit.loop.absent:rising"}}, "profiles.custom.mine"),
        ({"custom": {"mine": "tests.unit.loop.customs:NOT_CALLABLE"}}, "profiles.custom.mine"),
        ({"selector": "tests.unit.loop.customs:absent"}, "profiles.selector"),
    ],
)
def test_unknown_name_is_a_configuration_error_that_names_the_key(profiles: Any, key: str) -> None:
    with pytest.raises(ConfigError, match=key) as caught:
        Play(profiles=profiles)
    assert "\n" not in str(caught.value)
