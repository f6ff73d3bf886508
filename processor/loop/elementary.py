"""Sine and exponential from basic operations alone.

The C library's versions differ in the last bit from one release, and from one processor, to the next; sums,
products and quotients of doubles do not. Bytes must not depend on the machine, so these are computed here, to a few
units in the last place.
"""

from __future__ import annotations

import math

_LOG2_E = 1.4426950408889634
# ln 2 in two parts: multiples of the first are exact.
_LN2_HIGH = 0.6931471803691238
_LN2_LOW = 1.9082149292705877e-10

# Taylor coefficients, highest power first: up to x**21 for the sine (|x| ≤ π/2), x**13 for e**x (|x| ≤ ln 2 / 2).
_SINE = tuple((-1.0) ** k / math.factorial(2 * k + 1) for k in range(10, -1, -1))
_EXPONENTIAL = tuple(1.0 / math.factorial(k) for k in range(13, -1, -1))


def sine_of_turns(turns: float) -> float:
    """sin(2π·turns) for finite `turns`."""
    rest = turns - math.floor(turns + 0.5)
    if rest > 0.25:
        rest = 0.5 - rest
    elif rest < -0.25:
        rest = -0.5 - rest
    x = math.tau * rest
    square = x * x
    total = 0.0
    for coefficient in _SINE:
        total = total * square + coefficient
    return min(1.0, max(-1.0, x * total))


def exponential(x: float) -> float:
    """e**x for finite `x`; infinite where it is too large for a double."""
    if x > 709.78:
        return math.inf
    if x < -745.2:
        return 0.0
    doublings = math.floor(x * _LOG2_E + 0.5)
    rest = (x - doublings * _LN2_HIGH) - doublings * _LN2_LOW
    total = 0.0
    for coefficient in _EXPONENTIAL:
        total = total * rest + coefficient
    return math.ldexp(total, doublings)
