"""The engine of one instance: what happens when.

One turn of the loop takes what was fetched, lets the folds compute it into the pending batch, and starts the next
commit when the previous one is answered (rules R6 and R7).  Everything that must not race with that -- a doubt, a
new assignment -- is a fact recorded elsewhere and acted upon here, at the beginning of a turn.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Sequence

from processor.engine.commit import Batch, commit
from processor.engine.lifecycle import TaskState
from processor.engine.observer import Committed, Observer
from processor.engine.ports import (
    Cluster,
    Epoch,
    Fetched,
    FoldFactory,
    Input,
    InputRecord,
    Membership,
    Token,
)
from processor.engine.restoring import Restorer
from processor.engine.standing import Standing
from processor.engine.task import Task
from processor.engine.tuning import Pace, Tuning
from processor.errors import (
    Fenced,
    InDoubt,
    InputLost,
    InputMoved,
    InstanceIdInUse,
    OutOfMemory,
    ProducerFenced,
    Refused,
    Stuck,
)
from schemas.progress import Barrier

log = logging.getLogger(__name__)

SLICE_RECORDS = 500  # computed without a break: a few milliseconds, so that heartbeats and commits turn
IDLE_COMMIT_S = 1.0  # a position moved by control records alone is committed at most this often
FENCED_WINDOW_S = 60.0  # two fencings within it, not explained by a time-out, mean a twin


class Runner:
    """Runs the partitions that the group gives to this instance, until told to stop."""

    def __init__(
        self, cluster: Cluster, factory: FoldFactory, tuning: Tuning, observer: Observer | None = None
    ) -> None:
        self._cluster = cluster
        self._factory = factory
        self._tuning = tuning
        self._observer = observer or Observer()
        self._restorer = Restorer(cluster, self._observer, tuning.changelog, tuning.input)
        self._loop = asyncio.get_running_loop()
        self._wake = asyncio.Event()
        self._pace = Pace(tuning)
        self._stopping = False
        # The group's word
        self._token: Token | None = None
        self._adopted: Token | None = None
        self._revoking = False
        self._tasks: dict[int, Task] = {}
        self._restores: dict[int, asyncio.Task[bool]] = {}
        self._restore_slots = asyncio.Semaphore(tuning.concurrent_restores)
        # The transaction in flight and the one being computed
        self._epoch: Epoch | None = None
        self._input: Input | None = None
        self._membership: Membership | None = None
        self._pending: Batch | None = None
        self._inflight: asyncio.Task[None] | None = None
        self._inflight_batch: Batch | None = None
        self._doubt: InDoubt | Fenced | None = None
        self._fatal: Exception | None = None
        self._fenced_at: float | None = None
        self._doubts_since: float | None = None
        self._standing = Standing(tuning, self._observer)

    @property
    def tasks(self) -> dict[int, Task]:
        """The tasks by partition, for those who look."""
        return self._tasks

    async def run(self, stop: asyncio.Event) -> None:
        """Work until ``stop`` is set, then commit, leave the group and return.

        Raises `Refused` (and its kinds) where work is impossible; any other exception is a defect.
        """
        work = asyncio.create_task(self._work())
        stopped = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({work, stopped}, return_when=asyncio.FIRST_COMPLETED)
            self._stopping = True
            self._wake.set()
            done, _ = await asyncio.wait({work}, timeout=self._tuning.shutdown_timeout_s)
            if done:
                work.result()
            else:
                log.warning("not finished within the grace; what was not committed is computed again elsewhere")
        finally:
            for task in (work, stopped):
                task.cancel()
            await asyncio.gather(work, stopped, return_exceptions=True)
            await self._leave()

    async def _work(self) -> None:
        self._epoch = await self._cluster.open_epoch()
        self._observer.epoch_opened()
        self._input = await self._cluster.open_input(self._wake.set)
        self._membership = await self._cluster.join(self)
        try:
            while not self._stopping:
                await self._turn(self._input, self._membership)
        except BaseException as error:
            # Half a step may be in it, and leaving the group would commit it.
            self._pending = None
            if isinstance(error, MemoryError):
                raise OutOfMemory(
                    "out of memory: what was not committed is computed again; give the process more, or share the "
                    "partitions among more instances"
                ) from None
            raise
        # What is computed is committed under the token that is still valid, so that nobody has to repeat it.
        await self._drain()

    async def _leave(self) -> None:
        for restore in self._restores.values():
            restore.cancel()
        if self._inflight is not None and not self._inflight.done():
            self._inflight.cancel()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._tuning.shutdown_timeout_s):
                if self._membership is not None:
                    await self._membership.leave()
                if self._epoch is not None:
                    await self._epoch.close()

    # One turn ------------------------------------------------------------------------------------------------

    async def _turn(self, reader: Input, membership: Membership) -> None:
        self._wake.clear()
        if self._fatal is not None:
            raise self._fatal
        try:
            membership.check()
        except Fenced as fenced:
            self._fenced(fenced)
        if self._doubt is not None:
            await self._recover(reader)
            return
        if self._token is not self._adopted:
            await self._adopt(reader)
            return
        self._collect_restores(reader)
        self._settle(reader)
        self._standing.check(self._loop.time(), self._tasks, reader)
        worked = self._compute(reader)
        delay_s = self._maybe_commit()
        if worked:
            # Heartbeats, fetches and the commit in flight take their turn.
            await asyncio.sleep(0)
        else:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(delay_s):
                    await self._wake.wait()

    # Computing -----------------------------------------------------------------------------------------------

    def _compute(self, reader: Input) -> bool:
        """Let the folds see what was fetched; false where there was nothing, or no room for it."""
        token, epoch, batch = self._token, self._epoch, self._pending
        if token is None or epoch is None or self._revoking:
            return False
        room = self._pace.room(batch.records, batch.size) if batch is not None else self._pace.limit
        if room <= 0:
            return False
        try:
            fetched = reader.take(min(SLICE_RECORDS, room), self._isolated())
        except InputLost as lost:
            reader.forget(lost.partition)
            self._look_again(lost)
            return True
        for part in fetched:
            task = self._tasks.get(part.partition)
            if task is None or task.state is not TaskState.RUNNING:
                continue
            if batch is None:
                batch = self._pending = Batch(token, epoch, self._loop.time(), self._observer.wants_metrics)
            self._feed(batch, task, part, reader)
        return bool(fetched)

    def _look_again(self, lost: InputLost) -> None:
        """The first time a restore decides: a leader may be stale, or a successor's progress past what is gone."""
        task = self._tasks.get(lost.partition)
        if task is None or task.state is not TaskState.RUNNING:
            return
        if not isinstance(lost, InputMoved):
            if task.lost_at == task.position:
                self._halt(task, str(lost))
                return
            task.lost_at = task.position
        if self._pending is not None:
            self._pending.entries.pop(task.partition, None)
        self._start_restore(task)

    def _isolated(self) -> int | None:
        """The partition that goes alone, while it works here: gone, halted or restoring it holds nobody back."""
        alone = self._pace.alone
        task = None if alone is None else self._tasks.get(alone)
        return alone if task is not None and task.state is TaskState.RUNNING else None

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
            log.warning("step failed in %s-%d: %r", self._tuning.input, task.partition, error)
            task.suspect = task.halt_at is None
            # The fold stopped in the middle of a record: neither its state nor its output can be used.
            del batch.entries[task.partition]
            reader.forget(task.partition)
            self._start_restore(task)
            return
        task.consumed(records, position)
        entry.consumed(records, self._observer.wants_traced)

    def _feed_one_by_one(self, task: Task, records: Sequence[InputRecord], batch: Batch) -> None:
        for record in records:
            try:
                task.fold.process([record], batch.entries[task.partition].out)
            except Exception as error:
                task.halt_at = record.offset
                task.cause = f"{self._tuning.input}-{task.partition} offset {record.offset}: {error!r}"
                raise

    def _halt(self, task: Task, cause: str) -> None:
        log.error("partition halted: %s", cause)
        task.halt(cause)
        self._observer.halted(task.partition, cause)

    # Committing ----------------------------------------------------------------------------------------------

    def _maybe_commit(self) -> float:
        """Start the next commit if it is due; returns for how many seconds there is nothing to do."""
        batch = self._pending
        if self._inflight is not None or batch is None or not batch.entries:
            return IDLE_COMMIT_S
        wait_s = self._pace.interval_s if batch.records else IDLE_COMMIT_S
        due_s = self._pace.last_commit + wait_s - self._loop.time()
        if due_s > 0 and self._pace.room(batch.records, batch.size) > 0:
            return due_s
        self._start_commit(batch)
        return IDLE_COMMIT_S

    def _start_commit(self, batch: Batch) -> None:
        self._pending = None
        batch.close()
        self._pace.started(self._loop.time(), batch.records)
        self._inflight_batch = batch
        self._inflight = asyncio.create_task(self._commit(batch))
        self._inflight.add_done_callback(lambda _: self._wake.set())

    async def _commit(self, batch: Batch) -> None:
        began = self._loop.time()
        try:
            if batch.token is not self._token:
                # Nothing was sent, and the revocation has dropped its tasks.
                log.info("dropped a batch of %d records: its assignment ended", batch.records)
                return
            self._observer.committing()
            await commit(batch, self._tuning.transaction_timeout_s)
        except Fenced as fenced:
            if batch.token is self._token:
                self._fenced(fenced)
            self._doubt = fenced
        except InDoubt as doubt:
            self._doubt = doubt
            self._suspect_twin(doubt, self._loop.time() - began)
            halted = self._pace.failed(doubt)
            if halted is not None and (task := self._tasks.get(halted)) is not None:
                task.refused = True
                task.cause = f"{self._tuning.input}-{halted}: {doubt}"
        except Exception as defect:
            self._fatal = defect
        else:
            self._doubts_since = None
            self._pace.succeeded(batch.entries)
            for entry in batch.entries.values():
                if entry.task.halt_at == entry.position and entry.task.state is TaskState.RUNNING:
                    self._halt(entry.task, entry.task.cause or "")
            self._observer.committed(
                Committed(
                    self._loop.time() - began,
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
        finally:
            self._inflight = self._inflight_batch = None

    # Doubt ---------------------------------------------------------------------------------------------------

    def _fenced(self, fenced: Fenced) -> None:
        """The token is void; the next assignment brings a new one."""
        self._doubt = fenced
        self._token = None
        if self._membership is not None and not self._revoking:
            self._membership.rejoin()

    def _suspect_twin(self, doubt: InDoubt, elapsed_s: float) -> None:
        if not isinstance(doubt, ProducerFenced) or elapsed_s >= self._tuning.transaction_timeout_s:
            return
        now = self._loop.time()
        if self._fenced_at is not None and now - self._fenced_at < FENCED_WINDOW_S:
            self._fatal = InstanceIdInUse(self._tuning.instance_id)
        self._fenced_at = now

    async def _recover(self, reader: Input) -> None:
        """Rule R3: first a new epoch, which ends what is open and fences what is late; then restore."""
        if self._inflight is not None:
            # The group's word came while a transaction was under way: its own end comes first.
            await asyncio.wait({self._inflight})
        doubt, self._doubt = self._doubt, None
        log.warning("new epoch after: %s", doubt)
        self._observer.doubted(str(doubt))
        self._pending = None
        if self._doubts_since is None:
            self._doubts_since = self._loop.time()
        old = self._epoch
        self._epoch = await self._cluster.open_epoch()
        self._observer.epoch_opened()
        if old is not None:
            await old.close()
        if self._loop.time() - self._doubts_since > self._tuning.stuck_timeout_s:
            raise Stuck(f"no transaction succeeded for {self._tuning.stuck_timeout_s:g} s, last: {doubt}")
        for task in self._tasks.values():
            if task.state is TaskState.RUNNING and not task.clean:
                reader.forget(task.partition)
                if self._token is not None:
                    self._start_restore(task)

    def _settle(self, reader: Input) -> None:
        """Time in which there is nothing to commit is no time without success."""
        if self._doubts_since is None or self._pending is not None or self._inflight is not None or self._restores:
            return
        working = [task.partition for task in self._tasks.values() if task.state is TaskState.RUNNING]
        if all(reader.lag(partition) == 0 for partition in working):
            self._doubts_since = None
            self._observer.settled()

    # Assignments ---------------------------------------------------------------------------------------------

    def assigned(self, token: Token) -> None:
        """The listener's word: recorded here, acted upon in the next turn (rule R5)."""
        self._token = token
        self._wake.set()

    async def revoked(self) -> None:
        """Commit what the token still covers, within a deadline; then the token is void."""
        self._revoking = True
        drain = asyncio.create_task(self._drain())
        await asyncio.wait({drain}, timeout=self._tuning.revoke_timeout_s)
        drain.cancel()
        self._token = None
        self._pending = None
        self._revoking = False
        for restore in self._restores.values():
            restore.cancel()
        self._restores.clear()
        for task in self._tasks.values():
            if self._input is not None:
                self._input.forget(task.partition)
            if task.state is not TaskState.KEPT:
                keep = task.state is TaskState.RUNNING and task.clean and task.cause is None
                task.move_to(TaskState.KEPT if keep else TaskState.CLOSED)
        self._observer.revoked(frozenset(self._tasks))
        self._tasks = {p: task for p, task in self._tasks.items() if task.state is TaskState.KEPT}
        self._wake.set()

    async def _drain(self) -> None:
        """Wait for the transaction in flight, then commit the batch already computed."""
        while True:
            if self._inflight is not None:
                await asyncio.wait({self._inflight})
            elif not (self._doubt or self._fatal) and self._pending is not None and self._pending.entries:
                self._start_commit(self._pending)
            else:
                return

    async def _adopt(self, reader: Input) -> None:
        token = self._token
        if self._inflight is not None:
            # No restore while our own transaction is open on the partition.
            await asyncio.wait({self._inflight})
            return
        self._adopted = token
        self._doubts_since = None  # time without a partition is no time without success
        if token is None:
            return
        log.info("generation %d: partitions %s", token.generation, sorted(token.partitions))
        count = self._tuning.partition_count
        if max(token.partitions, default=-1) >= count:
            raise Refused(
                f"input {self._tuning.input} has got more than the {count} partitions of topics.partitions: sessions "
                "would change partition; use new topics for another partition count"
            )
        self._observer.assigned(token.partitions, token.generation)
        for partition in set(self._tasks) - token.partitions:
            self._tasks.pop(partition).move_to(TaskState.CLOSED)
        for partition in sorted(token.partitions):
            task = self._tasks.get(partition)
            if task is None:
                task = Task(partition, self._factory, self._tuning.partition_count, self._tuning.version)
                self._tasks[partition] = task
            self._start_restore(task)

    def _start_restore(self, task: Task) -> None:
        if task.state is TaskState.RUNNING:
            task.move_to(TaskState.RESTORING)
        self._observer.restore_began(task.partition)
        restore = asyncio.create_task(self._restore(task))
        restore.add_done_callback(lambda _: self._wake.set())
        self._restores[task.partition] = restore

    async def _restore(self, task: Task) -> bool:
        while self._inflight_batch is not None and task.partition in self._inflight_batch.entries:
            inflight = self._inflight
            assert inflight is not None
            await asyncio.wait({inflight})
        token = self._token
        barrier = Barrier(self._tuning.instance_id, token.generation if token is not None else -1)
        async with self._restore_slots:
            began = self._loop.time()
            kept = await self._restorer.restore(task, barrier)
            task.move_to(TaskState.RUNNING)
            figures = task.fold.figures()
            self._observer.running(task.partition, task.position, kept, self._loop.time() - began, figures)
            return kept

    def _collect_restores(self, reader: Input) -> None:
        for partition, restore in list(self._restores.items()):
            if not restore.done():
                continue
            del self._restores[partition]
            task = self._tasks[partition]
            error = restore.exception()
            if isinstance(error, Refused):
                self._halt(task, str(error))
                if all(other.state is TaskState.HALTED for other in self._tasks.values()):
                    raise error
            elif error is not None:
                raise error
            elif task.refused or (task.halt_at is not None and task.position >= task.halt_at):
                self._halt(task, task.cause or "")
            else:
                reader.seek(partition, task.position)
