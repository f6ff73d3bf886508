"""A producer that is no Java client may name a header in Latin-1: Kafka stores it, and the record must be readable."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from processor.backends.embedded import EmbeddedKafka
from processor.backends.kafka import CommittedReader
from processor.backends.kafka.connection import Connection
from processor.backends.kafka.records import produce_plain
from processor.config import settings_from
from tests.kafka.tools import create_topic
from tests.unit.backends.test_kafka_reader import batch, with_latin_name


class Ready:
    """Stands for a batch list: one batch whose bytes are given."""

    def __init__(self, data: bytes) -> None:
        self._data = bytes(8) + data[8:]  # a producer's batches begin at offset 0

    def finish(self) -> Any:
        return [(self, 1)]

    def build(self) -> bytes:
        return self._data


async def test_kafka_takes_a_header_name_that_is_no_utf_8_and_the_reader_goes_on(
    kafka: EmbeddedKafka, topic_name: Callable[[str], str]
) -> None:
    topic = topic_name("state")
    create_topic(kafka.bootstrap_servers, topic)
    settings = settings_from(
        {"kafka": {"bootstrap_servers": kafka.bootstrap_servers}, "topics": {"state": topic, "partitions": 1}}
    )
    connection = Connection(settings.kafka, "foreign-producer")
    await connection.open(frozenset({topic}))
    try:
        now_ms = round(time.time() * 1000)  # retention removes what is old
        for data in (
            with_latin_name(0, first_ms=now_ms),
            with_latin_name(1, first_ms=now_ms),
            batch(0, [(b"last", b"", [])], first_ms=now_ms),
        ):
            records: Any = Ready(data)
            await produce_plain(connection, topic, 0, records)
    finally:
        await connection.close()
    found: list[Any] = []
    async with CommittedReader(settings, [topic]) as reader:
        while len(found) < 5:
            found += await reader.read(1.0)
    foreign = (("n\ufffdme", b"x"), ("null", None))
    assert [(record.key, tuple(record.headers)) for record in found] == [
        (b"k", foreign),
        (None, ()),
        (b"k", foreign),
        (None, ()),
        (b"last", ()),
    ]
