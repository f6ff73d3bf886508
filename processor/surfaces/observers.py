"""Several observers as one."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from processor.engine.observer import Committed, Observer

log = logging.getLogger(__name__)


class Observers(Observer):
    """Tells each in turn. A defect of one is logged: neither the others nor the engine shall suffer from it."""

    def __init__(self, observers: Sequence[Observer]) -> None:
        self._all = observers
        self.wants_metrics = any(observer.wants_metrics for observer in observers)
        self.wants_traced = any(observer.wants_traced for observer in observers)

    def committing(self) -> None:
        self._tell("committing")

    def committed(self, report: Committed) -> None:
        self._tell("committed", report)

    def epoch_opened(self) -> None:
        self._tell("epoch_opened")

    def doubted(self, cause: str) -> None:
        self._tell("doubted", cause)

    def settled(self) -> None:
        self._tell("settled")

    def assigned(self, partitions: frozenset[int], generation: int) -> None:
        self._tell("assigned", partitions, generation)

    def revoked(self, partitions: frozenset[int]) -> None:
        self._tell("revoked", partitions)

    def restore_began(self, partition: int) -> None:
        self._tell("restore_began", partition)

    def restoring(self, partition: int, position: int, barrier: int) -> None:
        self._tell("restoring", partition, position, barrier)

    def running(self, partition: int, position: int, kept: bool, seconds: float, figures: Mapping[str, float]) -> None:
        self._tell("running", partition, position, kept, seconds, figures)

    def standing(self, ages: Mapping[int, float], lags: Mapping[int, int]) -> None:
        self._tell("standing", ages, lags)

    def halted(self, partition: int, cause: str) -> None:
        self._tell("halted", partition, cause)

    def _tell(self, word: str, *told: Any) -> None:
        for observer in self._all:
            try:
                getattr(observer, word)(*told)
            except MemoryError:  # says nothing about the observer
                raise
            except Exception:
                log.exception("%s: %s could not be told", type(observer).__name__, word)
