"""The workers as the picture has them, and what they tell together."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from processor.loop.session import MODES
from processor.surfaces.watch.beat import Beat, PartitionBeat

FIGURES = (*(f"sessions.{mode}" for mode in MODES), "gain", "explorations", "models.trained")


@dataclass
class Instance:
    """One worker: its latest beat, when (monotonic seconds) it was heard, and why it is not connected."""

    beat: Beat
    heard_at: float
    connected: bool = True
    restarts: int = 0
    why: str | None = None


def partitions_of(instances: Iterable[Instance]) -> dict[int, PartitionBeat]:
    """All partitions by their number, in order.

    While one moves, or its worker is frozen, two workers name it: the one of the later assignment has it.
    """
    partitions: dict[int, PartitionBeat] = {}
    for known in sorted(instances, key=lambda known: known.beat.generation):
        partitions.update(known.beat.partitions)
    return dict(sorted(partitions.items()))


def figures_of(partitions: Iterable[PartitionBeat]) -> dict[str, float]:
    """The figures of all of them together."""
    sums = dict.fromkeys(FIGURES, 0.0)
    for beat in partitions:
        for name in sums:
            sums[name] += beat.figures.get(name, 0.0)
    return sums
