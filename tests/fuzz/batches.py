"""Kafka's record batches, written and read with the code that the processor uses."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.structs import TopicPartition

from processor.backends.kafka.buffer import BatchList
from processor.backends.kafka.reader import READ_COMMITTED, RawRecords
from tests.fuzz.inputs import Placed

_NO_LIMIT = 1 << 30


def input_batches(records: Sequence[Placed]) -> bytes:
    """The records as a broker would store them: one batch, and one of its own for each that has no timestamp."""
    # The client's builder takes a first timestamp of -1 for none at all, and the second for the first.
    data = b""
    for timeless, run in groupby(records, lambda record: record.timestamp == -1):
        rows = list(run)
        data += b"".join(map(input_batch, ([row] for row in rows))) if timeless else input_batch(rows)
    return data


def input_batch(records: Sequence[Placed]) -> bytes:
    """The records as one batch, at the offset of the first."""
    builder = DefaultRecordBatchBuilder(
        magic=2,
        compression_type=0,
        is_transactional=False,
        producer_id=-1,
        producer_epoch=-1,
        base_sequence=0,
        batch_size=_NO_LIMIT,
    )
    for number, record in enumerate(records):
        headers: Any = list(record.headers)
        builder.append(number, record.timestamp, record.key, record.value, headers)
    data = bytearray(builder.build())
    struct.pack_into(">q", data, 0, records[0].offset)
    return bytes(data)


def read_input(data: bytes, fetch_offset: int) -> list[Any]:
    """What the reader hands over of such bytes."""
    place = TopicPartition("tori.state", 3)
    return RawRecords(  # type: ignore[no-untyped-call]
        place, MemoryRecords(data), None, fetch_offset, None, None, True, READ_COMMITTED
    ).read()


def read_output(batches: BatchList) -> Iterable[tuple[bytes | None, bytes | None, list[tuple[str, bytes | None]]]]:
    """What a consumer would read of the batches that are about to be sent."""
    for builder, _ in batches.finish():
        builder.set_producer_state(7, 1, 0)
        memory = MemoryRecords(bytes(builder.build()))
        while memory.has_next():
            batch: Any = memory.next_batch()
            for record in batch:
                yield record.key, record.value, list(record.headers)
