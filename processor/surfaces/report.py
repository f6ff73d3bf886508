"""What a worker tells about itself once a second."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from processor.engine.observer import Committed, Observer

MAX_COMMITS = 300  # the newest; a line that a pipe takes in one piece has room for so many


class Report(Struct):
    """One worker's last second; ``tally`` has the names of `processor.engine.ports.Fold.tally`."""

    instance: str
    assigned: list[int]
    running: list[int]  # assigned, restored and working
    halted: list[int]
    commits_ms: list[float]  # duration of each transaction
    doubts: int  # transactions that had to be thrown away
    tally: dict[str, float]
    address: str | None = None  # of the dashboard


class ReportedSecond(Observer):
    """Adds up what was committed until somebody takes it."""

    def __init__(self, instance: str, address: str | None = None) -> None:
        self._instance = instance
        self._address = address
        self._assigned: frozenset[int] = frozenset()
        self._running: set[int] = set()
        self._halted: set[int] = set()
        self._commits_ms: list[float] = []
        self._doubts = 0
        self._tally: dict[str, float] = {}

    def take(self) -> Report:
        """Everything since the last call."""
        report = Report(
            self._instance,
            sorted(self._assigned),
            sorted(self._running),
            sorted(self._halted),
            self._commits_ms,
            self._doubts,
            dict(sorted(self._tally.items())),
            self._address,
        )
        self._commits_ms, self._doubts, self._tally = [], 0, {}
        return report

    def committed(self, report: Committed) -> None:
        self._commits_ms.append(round(report.seconds * 1000, 2))
        del self._commits_ms[:-MAX_COMMITS]
        for tally in report.tallies.values():
            self._add(tally)

    def _add(self, tally: Mapping[str, float]) -> None:
        for name, count in tally.items():
            self._tally[name] = self._tally.get(name, 0) + count

    def doubted(self, cause: str) -> None:
        self._doubts += 1

    def assigned(self, partitions: frozenset[int], generation: int) -> None:
        self._assigned = partitions

    def revoked(self, partitions: frozenset[int]) -> None:
        self._assigned -= partitions
        self._running -= partitions
        self._halted -= partitions

    def running(self, partition: int, position: int, kept: bool, seconds: float, figures: Mapping[str, float]) -> None:
        self._running.add(partition)

    def halted(self, partition: int, cause: str) -> None:
        self._running.discard(partition)
        self._halted.add(partition)
