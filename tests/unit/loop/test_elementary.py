"""Sine and exponential that are the same on every machine."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.loop.elementary import exponential, sine_of_turns


@given(st.floats(-50, 50))
def test_sine_agrees_with_the_library_to_the_last_digits(turns: float) -> None:
    # The library is given a rounded 2π·turns; what that costs is allowed for.
    allowed = 1e-15 + 4e-16 * abs(math.tau * turns)
    assert sine_of_turns(turns) == pytest.approx(math.sin(math.tau * turns), abs=allowed)


@pytest.mark.parametrize(
    ("turns", "expected"), [(0.0, 0.0), (0.25, 1.0), (0.5, 0.0), (0.75, -1.0), (7.25, 1.0), (1e300, 0.0)]
)
def test_sine_is_exact_at_the_quarters(turns: float, expected: float) -> None:
    assert sine_of_turns(turns) == expected


@given(st.floats(-800, 709.7))
def test_exponential_agrees_with_the_library_to_the_last_digits(x: float) -> None:
    assert exponential(x) == pytest.approx(math.exp(x), rel=1e-15, abs=5e-324)


@pytest.mark.parametrize(("x", "expected"), [(0.0, 1.0), (-1e308, 0.0), (1e308, math.inf), (710.0, math.inf)])
def test_exponential_keeps_its_limits(x: float, expected: float) -> None:
    assert exponential(x) == expected


def test_known_bits_do_not_change() -> None:
    # Computed once; any machine must give exactly these.
    assert [sine_of_turns(t).hex() for t in (0.1, 0.3, -0.37)] == KNOWN_SINES
    assert [exponential(x).hex() for x in (-2.0, -0.37, 3.3)] == KNOWN_EXPONENTIALS


KNOWN_SINES = ["0x1.2cf2304755a5ep-1", "0x1.e6f0e13445500p-1", "-0x1.753b603d2b816p-1"]
KNOWN_EXPONENTIALS = ["0x1.152aaa3bf81ccp-3", "0x1.61a7ee209faffp-1", "0x1.b1cd5e7807b7bp+4"]
