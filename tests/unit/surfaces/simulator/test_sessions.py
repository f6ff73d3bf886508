"""One session's dynamics: seeded, bounded, answering to entropy."""

from __future__ import annotations

from statistics import mean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.surfaces.simulator.families import FAMILIES
from processor.surfaces.simulator.sessions import SimulatedSession, State, session_key, uniforms


def life(seed: int, index: int, family: str, entropies: list[float]) -> list[State]:
    session = SimulatedSession(seed, index, FAMILIES[family])
    return [session.step(entropy) for entropy in entropies]


@given(st.integers(0, 2**32), st.integers(0, 1000), st.lists(st.floats(0, 1), max_size=40))
def test_same_seed_and_entropies_give_the_same_life(seed: int, index: int, entropies: list[float]) -> None:
    assert life(seed, index, "moderate", entropies) == life(seed, index, "moderate", entropies)


def test_other_seed_or_other_session_gives_another_life() -> None:
    still = [0.0] * 20
    lives = [life(1, 1, "moderate", still), life(2, 1, "moderate", still), life(1, 2, "moderate", still)]
    assert all(one != other for i, one in enumerate(lives) for other in lives[:i])


@given(st.integers(0, 2**32), st.sampled_from(sorted(FAMILIES)), st.lists(st.floats(0, 1), max_size=60))
def test_reported_values_stay_in_their_ranges(seed: int, family: str, entropies: list[float]) -> None:
    for state in life(seed, 0, family, entropies):
        assert 0 <= state.novelty <= 1
        assert 0 <= state.aesthetic_score <= 1
        assert 0 <= state.volatility <= 1
        assert 0 <= state.lambda_max < 0.08  # an emergency is an imperfection, never the dynamics'


def movement(family: str, entropy: float) -> float:
    return mean(state.volatility for index in range(20) for state in life(7, index, family, [entropy] * 60)[30:])


@pytest.mark.parametrize("family", sorted(set(FAMILIES) - {"inert"}))
def test_entropy_moves_the_idea(family: str) -> None:
    assert movement(family, 0.6) > 1.3 * movement(family, 0.0)


def test_inert_family_does_not_answer_at_all() -> None:
    assert life(7, 3, "inert", [0.9] * 50) == life(7, 3, "inert", [0.0] * 50)


def test_habituation_weakens_what_lasts() -> None:
    """Late under constant entropy a session used to it moves less than one that never gets used to it."""

    def late(family: str) -> float:
        return mean(s.volatility for i in range(20) for s in life(7, i, family, [0.8] * 200)[120:])

    assert late("moderate") < 0.9 * late("no_habituation")


def test_a_place_becomes_familiar() -> None:
    resting = [life(7, index, "deep", [0.0] * 300) for index in range(20)]
    assert mean(states[-1].novelty for states in resting) < mean(states[5].novelty for states in resting)


def test_poor_start_begins_below_average() -> None:
    def first_score(family: str) -> float:
        return mean(life(7, index, family, [0.0])[0].aesthetic_score for index in range(40))

    assert first_score("poor_start") < first_score("moderate") - 0.1


@given(st.binary(min_size=16, max_size=16), st.integers(0, 2**63), st.integers(0, 5))
def test_uniforms_lie_below_one(key: bytes, step: int, lane: int) -> None:
    assert all(0.0 <= u < 1.0 for u in uniforms(key, step, lane))


def test_lanes_and_steps_are_independent_draws() -> None:
    key = session_key(1, 1)
    draws = {uniforms(key, step, lane) for step in range(10) for lane in range(3)}
    assert len(draws) == 30
