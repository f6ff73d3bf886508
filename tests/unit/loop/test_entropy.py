"""Amplitude and duration."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.loop.entropy import base_factor, duration_steps

unit = st.floats(0, 1)


@pytest.mark.parametrize(
    ("novelty", "aesthetic_score", "expected"),
    [
        (0.6, 0.5, 0.54),  # (0.3 + 0.24) * 1 * 1
        (0.0, 0.5, 0.3 * 0.7),
        (1.0, 1.0, 0.7 * 1.25 * 0.8),
        (0.0, 0.0, 0.3 * 0.75 * 0.7),
    ],
)
def test_base_factor_is_the_documented_product(novelty: float, aesthetic_score: float, expected: float) -> None:
    assert base_factor(novelty, aesthetic_score) == pytest.approx(expected, abs=1e-12)


@given(unit, unit)
def test_base_factor_stays_within_its_bounds(novelty: float, aesthetic_score: float) -> None:
    assert 0.1 <= base_factor(novelty, aesthetic_score) <= 0.9


@pytest.mark.parametrize(
    ("novelty", "expected"), [(0.0, 100), (0.29, 157), (0.5, 200), (1.0, 300), (0.004999, 100), (0.005, 101)]
)
def test_duration_is_truncated_in_binary_floating_point(novelty: float, expected: int) -> None:
    assert duration_steps(novelty, 1, 1000) == expected


@given(unit, st.integers(1, 400), st.integers(0, 400))
def test_duration_keeps_its_bounds(novelty: float, shortest: int, more: int) -> None:
    assert shortest <= duration_steps(novelty, shortest, shortest + more) <= shortest + more
