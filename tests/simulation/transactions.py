"""The transaction coordinator: producer epochs, open transactions, markers that take their time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random
from typing import Any

from processor.errors import InDoubt, ProducerFenced
from tests.simulation.log import Log

EMPTY, ONGOING, COMMITTING, ABORTING = "empty", "ongoing", "committing", "aborting"


class TryAgain(Exception):
    """CONCURRENT_TRANSACTIONS: markers of the transaction before are still being written.  Or nobody is served yet:
    COORDINATOR_LOAD_IN_PROGRESS."""


class Transactional:
    """What is known of one transactional id."""

    def __init__(self, name: str, producer: int) -> None:
        self.name = name
        self.producer = producer
        self.epoch = -1
        self.state = EMPTY
        self.logs: dict[tuple[str, int], Log] = {}
        self.with_group = False
        self.since = 0.0
        self.timeout_s = 0.0
        self.ended: bool | None = None  # how the last transaction of this epoch ended: committed or not


class TransactionCoordinator:
    """``decided`` is told of every commit at the moment of its decision; ``group_marker`` settles offsets."""

    def __init__(
        self,
        later: Callable[..., Any],
        now: Callable[[], float],
        random: Random,
        decided: Callable[[Transactional], None],
        group_marker: Callable[[int, bool], None],
    ) -> None:
        self.ids: dict[str, Transactional] = {}
        self.slow_markers_s = 0.0
        self.loading = False  # the coordinator moved: nobody is served until it has read its log
        self.late_ends = 0
        self._later = later
        self._now = now
        self._random = random
        self._decided = decided
        self._group_marker = group_marker

    def init(self, name: str, timeout_s: float) -> tuple[int, int]:
        """InitProducerId: producer id and a new epoch; aborts what is open. Raises `TryAgain` meanwhile."""
        if self.loading:
            raise TryAgain
        known = self.ids.get(name)
        if known is None:
            known = self.ids[name] = Transactional(name, len(self.ids) + 1)
        if known.state == ONGOING:
            known.epoch += 1
            self._finish(known, committed=False)
        if known.state != EMPTY:
            raise TryAgain
        known.epoch += 1
        known.timeout_s = timeout_s
        known.ended = None
        return known.producer, known.epoch

    def add(self, name: str, epoch: int, logs: Mapping[tuple[str, int], Log], *, group: bool = False) -> None:
        """AddPartitionsToTxn and AddOffsetsToTxn."""
        known = self._checked(name, epoch)
        if known.state in (COMMITTING, ABORTING):
            raise TryAgain
        if known.state == EMPTY:
            known.state = ONGOING
            known.since = self._now()
        known.logs.update(logs)
        known.with_group |= group

    def verify(self, name: str, epoch: int, key: tuple[str, int] | None) -> Transactional:
        """Partition verification (KIP-890): the write belongs to the transaction that is open. None: the group."""
        known = self._checked(name, epoch)
        if known.state != ONGOING or not (known.with_group if key is None else key in known.logs):
            raise InDoubt(f"INVALID_TXN_STATE: {known.state}")
        return known

    def end(self, name: str, epoch: int, *, committed: bool = True) -> None:
        """EndTxn; the same one once more is answered as the first was."""
        known = self._checked(name, epoch)
        if known.state == ONGOING:
            if committed:
                self._decided(known)
            known.ended = committed
            self._finish(known, committed=committed)
        elif known.ended is not committed:
            raise InDoubt(f"INVALID_TXN_STATE: {known.state}")
        elif known.state != EMPTY:
            raise TryAgain

    def abort_overdue(self) -> list[str]:
        """Abort what is open for longer than its time-out, and fence its epoch; returns the ids."""
        overdue = [k for k in self.ids.values() if k.state == ONGOING and self._now() - k.since > k.timeout_s]
        for known in overdue:
            known.epoch += 1
            self._finish(known, committed=False)
        return [known.name for known in overdue]

    def open_ids(self) -> list[str]:
        """Transactional ids with something undecided or unmarked."""
        return [known.name for known in self.ids.values() if known.state != EMPTY]

    def _checked(self, name: str, epoch: int) -> Transactional:
        if self.loading:
            raise TryAgain
        known = self.ids[name]
        if epoch != known.epoch:
            raise ProducerFenced(f"{name}: epoch {epoch}, now {known.epoch}")
        return known

    def _finish(self, known: Transactional, *, committed: bool) -> None:
        known.state = COMMITTING if committed else ABORTING
        logs, known.logs = list(known.logs.values()), {}
        with_group, known.with_group = known.with_group, False
        if self.slow_markers_s:
            # Each partition's marker comes in its own time.
            strides = [[log] for log in logs] or [[]]
        else:
            # Two strides: some partitions show the transaction before others do.
            cut = int(self._random.random() * (len(logs) + 1))
            strides = [logs[:cut], logs[cut:]]
        left = len(strides)

        def mark(stride: list[Log]) -> None:
            nonlocal left
            for log in stride:
                log.mark(known.producer, committed)
            left -= 1
            if left == 0:
                if with_group:
                    self._group_marker(known.producer, committed)
                known.state = EMPTY

        for stride in strides:
            self._later(0.0005 + self._random.random() * (0.003 + self.slow_markers_s), mark, stride)
