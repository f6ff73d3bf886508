"""Which partition a key belongs to: Kafka's Java default, so that every producer agrees.

The processor itself never asks: what it writes for a record goes to the record's own partition number.
Producers of input do, and whoever looks for a session.
"""

from __future__ import annotations

_MASK = 0xFFFFFFFF
_MULTIPLIER = 0x5BD1E995
_SEED = 0x9747B28C


def partition_of_key(key: bytes, partitions: int) -> int:
    """The partition (from 0) of a keyed record among `partitions`."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions


def partition_of_session(session_id: str, partitions: int) -> int:
    """Where a session belongs if its producer partitions like Kafka's Java client."""
    return partition_of_key(session_id.encode("utf-8", "surrogatepass"), partitions)


def murmur2(data: bytes) -> int:
    """The 32-bit hash (unsigned) of the Java client's default partitioner."""
    size = len(data)
    state = _SEED ^ size
    tail = size & ~3
    for at in range(0, tail, 4):
        word = int.from_bytes(data[at : at + 4], "little") * _MULTIPLIER & _MASK
        word = (word ^ word >> 24) * _MULTIPLIER & _MASK
        state = state * _MULTIPLIER & _MASK ^ word
    if size > tail:
        state = (state ^ int.from_bytes(data[tail:], "little")) * _MULTIPLIER & _MASK
    state = (state ^ state >> 13) * _MULTIPLIER & _MASK
    return state ^ state >> 15
