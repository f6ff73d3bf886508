"""Reading partitions: fetches run ahead in the background, records are handed over as the client's C objects.

The client's own consumer keeps a partition that nobody consumes from blocking the others by time-outs, loses its
positions at a rebalance and has no deadline while one goes on.  Here a position belongs to whoever reads, and what was
fetched for an older position is dropped by comparing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable
from typing import Any

from aiokafka.consumer.fetcher import PartitionRecords
from aiokafka.errors import CorruptRecordException
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.protocol.offset import OffsetRequest
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.structs import TopicPartition

from processor.backends.kafka.connection import (
    LEADER_MOVED,
    TRY_HARMLESS_AGAIN,
    UNAUTHORIZED,
    Connection,
    NotSent,
    error_name,
    missing_acl,
    retries,
)
from processor.backends.kafka.foreign_headers import batch_at, read_foreign
from processor.errors import InDoubt, Refused

log = logging.getLogger(__name__)

READ_COMMITTED = 1
EARLIEST, LATEST = -2, -1
OFFSET_OUT_OF_RANGE = 1
UNKNOWN_TOPIC = 3
CORRUPT_MESSAGE = 2
BUFFER_BYTES = 2 * 1024 * 1024  # fetch a partition again while less than this is waiting
PARTITION_FETCH_BYTES = 1024 * 1024
FETCH_BYTES = 32 * 1024 * 1024
WAIT_MS = 250
MAX_PAUSE_S = 1.0


class RawRecords(PartitionRecords):
    """The client's unpacking (control batches, aborted transactions, checksums) without its record class.

    ``data`` is what the records lie in.
    """

    data = b""

    def read(self) -> list[Any]:
        """All visible records; afterwards ``next_fetch_offset`` is behind them and behind control records."""
        return list(self._records_iterator)

    def _unpack_records(self) -> Any:
        """The client's own, without a Python step for each record."""
        first_wanted = self.next_fetch_offset
        while self._records.has_next():
            batch = self._records.next_batch()
            if not batch.validate_crc():
                raise CorruptRecordException(f"invalid checksum in {self._tp}")
            behind = batch.next_offset
            visible = self._visible(batch)
            if behind <= self.next_fetch_offset:
                continue  # nobody asked for it, and a position never goes back
            if visible:
                try:
                    records = list(batch)
                except UnicodeDecodeError:
                    records = read_foreign(batch_at(self.data, batch.base_offset))
                if records and records[0].offset < first_wanted:
                    # A batch is fetched whole, also where the position lies inside it.
                    records = [record for record in records if record.offset >= first_wanted]
                yield from records
            self.next_fetch_offset = behind

    def _visible(self, batch: Any) -> bool:
        if batch.producer_id is not None:
            self._consume_aborted_up_to(batch.base_offset)  # type: ignore[no-untyped-call]
            if batch.is_control_batch and self._contains_abort_marker(batch):  # type: ignore[no-untyped-call]
                self._aborted_producers.discard(batch.producer_id)
            if batch.is_transactional and batch.producer_id in self._aborted_producers:
                return False
        return not batch.is_control_batch


class _Cursor:
    """One partition being read."""

    __slots__ = ("bytes", "chunks", "fetch_offset", "last_stable", "position", "serial")

    def __init__(self, offset: int, serial: int) -> None:
        self.position = offset  # next offset to hand over
        self.fetch_offset = offset  # next offset to ask for
        self.chunks: deque[tuple[list[Any], int, int]] = deque()  # records, position behind them, bytes
        self.bytes = 0
        self.last_stable = -1
        self.serial = serial


