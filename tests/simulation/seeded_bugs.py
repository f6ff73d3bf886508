"""Bugs that the checks must see: each is a small variant of the engine, of the client or of the fold.

A suite that has never failed proves nothing; every bug here once lost, repeated or tore something in somebody's
processor.  `SEEDED_BUGS` gives each its name, the rule it breaks, and how to put it in.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

import processor.engine.transactions as transactions_module
from processor.engine.commit import Batch, commit
from processor.engine.lifecycle import TaskState
from processor.engine.partitions import Partitions
from processor.engine.ports import Buffer, Epoch, Input, InputRecord, Outbox, Token
from processor.engine.restoring import Restorer
from processor.engine.runner import Runner
from processor.engine.task import Task
from processor.engine.transactions import Transactions
from processor.errors import Fenced, InDoubt, Rejected
from schemas.progress import Barrier, Progress
from tests.simulation.broker import CHANGELOG
from tests.simulation.client import ModelCluster, ModelEpoch
from tests.simulation.log import ABORTED, COMMITTED, OPEN
from tests.simulation.network import Fate
from tests.simulation.plans import HASTY
from tests.simulation.simulation import Plan
from tests.simulation.tally_fold import SESSION_TTL_MS, TallyFold

Patch = Callable[[pytest.MonkeyPatch], None]


@dataclass(frozen=True)
class SeededBug:
    """``patch`` changes the engine, ``plan`` how it is run."""

    name: str
    rule: str
    patch: Patch = lambda _: None
    plan: Mapping[str, Any] = field(default_factory=dict)

    def planned(self, seed: int) -> Plan:
        """The run in which the bug should show."""
        return replace(Plan(seed), **self.plan)


# The commit ----------------------------------------------------------------------------------------------------


def _offsets_before_writes(patch: pytest.MonkeyPatch) -> None:
    async def wrong(batch: Batch, timeout_s: float) -> None:
        epoch = batch.epoch
        buffers = {partition: entry.buffer for partition, entry in batch.entries.items()}
        positions = {partition: entry.position for partition, entry in batch.entries.items()}
        try:
            async with asyncio.timeout(timeout_s):
                await epoch.add_partitions(buffers)
                await epoch.add_offsets()
                await epoch.commit_offsets(batch.token, positions)
                await epoch.produce(buffers)
                await epoch.end()
        except TimeoutError:
            raise InDoubt("late") from None
        for entry in batch.entries.values():
            entry.task.answered(-1)

    patch.setattr(transactions_module, "commit", wrong)


def _position_at_commit(patch: pytest.MonkeyPatch) -> None:
    async def wrong(batch: Batch, timeout_s: float) -> None:
        for entry in batch.entries.values():
            entry.position = entry.task.position
        await commit(batch, timeout_s)

    async def later(batch: Batch, timeout_s: float) -> None:
        await asyncio.sleep(0.01)  # meanwhile the next batch is computed
        await wrong(batch, timeout_s)

    patch.setattr(transactions_module, "commit", later)


def _committed_before_the_answer(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Task, "clean", property(lambda _: True))


def _writes_are_not_in_the_transaction_of_offsets(patch: pytest.MonkeyPatch) -> None:
    original = ModelEpoch.commit_offsets

    async def wrong(self: ModelEpoch, token: Token, positions: Mapping[int, int]) -> None:
        first = min(positions)
        await original(self, token, {first: positions[first]})

    patch.setattr(ModelEpoch, "commit_offsets", wrong)


def _delivery_not_awaited(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ModelEpoch, "enough", lambda _, waiting: waiting <= 1)


def _rejection_ignored(patch: pytest.MonkeyPatch) -> None:
    original = ModelEpoch.produce

    async def wrong(self: ModelEpoch, buffers: Mapping[int, Buffer]) -> dict[int, int]:
        try:
            return await original(self, buffers)
        except Rejected:
            return dict.fromkeys(buffers, -1)

    patch.setattr(ModelEpoch, "produce", wrong)


def _end_repeated(patch: pytest.MonkeyPatch) -> None:
    original = ModelEpoch.end

    async def wrong(self: ModelEpoch) -> None:
        for _ in range(5):
            try:
                return await original(self)
            except InDoubt:
                continue
        return await original(self)

    patch.setattr(ModelEpoch, "end", wrong)


def _epoch_reused(patch: pytest.MonkeyPatch) -> None:
    original = ModelCluster.open_epoch

    epochs: dict[ModelCluster, Epoch] = {}

    async def wrong(self: ModelCluster) -> Epoch:
        if self not in epochs:
            epochs[self] = await original(self)
        return epochs[self]

    patch.setattr(ModelCluster, "open_epoch", wrong)


def _offsets_outside(patch: pytest.MonkeyPatch) -> None:
    """A plain OffsetCommit in the middle of the transaction: it stays when the transaction does not."""

    async def wrong(self: ModelEpoch, token: Token, positions: Mapping[int, int]) -> None:
        group = self.broker.group

        def commit() -> None:
            if token.member_id not in group.members or token.generation != group.generation:
                raise Fenced("ILLEGAL_GENERATION")
            group.offsets.update(positions)

        await self.broker.ask(self.process, "commit_offsets", commit)

    patch.setattr(ModelEpoch, "commit_offsets", wrong)


def _epoch_after_abort(patch: pytest.MonkeyPatch) -> None:
    """EndTxn(abort) instead of a new epoch."""
    original = ModelCluster.open_epoch
    epochs: dict[ModelCluster, ModelEpoch] = {}

    async def wrong(self: ModelCluster) -> Epoch:
        known = epochs.get(self)
        coordinator = self.broker.transactions
        if known is not None and coordinator.ids[known.name].epoch == known.epoch:
            with suppress(InDoubt):
                await self.broker.insist(
                    self.process, "end", lambda: coordinator.end(known.name, known.epoch, committed=False)
                )
            return known
        epoch = await original(self)
        assert isinstance(epoch, ModelEpoch)
        epochs[self] = epoch
        return epoch

    patch.setattr(ModelCluster, "open_epoch", wrong)


def _kept_after_abort(patch: pytest.MonkeyPatch) -> None:
    original = Runner._recover

    async def wrong(self: Runner, reader: Input) -> None:
        for task in self.tasks.values():
            task.committed = task.computed
        await original(self, reader)

    patch.setattr(Runner, "_recover", wrong)


def _next_batch_survives(patch: pytest.MonkeyPatch) -> None:
    """Batch N failed; batch N+1, computed upon it, is sent in the new epoch."""
    original = Runner._recover

    async def wrong(self: Runner, reader: Input) -> None:
        transactions = self._transactions
        await transactions.answered()
        pending = transactions.pending
        for entry in pending.entries.values() if pending is not None else ():
            entry.task.computed = entry.task.committed
        await original(self, reader)
        if pending is not None and pending.token is transactions.token and transactions.epoch is not None:
            pending.epoch = transactions.epoch
            transactions.pending = pending

    patch.setattr(Runner, "_recover", wrong)


# The token -----------------------------------------------------------------------------------------------------


def _with_token(change: Callable[[ModelEpoch, Token], Token]) -> Patch:
    def patch_it(patch: pytest.MonkeyPatch) -> None:
        original = ModelEpoch.commit_offsets

        async def wrong(self: ModelEpoch, token: Token, positions: Mapping[int, int]) -> None:
            await original(self, change(self, token), positions)

        patch.setattr(ModelEpoch, "commit_offsets", wrong)

    return patch_it


def _current(epoch: ModelEpoch, token: Token) -> Token:
    member_id, _ = epoch.broker._members[epoch.process]
    return token._replace(generation=epoch.broker.group.generation, member_id=member_id)


# Restore and rebalance -----------------------------------------------------------------------------------------


def _reading(read: Callable[[ModelCluster, int, int], tuple[int, frozenset[int]]]) -> Patch:
    """``read`` says from cluster, partition and barrier: the end, and which records count."""

    def patch_it(patch: pytest.MonkeyPatch) -> None:
        async def wrong(
            self: ModelCluster,
            partition: int,
            barrier: int,
            each: Callable[[bytes, bytes | None], None],
            waiting: Callable[[int], None],
        ) -> bool:
            end, states = read(self, partition, barrier)
            await asyncio.sleep(0.001)
            for entry in self.broker.logs[CHANGELOG, partition].entries:
                if entry.state in states and entry.offset < end:
                    assert entry.key is not None
                    each(entry.key, entry.value)
            return True

        patch.setattr(ModelCluster, "read_changelog", wrong)

    return patch_it


def _to_last_stable(cluster: ModelCluster, partition: int, _: int) -> tuple[int, frozenset[int]]:
    return cluster.broker.logs[CHANGELOG, partition].last_stable, frozenset({COMMITTED})


def _uncommitted(cluster: ModelCluster, partition: int, barrier: int) -> tuple[int, frozenset[int]]:
    return barrier, frozenset({COMMITTED, OPEN, ABORTED})


def _ended_by_time(patch: pytest.MonkeyPatch) -> None:
    original = ModelCluster.read_changelog

    async def wrong(self: ModelCluster, *arguments: Any) -> bool:
        try:
            async with asyncio.timeout(0.05):
                return await original(self, *arguments)
        except TimeoutError:
            return True

    patch.setattr(ModelCluster, "read_changelog", wrong)


def _stale_end(patch: pytest.MonkeyPatch) -> None:
    async def wrong(self: ModelCluster, partition: int, value: bytes) -> int:
        """The end as whoever is asked lists it: an isolated leader does not know better."""
        log = self.broker.logs[CHANGELOG, partition]
        return await self.broker.insist(self.process, "bounds", lambda: self.broker.bounds(self.process, log).end - 1)

    patch.setattr(ModelCluster, "barrier", wrong)


def _kept_though_others_wrote(patch: pytest.MonkeyPatch) -> None:
    original = Restorer.restore

    async def wrong(self: Restorer, task: Task, barrier: Barrier) -> bool:
        if task.state is TaskState.KEPT:
            await asyncio.sleep(0)
            return True
        return await original(self, task, barrier)

    patch.setattr(Restorer, "restore", wrong)


def _resumed_at(change: Callable[[Task, Any], int]) -> Patch:
    def patch_it(patch: pytest.MonkeyPatch) -> None:
        original = Partitions.collect

        def wrong(self: Partitions, reader: Input) -> None:
            for partition, restore in self.restores.items():
                if restore.done() and not restore.cancelled() and restore.exception() is None:
                    task = self.tasks[partition]
                    task.position = change(task, self._restorer.cluster)
            original(self, reader)

        patch.setattr(Partitions, "collect", wrong)

    return patch_it


def _group_offset(task: Task, cluster: ModelCluster) -> int:
    return cluster.broker.group.offsets.get(task.partition, 0)


def _progress_without_marks(patch: pytest.MonkeyPatch) -> None:
    original = Task.end_restore

    def wrong(self: Task, barrier: int, topic: str) -> Progress:
        progress = original(self, barrier, topic)
        fold = self.fold
        assert isinstance(fold, TallyFold)
        fold.stream_time_ms = -1
        return progress

    patch.setattr(Task, "end_restore", wrong)


def _failed_part_sent(patch: pytest.MonkeyPatch) -> None:
    """A batch of an ended assignment is sent under the new one."""
    original = Transactions._commit

    async def wrong(self: Transactions, batch: Batch) -> None:
        if self.token is not None:
            batch.token = self.token
        await original(self, batch)

    async def revoked(self: Runner) -> None:
        self._transactions.token = None
        for task in self.tasks.values():
            if self._input is not None:
                self._input.forget(task.partition)
            task.move_to(TaskState.CLOSED)
        self._partitions.cancel_restores()
        self._partitions.restores.clear()
        self._partitions.tasks = {}

    patch.setattr(Transactions, "_commit", wrong)
    patch.setattr(Runner, "revoked", revoked)


# The fold ------------------------------------------------------------------------------------------------------


class _NoTombstones(TallyFold):
    def changes(self) -> Iterable[tuple[bytes, bytes | None]]:
        return ((key, value) for key, value in super().changes() if value is not None)


class _SequencesForgotten(TallyFold):
    def restored(self, marks: bytes) -> None:
        super().restored(marks)
        self.sessions = {key: session._replace(sequence=-1) for key, session in self.sessions.items()}


class _ErrorsSwallowed(TallyFold):
    def process(self, records: Sequence[InputRecord], out: Outbox) -> None:
        super().process([record for record in records if record.value != b"bad"], out)


class _WallClock(TallyFold):
    def process(self, records: Sequence[InputRecord], out: Outbox) -> None:
        self.stream_time_ms = max(self.stream_time_ms, int(asyncio.get_running_loop().time() * 1000))
        super().process(records, out)


class _BatchMatters(TallyFold):
    """Within one batch a session's repetitions are looked for only once."""

    def process(self, records: Sequence[InputRecord], out: Outbox) -> None:
        super().process(list({(record.key, record.value): record for record in records}.values()), out)


