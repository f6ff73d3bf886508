"""Partitioning: the same partition as Kafka's Java client chooses."""

from __future__ import annotations

import pytest
from aiokafka.partitioner import murmur2 as client_murmur2
from hypothesis import given
from hypothesis import strategies as st

from topology import murmur2, partition_of_key, partition_of_session


@pytest.mark.parametrize(
    ("key", "java_hash"),
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_hashes_are_those_of_the_java_client(key: bytes, java_hash: int) -> None:
    assert murmur2(key) == java_hash & 0xFFFFFFFF
    assert partition_of_key(key, 7) == (java_hash & 0x7FFFFFFF) % 7


@given(st.binary(max_size=40), st.integers(1, 1000))
def test_every_key_goes_where_the_python_client_sends_it(key: bytes, partitions: int) -> None:
    assert murmur2(key) == client_murmur2(key) & 0xFFFFFFFF
    assert 0 <= partition_of_key(key, partitions) < partitions


def test_a_session_is_where_its_key_is() -> None:
    assert partition_of_session("a-little-bit-löng", 997) == partition_of_key("a-little-bit-löng".encode(), 997)
    assert partition_of_session("half \ud83d", 997) == partition_of_key(b"half \xed\xa0\xbd", 997)  # as JSON can say it
