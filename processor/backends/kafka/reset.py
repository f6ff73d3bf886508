"""Moving the progress of partitions by an operator's word.

It is a commit by the group's only member (`sole_member`), behind its own barrier.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from processor.backends.kafka.reader import LATEST, list_offset
from processor.backends.kafka.sole_member import JOINED_MEANWHILE, STOP_FIRST, OperatorsWork, alone
from processor.config import APPLICATION_VERSION, Settings
from processor.engine.commit import Batch, commit
from processor.engine.lifecycle import TaskState
from processor.engine.ports import InputRecord, Outbox, Token
from processor.engine.task import Task
from processor.errors import Fenced, InDoubt, Refused
from schemas.progress import FORMAT, Barrier, Reset, encode_barrier, encode_reset, reset_key

log = logging.getLogger(__name__)

NAME = "reset"  # of the member and of its transactional id


class KeptState:
    """The engine's `Fold` of a partition that only moves: its marks stay, and all else that is stored."""

    def __init__(self, _partition: int) -> None:
        self.moved: dict[bytes, bytes | None] = {}
        self._marks = b""

    def process(self, records: Sequence[InputRecord], out: Outbox) -> None:
        """Raises: whoever moves a partition reads no input."""
        raise AssertionError("a reset processes nothing")

    def changes(self) -> Iterable[tuple[bytes, bytes | None]]:
        """The record that tells of the reset."""
        return self.moved.items()

    def marks(self) -> bytes:
        """As they were stored."""
        return self._marks

    def tally(self) -> Mapping[str, float]:
        """Nothing happened that would count."""
        return {}

    def diary(self) -> Sequence[tuple[str, dict[str, Any]]]:
        """Nothing happened that would be told."""
        return ()

    def figures(self) -> Mapping[str, float]:
        """Nobody looks."""
        return {}

    def restore(self, key: bytes, value: bytes | None) -> None:
        """The state stays where it is."""

    def restored(self, marks: bytes) -> None:
        """Take over the stored marks."""
        self._marks = marks


class StoredProgress(OperatorsWork):
    """Implements `processor.surfaces.ports.ProgressAdmin`, in plain numbers."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings, NAME, "processor")

    async def place(self, partition: int) -> tuple[int, int, int]:
        """Next offset, and earliest and end offset of the input; changes nothing."""
        topic = self._settings.topics.changelog
        end = await list_offset(self._cluster.store_connection, topic, partition, LATEST)
        task = self._task(partition)
        if end:
            await self._read(task, end - 1)
        else:
            task.begin_restore()
        following = task.end_restore(end, topic).next_offset
        return following, *await self._cluster.input_bounds(partition)

    async def offset_at(self, partition: int, timestamp_ms: int) -> int | None:
        """The first input offset of a record that is not older."""
        topic = self._settings.topics.state
        offset = await list_offset(self._cluster.input_connection, topic, partition, timestamp_ms)
        return offset if offset >= 0 else None

    async def move(self, moves: Mapping[int, tuple[int, int]]) -> None:
        """Partition to (offset it is at, offset to go on at), in one transaction; raises `Refused`."""
        async with alone(self._cluster, self._settings) as token:
            await self._commit(token, moves)

    async def _commit(self, token: Token, moves: Mapping[int, tuple[int, int]]) -> None:
        epoch = await self._cluster.open_epoch()
        try:
            batch = Batch(token, epoch, 0.0)
            for partition, (previous, following) in sorted(moves.items()):
                batch.entry(await self._moved(partition, previous, following, token))
            batch.close()
            await commit(batch, self._settings.engine.transaction_timeout_ms / 1000)
        except (Fenced, InDoubt, Refused) as error:
            # A new epoch ends what is open, so that no processor has to wait for its time-out.
            await (await self._cluster.open_epoch()).close()
            if isinstance(error, Fenced):
                raise Refused(f"{JOINED_MEANWHILE}, nothing was changed: {STOP_FIRST}") from None
            if isinstance(error, InDoubt):
                raise Refused(
                    f"the transaction was not answered ({error}): look with a dry run whether it was committed"
                ) from None
            raise
        finally:
            await epoch.close()

    async def _moved(self, partition: int, previous: int, following: int, token: Token) -> Task:
        barrier = await self._cluster.barrier(partition, encode_barrier(Barrier(NAME, token.generation)))
        task = self._task(partition)
        await self._read(task, barrier)
        stored = task.end_restore(barrier, self._settings.topics.changelog)
        if stored.next_offset != previous:
            raise Refused(
                f"partition {partition} went on from {previous} to {stored.next_offset} meanwhile, nothing was "
                "changed: look again with a dry run"
            )
        task.go_on_at(following)
        assert isinstance(task.fold, KeptState)
        reset = Reset(FORMAT, APPLICATION_VERSION, previous, following)
        task.fold.moved[reset_key(barrier)] = encode_reset(reset)
        return task

    def _task(self, partition: int) -> Task:
        settings = self._settings
        return Task(
            partition, KeptState, settings.topics.partitions, APPLICATION_VERSION, settings.engine.application_id
        )

    async def _read(self, task: Task, barrier: int) -> None:
        """Restore the task up to the record at this offset; waits for open transactions, and says so."""
        told = False

        def waiting(position: int) -> None:
            nonlocal told
            if not told:
                log.warning(
                    "changelog of partition %d: waiting at offset %d for a transaction to end", task.partition, position
                )
                told = True

        task.begin_restore()
        while not await self._cluster.read_changelog(task.partition, barrier, task.restore, waiting):
            assert task.state is TaskState.RESTORING
            task.begin_restore()
