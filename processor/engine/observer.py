"""What the engine tells whoever wants to look: after the fact, never on the way to a commit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from processor.engine.ports import InputRecord, LogEvent


@dataclass(frozen=True)
class Committed:
    """One answered transaction: duration in seconds, records, and per partition what its fold says of itself.

    ``times_ms`` are the Kafka timestamps of the first and the last record (-1 where there is none), ``figures`` the
    fold's at the end of the batch.  ``metrics`` are encoded as they were written, ``traced`` the input records with
    headers, in order: both only for an observer that wants them.
    """

    seconds: float
    records: int
    positions: Mapping[int, int]
    tallies: Mapping[int, Mapping[str, float]] = field(default_factory=dict)
    diaries: Mapping[int, Sequence[LogEvent]] = field(default_factory=dict)
    figures: Mapping[int, Mapping[str, float]] = field(default_factory=dict)
    times_ms: Mapping[int, tuple[int, int]] = field(default_factory=dict)
    metrics: Mapping[int, Sequence[bytes]] = field(default_factory=dict)
    traced: Mapping[int, Sequence[InputRecord]] = field(default_factory=dict)


class Observer:
    """Does nothing; surfaces override what they show. No method may raise or block.

    The two ``wants`` are read once, when the engine begins.
    """

    wants_metrics = False
    wants_traced = False

    def committing(self) -> None:
        """A transaction begins; `committed` or `doubted` follows."""

    def committed(self, report: Committed) -> None:
        """A transaction was answered with success."""

    def epoch_opened(self) -> None:
        """A transactional producer stands: at the start, and again after every doubt."""

    def doubted(self, cause: str) -> None:
        """A transaction failed or its fate is unknown; a new epoch follows."""

    def settled(self) -> None:
        """After a doubt there is nothing left to commit: no success follows for now, and none is missing."""

    def assigned(self, partitions: frozenset[int], generation: int) -> None:
        """The group gave this instance its partitions."""

    def revoked(self, partitions: frozenset[int]) -> None:
        """The group took them back."""

    def restore_began(self, partition: int) -> None:
        """A partition's memory is brought to what is committed; `running` or `halted` follows."""

    def restoring(self, partition: int, position: int, barrier: int) -> None:
        """A restore stands at a changelog position, waiting for a transaction or for data."""

    def running(self, partition: int, position: int, kept: bool, seconds: float, figures: Mapping[str, float]) -> None:
        """A partition works, from this input offset on; kept: without a restore. ``figures`` are its fold's."""

    def standing(self, ages: Mapping[int, float], lags: Mapping[int, int]) -> None:
        """About twice a second: seconds since the last progress, of every partition that has lag or does not know it,
        and of every running partition the records between its position and the last stable offset, as last known."""

    def halted(self, partition: int, cause: str) -> None:
        """A partition cannot go on."""
