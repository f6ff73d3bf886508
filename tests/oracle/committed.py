"""What a topic holds for a read_committed consumer, and where its log ends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition

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


async def read_topic(bootstrap_servers: str, topic: str) -> Log:
    """Read every partition from its beginning to the last stable offset it has now."""
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


async def _log_ends(bootstrap_servers: str, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap_servers, enable_auto_commit=False)
    await consumer.start()
    try:
        ends: dict[TopicPartition, int] = await consumer.end_offsets(partitions)
        return ends
    finally:
        await consumer.stop()
