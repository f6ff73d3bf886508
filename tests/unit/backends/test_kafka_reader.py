"""What the reader makes of fetch replies that nobody expects: no partition stops over them, no position goes back."""

from __future__ import annotations

import asyncio
import logging
import struct
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.util import calc_crc32c

from processor.backends.kafka.reader import Reader
from processor.config import KafkaConfig

TOPIC = "tori.state"
CODECS = [0, 1, 2, 3, 4]
NOT_LEADER = 6


class Replies:
    """A cluster that answers every fetch with the same reply, once; then it is silent."""

    kafka = KafkaConfig()

    def __init__(self) -> None:
        self.topics: Any = []

    def leader(self, topic: str, partition: int) -> int | None:
        return None

    async def refresh(self) -> None:
        await asyncio.Event().wait()

    async def send(self, node: int, request: Any, *, coordination: bool = False) -> Any:
        return self


class Reading(Reader):
    """A reader and what it reported."""

    def __init__(self, connection: Any) -> None:
        self.lost: list[str] = []
        super().__init__(connection, TOPIC, lambda: None, lambda _, why: self.lost.append(why))

    def hear(self, data: bytes | None) -> bool:
        """Give it one partition's part of a reply; whether it looks for the leader anew."""
        return self._received(0, 0, 100, [0, [], -1, data])


@pytest_asyncio.fixture
async def reader() -> AsyncIterator[Reading]:
    reading = Reading(Replies())
    reading.seek(0, 5)
    yield reading
    await reading.close()


def batch(base_offset: int, rows: list[tuple[Any, Any, Any]], codec: int = 0, *, first_ms: int = 1000) -> bytes:
    builder = DefaultRecordBatchBuilder(
        magic=2,
        compression_type=codec,
        is_transactional=False,
        producer_id=-1,
        producer_epoch=-1,
        base_sequence=0,
        batch_size=1 << 20,
    )
    for number, (key, value, headers) in enumerate(rows):
        builder.append(number, first_ms + number, key, value, headers)
    data = bytearray(builder.build())
    struct.pack_into(">q", data, 0, base_offset)
    return bytes(data)


def with_latin_name(codec: int, *, first_ms: int = 1000) -> bytes:
    """Two records; the first one's header is named in Latin-1."""
    rows = [(b"k", b"v" * 200, [("name", b"x"), ("null", None)]), (None, None, [])]
    data = batch(5, rows, first_ms=first_ms)
    body = data[61:].replace(b"name", b"n\xe4me")
    attributes = 0
    if codec:
        from aiokafka import codec as codecs

        encode: Any = {1: codecs.gzip_encode, 2: codecs.snappy_encode, 3: codecs.lz4_encode, 4: codecs.zstd_encode}[
            codec
        ]
        body, attributes = encode(body), codec
    changed = bytearray(data[:61] + body)
    changed[22] |= attributes
    return mended(changed)


def mended(changed: bytearray) -> bytes:
    """Length and checksum of a changed batch made right again."""
    struct.pack_into(">i", changed, 8, len(changed) - 12)
    struct.pack_into(">I", changed, 17, calc_crc32c(bytes(changed[21:])))
    return bytes(changed)


@pytest.mark.parametrize("codec", CODECS)
async def test_a_header_name_that_is_no_utf_8_stops_no_partition(reader: Reading, codec: int) -> None:
    before = batch(4, [(b"early", b"", [])])  # wholly before the position: not wanted
    assert not reader.hear(before + with_latin_name(codec) + batch(7, [(b"next", b"", [])]))
    [(_, records, position)] = reader.take(100)
    assert not reader.lost
    assert position == 8
    assert [(r.offset, r.timestamp, r.key, r.value, tuple(r.headers)) for r in records] == [
        (5, 1000, b"k", b"v" * 200, (("n\ufffdme", b"x"), ("null", None))),
        (6, 1001, None, None, ()),
        (7, 1000, b"next", b"", ()),
    ]


