"""The engine's `Cluster` on Apache Kafka."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from processor.backends.kafka.buffer import BatchList
from processor.backends.kafka.connection import Connection, retries
from processor.backends.kafka.epoch import Lineage, TransactionalEpoch
from processor.backends.kafka.group import GroupMembership
from processor.backends.kafka.reader import EARLIEST, LATEST, Reader, list_offset
from processor.backends.kafka.records import produce_plain
from processor.config import Settings
from processor.engine.ports import Epoch, Fetched, Input, InputRecord, Listener, Membership
from processor.errors import InputLost, InputMoved, Refused, Stuck, Unreachable
from schemas.progress import BARRIER_KEY

log = logging.getLogger(__name__)

STILL_S = 1.0  # a restore that has not moved for this long says so and looks for a new leader


class KafkaInput:
    """The engine's `Input`: one reader over the input topic."""

    def __init__(self, connection: Connection, topic: str, wake: Callable[[], None]) -> None:
        self._lost: list[InputLost] = []
        self._reader = Reader(
            connection,
            topic,
            wake,
            lambda partition, why: self._lost.append(InputLost(partition, why)),
            lambda partition, why: self._lost.append(InputMoved(partition, why)),
        )
        self.seek = self._reader.seek
        self.forget = self._reader.forget
        self.lag = self._reader.lag
        self.silence_s = self._reader.silence_s

    def take(self, max_records: int, only: int | None = None) -> list[Fetched]:
        """What is here; raises `InputLost` for a partition that cannot be read on."""
        if self._lost:
            raise self._lost.pop()
        return [Fetched(*part) for part in self._reader.take(max_records, only)]

    async def close(self) -> None:
        """End all fetches."""
        await self._reader.close()


class KafkaCluster:
    """All connections of one instance."""

    def __init__(self, settings: Settings, instance_id: str) -> None:
        self._settings = settings
        self._topics = settings.topics
        self._instance_id = instance_id
        self._name = f"{settings.engine.application_id}-{instance_id}"
        self._lineage = Lineage()
        self.input_connection = Connection(settings.kafka, f"{self._name}-input")
        self.store_connection = Connection(settings.kafka, f"{self._name}-changelog")
        self._input: KafkaInput | None = None

    async def open(self) -> None:
        """Connect. Raises `Unreachable`."""
        await self.input_connection.open(frozenset({self._topics.state}))
        await self.store_connection.open(frozenset({self._topics.changelog, self._topics.state}))

    async def close(self) -> None:
        """Close everything that `open` opened."""
        if self._input is not None:
            await self._input.close()
        await self.input_connection.close()
        await self.store_connection.close()

    async def join(self, listener: Listener) -> Membership:
        """Join the group; the listener hears of every assignment."""
        connection = Connection(self._settings.kafka, f"{self._name}-group")
        await connection.open(frozenset({self._topics.state}))
        return GroupMembership(self._settings, self._instance_id, connection, listener)

    async def open_epoch(self) -> Epoch:
        """A new epoch of the transactional id; retries until the cluster answers or the stuck time-out is over."""
        deadline_s = self._settings.engine.stuck_timeout_ms / 1000
        last = "check the brokers, then start again"
        try:
            async with asyncio.timeout(deadline_s):
                async for _ in retries():
                    epoch = TransactionalEpoch(self._settings, self._name, self._lineage)
                    # A cluster that was there at the start comes back: its restart ends no instance.
                    try:
                        await epoch.open()
                    except Unreachable as error:
                        last = str(error)
                    except BaseException:
                        await epoch.close()
                        raise
                    else:
                        return epoch
        except TimeoutError:
            raise Stuck(f"no transaction coordinator answered for {deadline_s:g} s: {last}") from None
        raise AssertionError("retries() does not end")

    async def open_input(self, wake: Callable[[], None]) -> Input:
        """The reader of the input topic."""
        self._input = KafkaInput(self.input_connection, self._topics.state, wake)
        return self._input

    async def barrier(self, partition: int, value: bytes) -> int:
        """Append the barrier record; a repeated one only moves the end."""
        topic = self._topics.changelog
        records = BatchList(topic, 1024, transactional=False)
        records.append(BARRIER_KEY, value, [])
        return await produce_plain(self.store_connection, topic, partition, records)

    async def read_changelog(
        self,
        partition: int,
        barrier: int,
        each: Callable[[bytes, bytes | None], None],
        waiting: Callable[[int], None],
    ) -> bool:
        """From the beginning until the position is past the barrier, however long that takes.

        Raises `Refused` where the beginning is gone: compaction leaves it where it was, so somebody cut the log, and
        the sessions that were quiet since are missing though the progress record may be there.  A refusal by ``each``
        gets the record's offset.
        """
        topic = self._topics.changelog
        arrived = asyncio.Event()
        lost: list[str] = []
        start = await list_offset(self.store_connection, topic, partition, EARLIEST)
        if start > 0:
            raise Refused(
                f"changelog {topic}-{partition} begins at offset {start}: it was truncated (retention or deleted "
                "records), and state is missing; restore the topic, keep its cleanup.policy at compact; or delete it, "
                "run `creative-feedback topics apply` to make it anew, then `creative-feedback rebuild`"
            )
        reader = Reader(self.store_connection, topic, arrived.set, lambda _, why: lost.append(why))
        try:
            reader.seek(partition, start)
            while not lost:
                arrived.clear()
                taken = reader.take(5_000)
                for _, records, behind in taken:
                    for record in records:
                        try:
                            each(record.key, record.value)
                        except Refused as refused:
                            raise Refused(f"{topic}-{partition} offset {record.offset}: {refused}") from None
                    if behind > barrier:
                        return True
                if taken:
                    await asyncio.sleep(0)
                    continue
                try:
                    async with asyncio.timeout(STILL_S):
                        await arrived.wait()
                except TimeoutError:
                    waiting(reader.position(partition))
                    await self.store_connection.refresh()
        finally:
            await reader.close()
        log.warning("changelog: %s; reading again", lost[0])
        return False

    async def input_bounds(self, partition: int) -> tuple[int, int]:
        """Earliest and end offset of an input partition."""
        topic = self._topics.state
        earliest = await list_offset(self.input_connection, topic, partition, EARLIEST)
        return earliest, await list_offset(self.input_connection, topic, partition, LATEST)

    async def input_record(self, partition: int, offset: int) -> InputRecord | None:
        """The record at that offset."""
        arrived = asyncio.Event()
        gone: list[str] = []
        reader = Reader(self.store_connection, self._topics.state, arrived.set, lambda _, why: gone.append(why))
        try:
            reader.seek(partition, offset)
            while not gone:
                arrived.clear()
                for _, records, behind in reader.take(1):
                    first: Any = records[0] if records else None
                    if first is not None:
                        return first if first.offset == offset else None
                    if behind > offset:
                        return None
                await arrived.wait()
        finally:
            await reader.close()
        return None
