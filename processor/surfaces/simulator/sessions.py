"""One simulated session: an idea's position, moved by the landscape's force and by heat.

The position follows overdamped Langevin motion.  Wells have a quality (the aesthetic score near their
centre); a fading memory of where the idea has been makes familiar wells less novel; volatility is recent
movement.  Heat comes from the entropy received, less what the session has become used to.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b
from math import cos, exp, log, pi, sqrt
from struct import Struct as Packing
from typing import NamedTuple

from processor.surfaces.simulator.families import REST_TEMPERATURE, Family

WELL_SPACING = 1.6
WELL_WIDTH = 0.55
OPEN_GROUND_QUALITY = 0.25  # aesthetic score between the wells
STEP_DURATION = 0.15  # of the dynamics' own time, per event
MEMORY_FADE = 0.975  # per step; what was seen 90 steps ago counts a tenth
HABITUATION_RISE = 0.012
HABITUATION_FADE = 0.006
MOVEMENT_FADE = 0.85

_COUNTER = Packing("<QQ")
_WORDS = Packing("<8Q")
_UNIT = 2.0**-53


class State(NamedTuple):
    """What TORI would report of one step, before imperfections; all but lambda_max lie in [0, 1]."""

    novelty: float
    aesthetic_score: float
    volatility: float
    lambda_max: float


def uniforms(key: bytes, step: int, lane: int) -> tuple[float, ...]:
    """Eight numbers in [0, 1) that depend on nothing but the arguments (a hash in counter mode)."""
    words = _WORDS.unpack(blake2b(_COUNTER.pack(step, lane), key=key, digest_size=64).digest())
    return tuple((word >> 11) * _UNIT for word in words)  # 53 bits: never rounds to 1.0


def session_key(seed: int, index: int) -> bytes:
    """The key of a session's random numbers: 16 bytes from the run's seed and the session's number."""
    return blake2b(f"{seed}:{index}".encode(), digest_size=16).digest()


def _endless_uniforms(key: bytes) -> Iterator[float]:
    block = 0
    while True:
        yield from uniforms(key, block, lane=1)
        block += 1


class SimulatedSession:
    """The dynamics of one session; `step` is a function of the seed, the index and the entropies so far."""

    __slots__ = (
        "_centres",
        "_depths",
        "_habituation",
        "_key",
        "_memory",
        "_movement",
        "_position",
        "_qualities",
        "_restlessness",
        "_retention",
        "_steps",
        "family",
    )

    def __init__(self, seed: int, index: int, family: Family) -> None:
        self.family = family
        self._key = session_key(seed, index)
        draw = _endless_uniforms(self._key)
        middle = (family.wells - 1) / 2
        self._centres = [(i - middle) * WELL_SPACING + 0.3 * (next(draw) - 0.5) for i in range(family.wells)]
        self._depths = [family.depth * (0.8 + 0.4 * next(draw)) for _ in range(family.wells)]
        # Qualities are spread evenly and dealt at random, so that every landscape has a good and a poor well.
        spread = [0.35 + 0.55 * (i + 0.5) / family.wells for i in range(family.wells)]
        self._qualities = [spread.pop(int(next(draw) * len(spread))) for _ in range(family.wells)]
        start = int(next(draw) * family.wells)
        if family.start == "worst":
            start = self._qualities.index(min(self._qualities))
        self._position = self._centres[start]
        # Temperaments differ: how much of the familiar is remembered at all, and how much movement shows.
        self._retention = 0.5 + 0.5 * next(draw)
        self._restlessness = 1.0 + 4.0 * next(draw) ** 3
        self._memory = [0.0] * family.wells
        self._memory[start] = 0.9  # the idea has been where it begins for a while
        self._habituation = 0.0
        self._movement = 0.0
        self._steps = 0

    def step(self, entropy: float) -> State:
        """Move once under the entropy in force (0 where none is) and report the state."""
        u = uniforms(self._key, self._steps, 0)
        radius = sqrt(-2.0 * log(1.0 - u[0]))
        angle = 2.0 * pi * u[1]
        self._steps += 1

        received = entropy * (1.0 - self.family.habituation * self._habituation)
        rise = HABITUATION_RISE * entropy * (1.0 - self._habituation)
        self._habituation += rise - HABITUATION_FADE * self._habituation
        temperature = REST_TEMPERATURE + self.family.heating * received

        push = sqrt(2.0 * temperature * STEP_DURATION) * radius * cos(angle)
        moved = STEP_DURATION * self._force() + push
        self._position += moved
        self._movement = MOVEMENT_FADE * self._movement + (1.0 - MOVEMENT_FADE) * abs(moved)
        return self._observe(u)

    def _force(self) -> float:
        position = self._position
        force = 0.0
        for centre, depth in zip(self._centres, self._depths, strict=True):
            away = (position - centre) / WELL_WIDTH
            force -= depth / WELL_WIDTH * away * exp(-0.5 * away * away)
        if self.family.slope:
            best = self._centres[self._qualities.index(max(self._qualities))]
            force += self.family.slope * (1.0 if best > position else -1.0)
        edge = abs(self._centres[-1]) + WELL_SPACING
        if abs(position) > edge:
            force -= 2.0 * (abs(position) - edge) * (1.0 if position > 0 else -1.0)
        return force

    def _observe(self, u: tuple[float, ...]) -> State:
        quality = OPEN_GROUND_QUALITY
        familiar = 0.0
        memory = self._memory
        for i, centre in enumerate(self._centres):
            away = (self._position - centre) / WELL_WIDTH
            nearness = exp(-0.25 * away * away)
            quality += nearness * (self._qualities[i] - OPEN_GROUND_QUALITY)
            familiar += nearness * memory[i]
            memory[i] = MEMORY_FADE * memory[i] + (1.0 - MEMORY_FADE) * nearness
        volatility = self._movement * self._restlessness
        return State(
            _unit_interval(1.0 - self._retention * familiar + 0.06 * (u[2] - 0.5)),
            _unit_interval(quality + 0.06 * (u[3] - 0.5)),
            _unit_interval(volatility + 0.04 * (u[4] - 0.5)),
            max(0.0, 0.02 + 0.03 * _unit_interval(volatility) + 0.01 * (u[5] - 0.5)),
        )


def _unit_interval(value: float) -> float:
    return 0.0 if value < 0.0 else min(value, 1.0)
