"""The transactions of one instance: one on its way, and the batch that is computed behind it (rules R1, R6 and R7).

What becomes of the partitions after a doubt is not decided here: a doubt is recorded, and the runner acts upon it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from processor.engine.commit import Batch, commit
from processor.engine.lifecycle import TaskState
from processor.engine.observer import Committed, Observer
from processor.engine.ports import Epoch, Token
from processor.engine.tuning import Pace, Tuning
from processor.errors import Fenced, InDoubt, InstanceFenced, InstanceIdInUse, ProducerFenced

log = logging.getLogger(__name__)

IDLE_COMMIT_S = 1.0  # a position moved by control records alone is committed at most this often
FENCED_WINDOW_S = 60.0  # two fencings within it, not explained by a time-out, mean a twin


class Transactions:
    """Commits what is computed, one transaction after the other.

    ``token`` is the group's word, None while it is void; ``pending`` is computed and not sent, ``inflight`` sent and
    not answered.  ``doubts_since`` (seconds of the event loop) is None after a success; ``fatal`` ends the instance.
    """

    def __init__(
        self, tuning: Tuning, observer: Observer, wake: Callable[[], None], rejoin: Callable[[], None]
    ) -> None:
        """``wake`` is called at every answer, ``rejoin`` where the group no longer knows the token."""
        self.pace = Pace(tuning)
        self.token: Token | None = None
        self.epoch: Epoch | None = None
        self.pending: Batch | None = None
        self.inflight: asyncio.Task[None] | None = None
        self.doubt: InDoubt | Fenced | None = None
        self.doubts_since: float | None = None
        self.fatal: Exception | None = None
        self._tuning = tuning
        self._observer = observer
        self._wake = wake
        self._rejoin = rejoin
        self._loop = asyncio.get_running_loop()
        self._inflight_batch: Batch | None = None
        self._fenced_at: float | None = None

    def batch(self, token: Token, epoch: Epoch) -> Batch:
        """The one being computed."""
        if self.pending is None:
            self.pending = Batch(token, epoch, self._loop.time(), self._observer.wants_metrics)
        return self.pending

    @property
    def idle(self) -> bool:
        """Nothing is computed and not answered."""
        return self.pending is None and self.inflight is None

    def room(self) -> int:
        """Records that the batch being computed still takes."""
        batch = self.pending
        return self.pace.room(batch.records, batch.size) if batch is not None else self.pace.limit

    def maybe_commit(self) -> float:
        """Start the next commit if it is due; returns for how many seconds there is nothing to do."""
        batch = self.pending
        if self.inflight is not None or batch is None or not batch.entries:
            return IDLE_COMMIT_S
        wait_s = self.pace.interval_s if batch.records else IDLE_COMMIT_S
        due_s = self.pace.last_commit + wait_s - self._loop.time()
        if due_s > 0 and self.room() > 0:
            return due_s
        self._start(batch)
        return IDLE_COMMIT_S

    async def drain(self) -> None:
        """Wait for the transaction in flight, then commit the batch already computed."""
        while True:
            if self.inflight is not None:
                await self.answered()
            elif not (self.doubt or self.fatal) and self.pending is not None and self.pending.entries:
                self._start(self.pending)
            else:
                return

    async def answered(self, partition: int | None = None) -> None:
        """No transaction of ours is on its way (that carries the partition); raises nothing."""
        while self.inflight is not None and (partition is None or self._carries(partition)):
            await asyncio.wait({self.inflight})

    def fenced(self, fenced: Fenced) -> None:
        """The token is void; the next assignment brings a new one."""
        self.doubt = fenced
        self.token = None
        self._rejoin()

    def cancel(self) -> bool:
        """Wait for no answer: what is on its way is computed again elsewhere, or was committed.

        True where a transaction may stay open at the broker; false where another process has our id by now, whose
        transaction it would be.
        """
        unfinished = self.inflight is not None or self.doubt is not None or self.fatal is not None
        if self.inflight is not None:
            self.inflight.cancel()
        replaced = isinstance(self.fatal, InstanceIdInUse) or isinstance(self.doubt, ProducerFenced | InstanceFenced)
        return unfinished and not replaced

    def _carries(self, partition: int) -> bool:
        return self._inflight_batch is not None and partition in self._inflight_batch.entries

    def _start(self, batch: Batch) -> None:
        self.pending = None
        batch.close()
        self.pace.started(self._loop.time(), batch.records)
        self._inflight_batch = batch
        self.inflight = asyncio.create_task(self._commit(batch))
        self.inflight.add_done_callback(lambda _: self._wake())

    async def _commit(self, batch: Batch) -> None:
        began = self._loop.time()
        try:
            if batch.token is not self.token:
                # Nothing was sent, and the revocation has dropped its tasks.
                log.info("dropped a batch of %d records: its assignment ended", batch.records)
                return
            self._observer.committing()
            await commit(batch, self._tuning.transaction_timeout_s)
        except Fenced as fenced:
            if batch.token is self.token:
                self.fenced(fenced)
            self.doubt = fenced
        except InDoubt as doubt:
            self.doubt = doubt
            self._suspect_twin(doubt, self._loop.time() - began)
            self._blame(batch, doubt)
        except Exception as defect:
            self.fatal = defect
        else:
            self._succeeded(batch, self._loop.time() - began)
        finally:
            self.inflight = self._inflight_batch = None

    def _suspect_twin(self, doubt: InDoubt, elapsed_s: float) -> None:
        if not isinstance(doubt, ProducerFenced) or elapsed_s >= self._tuning.transaction_timeout_s:
            return
        now = self._loop.time()
        if self._fenced_at is not None and now - self._fenced_at < FENCED_WINDOW_S:
            self.fatal = InstanceIdInUse(self._tuning.instance_id)
        self._fenced_at = now

    def _blame(self, batch: Batch, doubt: InDoubt) -> None:
        culprit = self.pace.failed(doubt)
        if culprit is not None and culprit in batch.entries:
            task = batch.entries[culprit].task
            task.refused = True
            task.cause = f"{self._tuning.input}-{culprit}: {doubt}"

    def _succeeded(self, batch: Batch, elapsed_s: float) -> None:
        self.doubts_since = None
        self.pace.succeeded(batch.entries)
        for entry in batch.entries.values():
            if entry.task.halt_at == entry.position and entry.task.state is TaskState.RUNNING:
                entry.task.halt(entry.task.cause or "", self._observer)
        self._observer.committed(
            Committed(
                elapsed_s,
                batch.records,
                {partition: entry.position for partition, entry in batch.entries.items()},
                {partition: entry.tally for partition, entry in batch.entries.items()},
                {partition: entry.diary for partition, entry in batch.entries.items() if entry.diary},
                {partition: entry.figures for partition, entry in batch.entries.items()},
                {p: (entry.first_ms, entry.last_ms) for p, entry in batch.entries.items() if entry.records},
                {p: entry.watched.metrics for p, entry in batch.entries.items() if entry.watched is not None},
                {p: entry.traced for p, entry in batch.entries.items() if entry.traced},
            )
        )
