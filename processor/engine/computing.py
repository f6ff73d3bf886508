"""What was fetched becomes part of the batch; a step that raises halts its partition at that record (rule R10)."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from processor.engine.commit import Batch
from processor.engine.observer import Observer
from processor.engine.partitions import Partitions
from processor.engine.ports import Fetched, Input, InputRecord
from processor.engine.task import Task
from processor.engine.transactions import Transactions
from processor.engine.tuning import Tuning
from processor.errors import InputLost, InputMoved

log = logging.getLogger(__name__)

SLICE_RECORDS = 500  # computed without a break: a few milliseconds, so that heartbeats and commits turn


class Computing:
    """Lets the folds see their records, in slices."""

    def __init__(self, tuning: Tuning, observer: Observer, transactions: Transactions, partitions: Partitions) -> None:
        self._input = tuning.input
        self._observer = observer
        self._transactions = transactions
        self._partitions = partitions

    def slice(self, reader: Input) -> bool:
        """Compute what is here, up to a slice; false where there was nothing, or no room for it."""
        transactions = self._transactions
        token, epoch, room = transactions.token, transactions.epoch, transactions.room()
        if token is None or epoch is None or room <= 0:
            return False
        try:
            fetched = reader.take(min(SLICE_RECORDS, room), self._isolated())
        except InputLost as lost:
            reader.forget(lost.partition)
            self._look_again(lost)
            return True
        for part in fetched:
            task = self._partitions.working(part.partition)
            if task is not None:
                self._feed(transactions.batch(token, epoch), task, part, reader)
        return bool(fetched)

    def _look_again(self, lost: InputLost) -> None:
        """The first time a restore decides: a leader may be stale, or a successor's progress past what is gone."""
        task = self._partitions.working(lost.partition)
        if task is None:
            return
        if not isinstance(lost, InputMoved):
            if task.lost_at == task.position:
                task.halt(str(lost), self._observer)
                return
            task.lost_at = task.position
        if self._transactions.pending is not None:
            self._transactions.pending.entries.pop(task.partition, None)
        self._partitions.restore(task)

    def _isolated(self) -> int | None:
        """The partition that goes alone, while it works here: gone, halted or restoring it holds nobody back."""
        alone = self._transactions.pace.alone
        return alone if alone is not None and self._partitions.working(alone) is not None else None

    def _feed(self, batch: Batch, task: Task, part: Fetched, reader: Input) -> None:
        records, position = part.records, part.position
        if task.halt_at is not None and position >= task.halt_at:
            # Everything before the record that cannot be processed is; then the partition stands.
            records = [record for record in records if record.offset < task.halt_at]
            position = task.halt_at
            reader.forget(task.partition)
        entry = batch.entry(task)
        try:
            if task.suspect:
                self._feed_one_by_one(task, records, batch)
            elif records:
                task.fold.process(records, entry.out)
        except MemoryError:
            raise
        except Exception as error:
            log.warning("step failed in %s-%d: %r", self._input, task.partition, error)
            task.suspect = task.halt_at is None
            # The fold stopped in the middle of a record: neither its state nor its output can be used.
            del batch.entries[task.partition]
            reader.forget(task.partition)
            self._partitions.restore(task)
            return
        task.consumed(records, position)
        entry.consumed(records, self._observer.wants_traced)

    def _feed_one_by_one(self, task: Task, records: Sequence[InputRecord], batch: Batch) -> None:
        for record in records:
            try:
                task.fold.process([record], batch.entries[task.partition].out)
            except Exception as error:
                task.halt_at = record.offset
                task.cause = f"{self._input}-{task.partition} offset {record.offset}: {error!r}"
                raise