class _ExpiryBySweep(TallyFold):
    """Sessions expire at the beginning of a batch, by what the time was before it."""

    def process(self, records: Sequence[InputRecord], out: Outbox) -> None:
        before = self.stream_time_ms
        for key, session in list(self.sessions.items()):
            if before - session.last_ms > SESSION_TTL_MS:
                del self.sessions[key]
                self._changed[key] = None
        super().process(records, out)

    def _reclaim(self, now_ms: int) -> None:
        return


ISOLATED: dict[str, Any] = {"partitions": 2, "fault_pause_s": 0.15, "faults": {"isolated leader": 2, "leave": 2}}
ZOMBIES: dict[str, Any] = {"instances": 2, "fault_pause_s": 1.0, "faults": {"long pause": 1}}
SLOW_MARKERS: dict[str, Any] = {"fault_pause_s": 0.3, "faults": {"slow markers": 2, "kill": 2, "leave": 1}}
REFUSALS: dict[str, Any] = {"fault_pause_s": 0.3, "faults": {"refusal": 1}}
RESTARTS: dict[str, Any] = {"fault_pause_s": 0.2, "faults": {"kill": 2, "leave": 1, "rebalance": 1}}

SEEDED_BUGS = [
    SeededBug(
        "offsets are sent before the writes are acknowledged",
        "R1",
        _offsets_before_writes,
        {**HASTY, "often": {("produce", Fate.LOST): 0.1}},
    ),
    SeededBug("offsets are committed outside the transaction", "R1", _offsets_outside),
    SeededBug("one delivery is not awaited", "R1", _delivery_not_awaited),
    SeededBug("a rejected batch does not fail the transaction", "R1", _rejection_ignored, REFUSALS),
    SeededBug("offsets of one partition only", "R1", _writes_are_not_in_the_transaction_of_offsets),
    SeededBug(
        "generation is not sent", "R1", _with_token(lambda _, token: Token(-1, "", None, token.partitions)), HASTY
    ),
    SeededBug(
        "generation is read at commit",
        "R1",
        _with_token(_current),
        {**HASTY, "often": {("commit_offsets", Fate.LOST): 0.02, ("produce", Fate.LOST): 0.1}},
    ),
    SeededBug("a batch of an ended assignment is sent", "R1", _failed_part_sent),
    SeededBug("the next offset is read at commit", "R2", _position_at_commit),
    SeededBug("work resumes at the group offset", "R2", _resumed_at(_group_offset), SLOW_MARKERS),
    SeededBug("one record is skipped at a resume", "R2", _resumed_at(lambda task, _: task.position + 1)),
    SeededBug("one record is repeated at a resume", "R2", _resumed_at(lambda task, _: max(0, task.position - 1))),
    SeededBug("EndTxn is repeated", "R3", _end_repeated, {"often": {("end", Fate.LATE): 0.2}}),
    SeededBug("the epoch is used again after a doubt", "R3", _epoch_reused),
    SeededBug(
        "the epoch is used again after an abort",
        "R3",
        _epoch_after_abort,
        {"often": {("commit_offsets", Fate.LATE): 0.1, ("end", Fate.LATE): 0.1, ("add_partitions", Fate.LATE): 0.1}},
    ),
    SeededBug("state is kept though unclean", "R3", _committed_before_the_answer),
    SeededBug("state is kept after an abort", "R3", _kept_after_abort),
    SeededBug("restore reads to the last stable offset", "R4", _reading(_to_last_stable), SLOW_MARKERS),
    SeededBug("restore reads what is not committed", "R4", _reading(_uncommitted)),
    SeededBug("restore is ended by time", "R4", _ended_by_time, SLOW_MARKERS),
    SeededBug("the end is taken from a stale leader", "R4", _stale_end, ISOLATED),
    SeededBug("state is kept though others wrote", "R5", _kept_though_others_wrote, ZOMBIES),
    SeededBug("the next batch is kept when one fails", "R6", _next_batch_survives),
    SeededBug("the clock has a say", "R8", plan={"fold": _WallClock}),
    SeededBug("the batch has a say", "R8", plan={"fold": _BatchMatters}),
    SeededBug("bad input is dropped in silence", "R9", plan={"fold": _ErrorsSwallowed}),
    SeededBug("sequences are not in the state", "R11", plan={"fold": _SequencesForgotten}),
    SeededBug("stream time is not restored", "R12", _progress_without_marks, RESTARTS),
    SeededBug("tombstones are dropped", "R12", plan={"fold": _NoTombstones}),
    SeededBug("sessions expire by sweep", "R12", plan={"fold": _ExpiryBySweep}),
]
