"""O6: what a reader saw that was there all the time, through every fault.

A reader that comes late sees what is left in the log.  One that reads along sees whether a record was shown to it
that was aborted afterwards, or shown twice, or out of order: what a downstream service would have obeyed.  So the
sequence it saw must be the final one, record by record.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer, TopicPartition

from tests.oracle.committed import Log, LoggedRecord
from tests.oracle.verdict import SHOWN_BYTES, Difference

POLL_MS = 200
CATCH_UP_S = 30.0

Seen = Mapping[tuple[str, int], Sequence[LoggedRecord]]


class LiveReader:
    """A read_committed consumer of some topics and what it has seen so far; made by `live_reader`."""

    def __init__(self, consumer: AIOKafkaConsumer, partitions: Sequence[TopicPartition]) -> None:
        self._consumer = consumer
        self._moved = asyncio.Condition()
        self.seen: dict[tuple[str, int], list[LoggedRecord]] = {(tp.topic, tp.partition): [] for tp in partitions}
        self._reading = asyncio.create_task(self._read())

    @property
    def count(self) -> int:
        """Records seen so far."""
        return sum(len(records) for records in self.seen.values())

    async def differences(self, logs: Mapping[str, Log]) -> list[Difference]:
        """Read up to where these logs ended for a read_committed reader, and compare."""
        behind = {TopicPartition(topic, partition): logs[topic].stable_end[partition] for topic, partition in self.seen}

        async def arrived() -> bool:
            for tp, end in list(behind.items()):
                # The position moves over markers and aborted records too, which no record would tell.
                if await self._consumer.position(tp) >= end:
                    del behind[tp]
            return not behind

        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CATCH_UP_S), self._moved:
                while not (await arrived() or self._reading.done()):
                    await self._moved.wait()
        if self._reading.done():
            self._reading.result()
        stuck = [
            Difference("O6", tp.topic, tp.partition, "position of the live reader", str(end), f"less, {CATCH_UP_S:g} s")
            for tp, end in behind.items()
        ]
        return stuck or unlike(self.seen, logs)

    async def close(self) -> None:
        """Stop reading."""
        self._reading.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):  # its failure was for `differences` to tell
            await self._reading
        await self._consumer.stop()

    async def _read(self) -> None:
        try:
            while True:
                batches = await self._consumer.getmany(timeout_ms=POLL_MS)
                for tp, batch in batches.items():
                    self.seen[tp.topic, tp.partition] += [
                        LoggedRecord(record.offset, record.timestamp, record.key, record.value, tuple(record.headers))
                        for record in batch
                    ]
                async with self._moved:
                    self._moved.notify_all()
        finally:
            async with self._moved:
                self._moved.notify_all()


def unlike(seen: Seen, logs: Mapping[str, Log]) -> list[Difference]:
    """Per partition the first place where what was seen is not what is committed, offsets included."""
    found = []
    for (topic, partition), records in seen.items():
        committed = logs[topic].records[partition]
        end = logs[topic].stable_end[partition]
        shown = [record for record in records if record.offset < end]
        for index in range(max(len(committed), len(shown))):
            wanted = committed[index] if index < len(committed) else None
            read = shown[index] if index < len(shown) else None
            if wanted != read:
                found.append(
                    Difference(
                        "O6", topic, partition, f"record {index}", repr(wanted)[:SHOWN_BYTES], repr(read)[:SHOWN_BYTES]
                    )
                )
                break
    return found


@asynccontextmanager
async def live_reader(bootstrap_servers: str, topics: Sequence[str]) -> AsyncIterator[LiveReader]:
    """Read these topics from their beginnings for as long as the context lasts."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap_servers,
        isolation_level="read_committed",
        enable_auto_commit=False,
        auto_offset_reset="none",  # a reader that starts anew by itself would see things twice
        fetch_min_bytes=64 * 1024,  # many commits in one answer: it must see all of them, not each at once
        fetch_max_wait_ms=POLL_MS,
    )
    await consumer.start()
    try:
        await consumer._client.force_metadata_update()
        partitions = []
        for topic in topics:
            found = consumer.partitions_for_topic(topic)
            assert found, f"topic {topic} does not exist"
            partitions += [TopicPartition(topic, number) for number in sorted(found)]
        consumer.assign(partitions)
        for tp in partitions:
            consumer.seek(tp, 0)
        reader = LiveReader(consumer, partitions)
    except BaseException:
        await consumer.stop()
        raise
    try:
        yield reader
    finally:
        await reader.close()
