"""What a topic holds for a read_committed consumer, and where its log ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition

ASK_AGAIN_S = 0.05
SETTLED_S = 10.0

Headers = tuple[tuple[str, bytes], ...]


class LoggedRecord(NamedTuple):
    """One record; ``timestamp`` is Kafka's, in milliseconds."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Headers


@dataclass(frozen=True)
class Log:
    """The committed records of a topic per partition, and two ends of each partition.

    ``stable_end`` is the last stable offset, ``log_end`` the high watermark: they differ while a transaction is open.
    """

    topic: str
    records: dict[int, list[LoggedRecord]]
    stable_end: dict[int, int]
    log_end: dict[int, int]


async def read_topic(bootstrap_servers: str, topic: str, *, quiet: bool = True) -> Log:
    """Read every partition from its beginning to the last stable offset it has now.

    ``quiet`` waits a while for transactions that are about to end: a commit is answered when it is decided, and its
    markers follow.
    """
    if quiet:
        await settled(bootstrap_servers, [topic])
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap_servers,
        isolation_level="read_committed",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        fetch_max_wait_ms=100,
        max_partition_fetch_bytes=4 * 1024 * 1024,
    )
    await consumer.start()
    try:
        await consumer._client.force_metadata_update()
        found = consumer.partitions_for_topic(topic)
        assert found, f"topic {topic} does not exist"
        partitions = [TopicPartition(topic, number) for number in sorted(found)]
        consumer.assign(partitions)
        await consumer.seek_to_beginning()
        stable_end = await consumer.end_offsets(partitions)
        log_end = await _log_ends(bootstrap_servers, partitions)
        records: dict[int, list[LoggedRecord]] = {tp.partition: [] for tp in partitions}
        behind = set(partitions)
        while behind:
            # The position moves over control records and aborted ones too, which no record would tell.
            for tp in list(behind):
                if await consumer.position(tp) >= stable_end[tp]:
                    behind.discard(tp)
                    consumer.pause(tp)
            for tp, batch in (await consumer.getmany(timeout_ms=100, max_records=20_000)).items():
                records[tp.partition] += [
                    LoggedRecord(record.offset, record.timestamp, record.key, record.value, tuple(record.headers))
                    for record in batch
                    if record.offset < stable_end[tp]
                ]
    finally:
        await consumer.stop()
    return Log(
        topic,
        records,
        {tp.partition: end for tp, end in stable_end.items()},
        {tp.partition: end for tp, end in log_end.items()},
    )


async def settled(bootstrap_servers: str, topics: Sequence[str]) -> None:
    """Wait until no transaction is open in these topics that is open now, but not for one that never ends."""
    async with AsyncExitStack() as stack:
        everything, committed = [
            await stack.enter_async_context(_looking(bootstrap_servers, isolation))
            for isolation in ("read_uncommitted", "read_committed")
        ]
        await everything._client.force_metadata_update()
        partitions = [
            TopicPartition(topic, number) for topic in topics for number in everything.partitions_for_topic(topic) or ()
        ]
        ends = await everything.end_offsets(partitions)
        with suppress(TimeoutError):
            async with asyncio.timeout(SETTLED_S):
                while True:
                    stable = await committed.end_offsets(partitions)
                    if all(stable[tp] >= end for tp, end in ends.items()):
                        return
                    await asyncio.sleep(ASK_AGAIN_S)  # a broker tells nobody that a transaction has ended


@asynccontextmanager
async def _looking(bootstrap_servers: str, isolation: str) -> AsyncIterator[AIOKafkaConsumer]:
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap_servers, isolation_level=isolation, enable_auto_commit=False
    )
    await consumer.start()
    try:
        yield consumer
    finally:
        await consumer.stop()


async def _log_ends(bootstrap_servers: str, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
    async with _looking(bootstrap_servers, "read_uncommitted") as consumer:
        ends: dict[TopicPartition, int] = await consumer.end_offsets(partitions)
        return ends
