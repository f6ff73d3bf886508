"""Outgoing record batches: what goes in comes out, in order, whatever its size."""

from __future__ import annotations

from typing import Any

from aiokafka.record.memory_records import MemoryRecords
from hypothesis import given
from hypothesis import strategies as st

from processor.backends.kafka.buffer import BatchList, PartitionBuffer

Row = tuple[bytes | None, bytes | None, list[tuple[str, bytes]]]

ROWS = st.lists(
    st.tuples(
        st.none() | st.binary(max_size=20),
        st.none() | st.binary(max_size=300),
        st.lists(st.tuples(st.text(max_size=8), st.binary(max_size=20)), max_size=3),
    ),
    min_size=1,
    max_size=40,
)


def decoded(records: BatchList) -> list[tuple[list[Row], Any]]:
    """Per batch its rows and the batch."""
    found = []
    for builder, count in records.finish():
        builder.set_producer_state(7, 1, 0)
        memory = MemoryRecords(bytes(builder.build()))
        batch: Any = memory.next_batch()
        assert batch.validate_crc()
        rows: list[Row] = [(record.key, record.value, list(record.headers)) for record in batch]
        assert len(rows) == count
        assert not memory.has_next()
        found.append((rows, batch))
    return found


@given(ROWS, st.sampled_from([64, 500, 1 << 20]))
def test_every_record_comes_back_in_order(rows: list[Row], max_batch_bytes: int) -> None:
    records = BatchList("t", max_batch_bytes)
    for row in rows:
        records.append(*row)
    assert records.count == len(rows)
    batches = decoded(records)
    assert [row for batch, _ in batches for row in batch] == rows
    assert all(batch.is_transactional for _, batch in batches)


def test_a_full_batch_is_followed_by_the_next() -> None:
    records = BatchList("t", 1_000)
    for number in range(20):
        records.append(b"k", bytes(200), [("n", b"%d" % number)])
    sizes = [len(rows) for rows, _ in decoded(records)]
    assert len(sizes) == 5
    assert sum(sizes) == 20


def test_a_record_larger_than_a_batch_goes_alone() -> None:
    records = BatchList("t", 100)
    for size in (10, 5_000, 10):
        records.append(None, bytes(size), [])
    assert [len(rows) for rows, _ in decoded(records)] == [1, 1, 1]


def test_a_null_value_is_a_tombstone_and_an_empty_one_is_not() -> None:
    records = BatchList("t", 1_000)
    records.append(b"a", None, [])
    records.append(b"b", b"", [])
    [(rows, _)] = decoded(records)
    assert rows == [(b"a", None, []), (b"b", b"", [])]


def test_a_plain_batch_is_in_no_transaction() -> None:
    records = BatchList("t", 1_000, transactional=False)
    records.append(b"a", b"x", [])
    [(builder, _)] = records.finish()
    batch = MemoryRecords(bytes(builder.build())).next_batch()
    assert batch is not None
    assert not batch.is_transactional
    assert batch.producer_id == -1


def test_the_size_counts_open_and_full_batches() -> None:
    records = BatchList("t", 1_000)
    before = 0
    for _ in range(20):
        records.append(b"k", bytes(200), [])
        assert records.bytes() >= before + 200
        before = records.bytes()


def test_outputs_and_changes_of_a_partition_are_kept_apart() -> None:
    lists = [BatchList(name, 1_000) for name in ("actions", "metrics", "dead", "changelog")]
    buffer = PartitionBuffer(*lists)
    buffer.action(b"k", b"a", [])
    buffer.action(b"k", b"a", [])
    buffer.dead_letter(None, None, [])
    buffer.change(b"s", None)
    assert [part.count for part in buffer.lists] == [2, 0, 1, 1]
    assert buffer.size() == sum(part.bytes() for part in lists)
