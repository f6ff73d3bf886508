"""What the engine tells whoever wants to look: after the fact, never on the way to a commit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from processor.engine.ports import LogEvent


@dataclass(frozen=True)
class Committed:
    """One answered transaction: duration in seconds, records, and per partition the fold's tally and diary."""

    seconds: float
    records: int
    positions: Mapping[int, int]
    tallies: Mapping[int, Mapping[str, float]] = field(default_factory=dict)
    diaries: Mapping[int, Sequence[LogEvent]] = field(default_factory=dict)


class Observer:
    """Does nothing; surfaces override what they show. No method may raise or block."""

    def committed(self, report: Committed) -> None:
        """A transaction was answered with success."""

    def doubted(self, cause: str) -> None:
        """A transaction failed or its fate is unknown; a new epoch follows."""

    def assigned(self, partitions: frozenset[int], generation: int) -> None:
        """The group gave this instance its partitions."""

    def revoked(self, partitions: frozenset[int]) -> None:
        """The group took them back."""

    def restoring(self, partition: int, position: int, barrier: int) -> None:
        """A restore stands at a changelog position, waiting for a transaction or for data."""

    def running(self, partition: int, position: int, kept: bool, seconds: float) -> None:
        """A partition works, from this input offset on; kept: without a restore."""

    def standing(self, ages: Mapping[int, float]) -> None:
        """Seconds since the last progress, of every partition that has lag; about once a second."""

    def halted(self, partition: int, cause: str) -> None:
        """A partition cannot go on."""
