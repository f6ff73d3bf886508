"""Several observers as one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from processor.engine.observer import Committed, Observer


class Observers(Observer):
    """Tells each in turn."""

    def __init__(self, observers: Sequence[Observer]) -> None:
        self._all = observers
        self.wants_metrics = any(observer.wants_metrics for observer in observers)
        self.wants_traced = any(observer.wants_traced for observer in observers)

    def committing(self) -> None:
        for observer in self._all:
            observer.committing()

    def committed(self, report: Committed) -> None:
        for observer in self._all:
            observer.committed(report)

    def epoch_opened(self) -> None:
        for observer in self._all:
            observer.epoch_opened()

    def doubted(self, cause: str) -> None:
        for observer in self._all:
            observer.doubted(cause)

    def settled(self) -> None:
        for observer in self._all:
            observer.settled()

    def assigned(self, partitions: frozenset[int], generation: int) -> None:
        for observer in self._all:
            observer.assigned(partitions, generation)

    def revoked(self, partitions: frozenset[int]) -> None:
        for observer in self._all:
            observer.revoked(partitions)

    def restore_began(self, partition: int) -> None:
        for observer in self._all:
            observer.restore_began(partition)

    def restoring(self, partition: int, position: int, barrier: int) -> None:
        for observer in self._all:
            observer.restoring(partition, position, barrier)

    def running(self, partition: int, position: int, kept: bool, seconds: float, figures: Mapping[str, float]) -> None:
        for observer in self._all:
            observer.running(partition, position, kept, seconds, figures)

    def standing(self, ages: Mapping[int, float], lags: Mapping[int, int]) -> None:
        for observer in self._all:
            observer.standing(ages, lags)

    def halted(self, partition: int, cause: str) -> None:
        for observer in self._all:
            observer.halted(partition, cause)