class Reader:
    """Fetches partitions of one topic, read_committed.

    ``wake`` is called whenever there is something to `take`.  A partition that cannot be read on (the broker does not
    have the next offset, or it holds what no client can decode) is reported through ``lost`` and not read any further;
    so is, through ``moved``, one that its leader does not know: when it is back, it may be another log.
    """

    def __init__(
        self,
        connection: Connection,
        topic: str,
        wake: Callable[[], None],
        lost: Callable[[int, str], None],
        moved: Callable[[int, str], None] | None = None,
    ) -> None:
        self._connection = connection
        self._topic = topic
        self._wake = wake
        self._lost = lost
        self._moved = moved
        self._cursors: dict[int, _Cursor] = {}
        self._heard: dict[int, float] = {}  # when a leader last answered, by partition
        self._serial = 0
        self._busy: dict[int, asyncio.Task[None]] = {}
        self._changed = asyncio.Event()
        self._next = 0
        self._task = asyncio.create_task(self._run())
        self.failure: Exception | None = None
        self._failures = 0  # in a row: a cluster that is away is asked less and less often

    def seek(self, partition: int, offset: int) -> None:
        """Read the partition from this offset on."""
        self._serial += 1
        self._cursors[partition] = _Cursor(offset, self._serial)
        self._heard.setdefault(partition, asyncio.get_running_loop().time())
        self._changed.set()

    def forget(self, partition: int) -> None:
        """Stop reading the partition and drop what was fetched."""
        self._cursors.pop(partition, None)
        self._heard.pop(partition, None)

    def position(self, partition: int) -> int:
        """The next offset to hand over."""
        return self._cursors[partition].position

    def lag(self, partition: int) -> int | None:
        """Records up to the last stable offset, None while unknown."""
        cursor = self._cursors.get(partition)
        return None if cursor is None or cursor.last_stable < 0 else max(0, cursor.last_stable - cursor.position)

    def silence_s(self, partition: int) -> float:
        """Since the last good answer for the partition, from any `seek` on; 0 while fetched records wait."""
        cursor = self._cursors.get(partition)
        if cursor is None or cursor.chunks:
            return 0.0
        return asyncio.get_running_loop().time() - self._heard[partition]

    def take(self, max_records: int, only: int | None = None) -> list[tuple[int, list[Any], int]]:
        """(partition, records, position behind them) of what is here, beginning with another partition each time."""
        if self.failure is not None:
            raise self.failure
        taken: list[tuple[int, list[Any], int]] = []
        partitions = sorted(self._cursors) if only is None else [only] if only in self._cursors else []
        if not partitions:
            return taken
        self._next += 1
        turn = self._next % len(partitions)
        room = max_records
        for partition in partitions[turn:] + partitions[:turn]:
            cursor = self._cursors[partition]
            while cursor.chunks and room > 0:
                records, behind, size = cursor.chunks.popleft()
                if len(records) > room:
                    rest = records[room:]
                    records = records[:room]
                    cursor.chunks.appendleft((rest, behind, size))
                    behind = records[-1].offset + 1
                else:
                    cursor.bytes -= size
                    self._changed.set()
                cursor.position = behind
                room -= len(records)
                taken.append((partition, records, behind))
        return taken

    async def close(self) -> None:
        """End all fetches; the connection stays."""
        self._cursors.clear()
        tasks = [self._task, *self._busy.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # Fetching ------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        while True:
            self._changed.clear()
            wanted: dict[int, list[int]] = {}
            unknown = False
            if self._moved is not None and not self._connection.client.cluster.partitions_for_topic(self._topic):
                for partition in list(self._cursors):
                    self._gone(partition, self._moved)
            for partition, cursor in self._cursors.items():
                if cursor.bytes >= BUFFER_BYTES:
                    continue
                leader = self._connection.leader(self._topic, partition)
                if leader is None:
                    unknown = True
                elif leader not in self._busy:
                    wanted.setdefault(leader, []).append(partition)
            for leader, partitions in wanted.items():
                self._busy[leader] = asyncio.create_task(self._fetch(leader, partitions))
            if unknown:
                await self._connection.refresh()
                await asyncio.sleep(0.02)
            else:
                await self._changed.wait()

    async def _fetch(self, leader: int, partitions: list[int]) -> None:
        cursors = {partition: self._cursors[partition] for partition in partitions if partition in self._cursors}
        pause_s, stale = 0.0, False
        try:
            reply = await self._connection.send(
                leader,
                FetchRequest(
                    WAIT_MS,
                    1,
                    FETCH_BYTES,
                    READ_COMMITTED,
                    [(self._topic, [(p, cursor.fetch_offset, PARTITION_FETCH_BYTES) for p, cursor in cursors.items()])],
                ),
            )
            self._failures = 0
            moved = False
            for topic, parts in reply.topics or ():
                for partition, code, _, last_stable, *rest in parts or ():
                    cursor = cursors.get(partition) if topic == self._topic else None
                    if cursor is not None and self._cursors.get(partition) is cursor:
                        moved |= self._received(partition, code, last_stable, rest)
            if moved:
                pause_s = 0.02
                await self._connection.refresh()
        except (NotSent, InDoubt) as error:
            log.info("fetch of %s from node %d: %s", self._topic, leader, error)
            self._failures += 1
            pause_s, stale = min(MAX_PAUSE_S, 0.025 * 2 ** min(self._failures, 6)), True
        except Refused as refused:
            self.failure = refused
            self._wake()
        except Exception as error:
            self.failure = error
            self._wake()
        finally:
            with contextlib.suppress(asyncio.CancelledError):
                if pause_s:
                    await asyncio.sleep(pause_s)
                if stale:
                    # After the pause: a leader elected meanwhile is asked next, not the lost one once more.
                    await self._connection.refresh()
            self._busy.pop(leader, None)
            self._changed.set()

    def _gone(self, partition: int, moved: Callable[[int, str], None]) -> None:
        self.forget(partition)
        moved(partition, f"the brokers do not know {self._topic}-{partition}")
        self._wake()

    def _received(self, partition: int, code: int, last_stable: int, rest: list[Any]) -> bool:
        """Take one partition's part of a reply; true where the leader must be looked up anew."""
        cursor = self._cursors[partition]
        if code == UNKNOWN_TOPIC and self._moved is not None:
            self._gone(partition, self._moved)
            return True
        if code in LEADER_MOVED or code in TRY_HARMLESS_AGAIN or code == CORRUPT_MESSAGE:
            return True
        if code == OFFSET_OUT_OF_RANGE:
            self.forget(partition)
            self._lost(
                partition,
                f"{self._topic}-{partition} does not hold offset {cursor.fetch_offset}: retention or a truncation "
                "removed it; lengthen retention, then `creative-feedback reset` to accept the gap",
            )
            self._wake()
            return False
        if code in UNAUTHORIZED:
            raise missing_acl(self._connection.kafka, "Read", f"topic {self._topic}")
        if code:
            raise Refused(f"fetch of {self._topic}-{partition}: {error_name(code)}")
        cursor.last_stable = last_stable
        self._heard[partition] = asyncio.get_running_loop().time()
        aborted, data = rest[1] if len(rest) > 3 else rest[-2], rest[-1] or b""
        if not data:
            return False
        unpacked = RawRecords(  # type: ignore[no-untyped-call]
            TopicPartition(self._topic, partition),
            MemoryRecords(data),
            aborted,
            cursor.fetch_offset,
            None,
            None,
            True,
            READ_COMMITTED,
        )
        unpacked.data = data
        try:
            records = unpacked.read()
        except CorruptRecordException as error:
            # Damaged on the way: fetched again.  Damaged in the log: the partition stands, and its lag says so.
            log.warning("%s", error)
            return True
        except MemoryError:  # says nothing about the record
            raise
        except Exception as error:
            self.forget(partition)
            self._lost(
                partition, f"{self._topic}-{partition} offset {unpacked.next_fetch_offset}: unreadable: {error!r}"
            )
            self._wake()
            return False
        behind = unpacked.next_fetch_offset
        if behind == cursor.fetch_offset:
            # A broker sends at least one whole batch: this came to harm, and is not asked for at once again.
            log.warning("%s-%d offset %d: no whole batch", self._topic, partition, behind)
            return True
        if 0 <= last_stable < behind - len(data):
            # No checksum covers a batch's offset.  Records may have come since the end was looked up, but not so many.
            log.warning("%s-%d ends at %d, but a batch at %d", self._topic, partition, last_stable, behind)
            return True
        size = len(data)
        cursor.chunks.append((records, behind, size))
        cursor.bytes += size
        cursor.fetch_offset = behind
        # Asked for last next time: a batch larger than the limits comes for the first partition in a request only
        # (https://cwiki.apache.org/confluence/display/KAFKA/KIP-74).
        self._cursors[partition] = self._cursors.pop(partition)
        self._wake()
        return False


async def list_offset(connection: Connection, topic: str, partition: int, which: int) -> int:
    """Earliest or end offset of a partition, asked of its leader on fresh metadata.

    Raises `Refused` where the cluster goes on saying that there is no such topic, or none that we may see.
    """
    await connection.refresh()
    loop = asyncio.get_running_loop()
    seen = loop.time()
    async for _ in retries():
        leader = connection.leader(topic, partition)
        if leader is not None or connection.client.cluster.partitions_for_topic(topic):
            seen = loop.time()
        elif loop.time() - seen > connection.timeout_s:
            if topic in connection.client.cluster.unauthorized_topics:
                raise missing_acl(connection.kafka, "Describe", f"topic {topic}")
            raise Refused(f"missing topic: {topic}; restore it, or start with new topics")
        if leader is not None:
            try:
                request = OffsetRequest(-1, 0, [(topic, [(partition, which)])])
                # A connection serves one request at a time: not behind a fetch that waits for records.
                reply = await connection.send(leader, request, coordination=True)
            except (NotSent, InDoubt):
                await connection.refresh()
                continue
            _, code, *values = reply.topics[0][1][0]
            if code == 0:
                return int(values[-1])
            if code in UNAUTHORIZED:
                raise missing_acl(connection.kafka, "Describe", f"topic {topic}")
        await connection.refresh()
    raise AssertionError("retries() does not end")
