"""A transaction: what it carries, and the steps of its commit.

Rule R1: an accepted TxnOffsetCommit proves that everything written before it was in the log while the generation
was still valid.  Hence the order of the steps, and nothing in memory counts as committed before the last one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from processor.engine.ports import Buffer, Epoch, Header, InputRecord, LogEvent, Outbox, Token
from processor.engine.task import Task
from processor.errors import Refused, TimedOut
from schemas.progress import PROGRESS_KEY

MAX_TRACED = 1_000  # of one partition in one batch; what is beyond is not worth the memory


class Watched:
    """A partition's buffer that also keeps the metrics, for those who watch the stream after the commit."""

    def __init__(self, buffer: Buffer) -> None:
        self.metrics: list[bytes] = []
        self.action = buffer.action
        self.dead_letter = buffer.dead_letter
        self._metric = buffer.metric

    def metric(self, key: bytes | None, value: bytes, headers: list[Header]) -> None:
        """As the buffer's."""
        self.metrics.append(value)
        self._metric(key, value, headers)


@dataclass
class Entry:
    """One partition's part of a batch."""

    task: Task
    buffer: Buffer
    records: int = 0
    position: int = -1
    first_ms: int = -1
    last_ms: int = -1
    tally: Mapping[str, float] = field(default_factory=dict)
    diary: Sequence[LogEvent] = ()
    figures: Mapping[str, float] = field(default_factory=dict)
    watched: Watched | None = None
    traced: list[InputRecord] = field(default_factory=list)

    @property
    def out(self) -> Outbox:
        """Where the fold writes to."""
        return self.buffer if self.watched is None else self.watched

    def consumed(self, records: Sequence[InputRecord], trace: bool) -> None:
        """The fold has seen these records, in order."""
        if not records:
            return
        if not self.records:
            self.first_ms = _time_ms(records[0])
        self.records += len(records)
        self.last_ms = _time_ms(records[-1])
        if trace and len(self.traced) < MAX_TRACED:
            self.traced.extend([record for record in records if record.headers][: MAX_TRACED - len(self.traced)])


def _time_ms(record: InputRecord) -> int:
    return -1 if record.timestamp is None else record.timestamp


@dataclass
class Batch:
    """What has been computed under one token and not been sent."""

    token: Token
    epoch: Epoch
    since: float
    watched: bool = False
    entries: dict[int, Entry] = field(default_factory=dict)

    @property
    def records(self) -> int:
        """Input records in the batch."""
        return sum(entry.records for entry in self.entries.values())

    @property
    def size(self) -> int:
        """Bytes buffered."""
        return sum(entry.buffer.size() for entry in self.entries.values())

    def entry(self, task: Task) -> Entry:
        """The task's part; makes the task unclean."""
        entry = self.entries.get(task.partition)
        if entry is None:
            buffer = self.epoch.buffer(task.partition)
            entry = self.entries[task.partition] = Entry(
                task, buffer, watched=Watched(buffer) if self.watched else None
            )
            task.computed += 1
        return entry

    def close(self) -> None:
        """Add changed state and progress: from here on the folds may compute the next batch."""
        for entry in self.entries.values():
            change = entry.buffer.change
            for key, value in entry.task.fold.changes():
                change(key, value)
            change(PROGRESS_KEY, entry.task.progress())
            entry.position = entry.task.position
            entry.tally = dict(entry.task.fold.tally())
            entry.diary = entry.task.fold.diary()
            entry.figures = entry.task.fold.figures()


async def commit(batch: Batch, timeout_s: float) -> None:
    """Raises `Fenced`, `InDoubt` or a subclass; on return the transaction is committed.

    Raises `Refused` where a changelog is no longer the one that holds the rest of the state.
    """
    epoch = batch.epoch
    buffers = {partition: entry.buffer for partition, entry in batch.entries.items()}
    positions = {partition: entry.position for partition, entry in batch.entries.items()}
    try:
        async with asyncio.timeout(timeout_s):
            # 1. Every partition is known to the transaction before anything is written to it.
            await epoch.add_partitions(buffers)
            # 2. Every write is acknowledged by all in-sync replicas before the offsets speak for them.
            written, added = await asyncio.gather(epoch.produce(buffers), epoch.add_offsets(), return_exceptions=True)
            if isinstance(written, BaseException):
                raise written
            if isinstance(added, BaseException):
                raise added
            for partition, entry in batch.entries.items():
                _check_log(entry.task, written[partition])
            # 3. The group accepts the offsets only from the generation that the token names.
            await epoch.commit_offsets(batch.token, positions)
            # 4. Once, and never again: a repeated EndTxn could end the next transaction.
            await epoch.end()
    except TimeoutError:
        raise TimedOut(f"transaction not answered within {timeout_s:g} s") from None
    for partition, entry in batch.entries.items():
        entry.task.answered(written[partition])


def _check_log(task: Task, written: int) -> None:
    """A log never gets shorter: one that did was made anew, and holds nothing of the sessions not in this batch."""
    if 0 <= written < task.changelog_next:
        raise Refused(
            f"changelog of partition {task.partition} ends at offset {written}, before {task.changelog_next} where "
            "our last commit ended: it was deleted, recreated or truncated; stop all instances, then restore the topic "
            "or rebuild it with `creative-feedback rebuild`"
        )
