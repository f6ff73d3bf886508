"""Records with header names that are not UTF-8.

Kafka stores what it is given, and a producer that is no Java client may name a header in Latin-1.  The client cannot
decode such a batch at all, and one record would stop its partition for good.  Java's consumer replaces what it cannot
read, and so does this; it is asked only where the client failed.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import _DefaultRecordBatchPy
from aiokafka.record.util import decode_varint

_BATCH_HEAD = struct.Struct(">qi")  # base offset, bytes that follow


class ForeignRecord(NamedTuple):
    """A record as the client would have given it; ``timestamp`` is Kafka's, ms since the epoch."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]


def batch_at(data: bytes, base_offset: int) -> bytes:
    """The bytes of the batch that begins at this offset, which must be there."""
    start = 0
    while True:
        base, length = _BATCH_HEAD.unpack_from(data, start)
        end = start + _BATCH_HEAD.size + length
        if base == base_offset:
            return data[start:end]
        start = end


def read_foreign(batch: bytes) -> list[ForeignRecord]:
    """The records of a batch in format v2; raises ``CorruptRecordException`` where it is none.

    https://kafka.apache.org/documentation/#record
    """
    head = _DefaultRecordBatchPy(batch)
    iter(head)  # decompresses
    data, at = head._buffer, head._pos

    def sized() -> bytes | None:
        nonlocal at
        length, at = decode_varint(data, at)
        if length < 0:
            return None
        at += length
        return bytes(data[at - length : at])

    records = []
    for _ in range(head._num_records):
        length, at = decode_varint(data, at)
        end = at + length
        delta_ms, at = decode_varint(data, at + 1)  # behind the attributes, which say nothing
        offset_delta, at = decode_varint(data, at)
        key, value = sized(), sized()
        count, at = decode_varint(data, at)
        headers = tuple([((sized() or b"").decode("utf-8", "replace"), sized()) for _ in range(count)])
        if at != end:
            raise CorruptRecordException(f"a record of {length} bytes ends {at - end} bytes behind them")
        timestamp = head.max_timestamp if head.timestamp_type else head.first_timestamp + delta_ms
        records.append(ForeignRecord(head.base_offset + offset_delta, timestamp, key, value, headers))
    return records