# The client fails at the first header's name; what comes behind it, it has not looked at.
LATIN = batch(5, [(b"k", b"v", [("name", b"y"), ("more", b"x" * 8)])]).replace(b"name", b"n\xe4me")
HUGE = b"\xfe\xff\xff\xff\x0f"  # a length of 2^31 - 1


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (LATIN.replace(b"\x10xxxxxxxx", HUGE + b"xxxxxxxx"), "bytes behind them"),
        (LATIN.replace(b"\x08more\x10", HUGE + b"more\x10"), "goes on behind the end of its batch"),
        (LATIN[:-9], "goes on behind the end of its batch"),
        (LATIN[:-2], "a record ends 2 bytes behind its batch"),
    ],
    ids=["a value far too long", "a name far too long", "a length cut off", "a value cut"],
)
async def test_lengths_in_such_a_batch_lead_nowhere_else(
    reader: Reading, data: bytes, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert reader.hear(mended(bytearray(data)))
    assert words in caplog.text
    assert reader.take(100) == []


async def test_a_record_inside_such_a_batch_can_be_where_reading_begins(reader: Reading) -> None:
    reader.seek(0, 6)
    reader.hear(with_latin_name(0))
    [(_, records, position)] = reader.take(100)
    assert ([record.offset for record in records], position) == ([6], 7)


@pytest.mark.parametrize("data", [batch(5, [(b"k", b"v", [])])[:-1], b"\x00" * 11], ids=["cut", "no batch at all"])
async def test_bytes_without_a_whole_batch_are_not_asked_for_at_once_again(
    reader: Reading, data: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert reader.hear(data)
    assert "tori.state-0 offset 5: no whole batch" in caplog.text
    assert reader.take(100) == []


@pytest.mark.parametrize("data", [b"", None])
async def test_nothing_to_read_is_no_harm(reader: Reading, data: bytes | None) -> None:
    assert not reader.hear(data)
    assert reader.take(100) == []


async def test_a_batch_from_before_the_position_moves_nothing_back(reader: Reading) -> None:
    assert reader.hear(batch(2, [(b"k", b"v", []), (b"k", b"w", [])]))
    assert reader.take(100) == []
    assert reader.position(0) == 5
    assert not reader.lost


@pytest.mark.parametrize(("topic", "partition"), [(TOPIC, 77), ("another", 0)])
async def test_a_reply_about_something_else_is_passed_over(reader: Reading, topic: str, partition: int) -> None:
    connection: Any = reader._connection
    connection.topics = [(topic, [(partition, 0, 9, 9, 0, [], -1, batch(5, [(b"k", b"v", [])]))])]
    await reader._fetch(1, [0])
    assert reader.failure is None
    assert reader.take(100) == []


async def test_a_batch_far_behind_the_end_of_the_log_is_not_believed(reader: Reading) -> None:
    assert reader.hear(batch(5, [(b"k", b"v", [])]) + batch(2**50, [(b"k", b"v", [])]))
    assert reader.take(100) == []
    assert reader.position(0) == 5


async def test_a_reply_about_nothing_is_no_failure(reader: Reading) -> None:
    connection: Any = reader._connection
    for topics in (None, [(TOPIC, None)]):
        connection.topics = topics
        await reader._fetch(1, [0])
    assert reader.failure is None


class Asked(Replies):
    """A cluster with one node that gives partition 0 one record and then answers nothing; what it was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.requests: asyncio.Queue[list[int]] = asyncio.Queue()
        self.client = self
        self.cluster = self

    def leader(self, topic: str, partition: int) -> int | None:
        return 1

    async def send(self, node: int, request: Any, *, coordination: bool = False) -> Any:
        self.requests.put_nowait([partition for partition, *_ in request.topics[0][1]])
        if self.topics:
            await asyncio.Event().wait()
        self.topics = [(TOPIC, [(0, 0, 100, 100, 0, [], -1, batch(0, [(b"k", b"v", [])]))])]
        return self


async def test_who_got_records_is_asked_for_last() -> None:
    """A batch above the limits comes for the first partition of a request only: each is that in turn."""
    cluster = Asked()
    reading = Reading(cluster)
    for partition in (0, 1, 2):
        reading.seek(partition, 0)
    try:
        async with asyncio.timeout(5):
            assert [await cluster.requests.get() for _ in range(2)] == [[0, 1, 2], [1, 2, 0]]
    finally:
        await reading.close()


async def test_silence_counts_from_the_last_good_answer_over_every_seek(reader: Reading) -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()
    assert reader.lag(0) is None
    assert reader.silence_s(0) < 1.0
    reader._heard[0] = began - 100.0
    reader.seek(0, 7)
    assert reader.silence_s(0) >= 100.0
    reader.hear(None)
    assert (reader.lag(0), reader.silence_s(0) < 1.0) == (100 - 7, True)
    reader.seek(0, 7)
    assert reader.lag(0) is None
    reader.forget(0)
    assert (reader.lag(0), reader.silence_s(0)) == (None, 0.0)


async def test_a_refused_fetch_is_no_answer_and_records_that_wait_are_no_silence(reader: Reading) -> None:
    reader._heard[0] -= 100.0
    assert reader._received(0, NOT_LEADER, -1, [-1, [], -1, None])
    assert reader.silence_s(0) >= 100.0
    reader.hear(batch(5, [(b"k", b"v", [])]))
    reader._heard[0] -= 100.0
    assert reader.silence_s(0) == 0.0
    reader.take(1)
    assert reader.silence_s(0) >= 100.0
