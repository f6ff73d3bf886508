"""The embedded broker is a real Kafka, and Kafka's own tools agree."""

from __future__ import annotations

from collections.abc import Callable

from processor.backends.embedded import EmbeddedKafka
from tests.kafka import tools
from tests.kafka.tools import NewRecord


def test_console_tools_round_trip_keys_nulls_and_headers(
    kafka: EmbeddedKafka, topic_name: Callable[[str], str]
) -> None:
    topic = topic_name("round-trip")
    tools.create_topic(kafka.bootstrap_servers, topic, partitions=2)
    written = [
        NewRecord('{"a": 1}', key="one", headers=(("trace", "x"), ("kind", "y:z"))),
        NewRecord(None, key="one"),
        NewRecord("", key=None),
        NewRecord("ü", key="zwei"),
    ]
    tools.produce(kafka.bootstrap_servers, topic, written)
    read = tools.consume(kafka.bootstrap_servers, topic, expected=4)
    assert sorted((r.key, r.value, r.headers) for r in read if r.key is not None and r.value is not None) == [
        (b"one", b'{"a": 1}', (("trace", b"x"), ("kind", b"y:z"))),
        (b"zwei", "ü".encode(), ()),
    ]
    assert {(r.key, r.value) for r in read if r.key is None or r.value is None} == {(b"one", None), (None, b"")}
    assert sum(tools.end_offsets(kafka.bootstrap_servers, topic).values()) == 4
