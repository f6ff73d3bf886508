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
from aiokafka.record.util import decode_varint_py

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

    def number() -> int:
        nonlocal at
        try:
            # The compiled one reads on behind the end of the buffer, whatever memory that is.
            value, at = decode_varint_py(data, at)
        except (IndexError, ValueError):
            raise CorruptRecordException("a record goes on behind the end of its batch") from None
        return value

    def sized() -> bytes | None:
        nonlocal at
        length = number()
        if length < 0:
            return None
        at += length
        return bytes(data[at - length : at])

    records = []
    for _ in range(head._num_records):
        length = number()
        end = at + length
        at += 1  # the attributes, which say nothing
        delta_ms, offset_delta = number(), number()
        key, value = sized(), sized()
        headers = tuple([((sized() or b"").decode("utf-8", "replace"), sized()) for _ in range(number())])
        if at != end:
            raise CorruptRecordException(f"a record of {length} bytes ends {at - end} bytes behind them")
        if end > len(data):
            raise CorruptRecordException(f"a record ends {end - len(data)} bytes behind its batch")
        timestamp = head.max_timestamp if head.timestamp_type else head.first_timestamp + delta_ms
        records.append(ForeignRecord(head.base_offset + offset_delta, timestamp, key, value, headers))
    return records
