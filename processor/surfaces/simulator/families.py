"""Families of landscapes: how deep the traps are and how a session answers to entropy.

Depths and temperatures share one unit.  A session rests at `REST_TEMPERATURE`; entropy 1.0 adds
`heating` to it, and a barrier is crossed within an exploration where it is only a few temperatures high.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

REST_TEMPERATURE = 0.08

Start = Literal["any", "worst"]


class Family(Struct, frozen=True):
    """One kind of landscape.

    ``wells``: how many; ``depth``: of each, ± a fifth per session; ``heating``: temperature added by
    entropy 1.0;
    ``habituation``: share of the heat lost to a session fully used to it; ``slope``: pull towards the
    best well;
    ``start``: the well where the idea begins.
    """

    name: str
    wells: int = 5
    depth: float = 1.4
    heating: float = 0.9
    habituation: float = 0.7
    slope: float = 0.0
    start: Start = "any"


FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        Family("moderate"),
        Family("deep", depth=2.6),
        Family("shallow", depth=0.7),
        Family("no_habituation", habituation=0.0),
        Family("poor_start", start="worst"),
        Family("funnel", slope=0.25),
        Family("single_well", wells=1),
        Family("inert", heating=0.0),
    )
}
