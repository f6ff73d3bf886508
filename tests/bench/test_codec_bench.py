"""What a record costs on the wire: decoding an event, encoding an action and a metric.

Run with ``pytest tests/bench --benchmark-enable``.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

import tests
from schemas.actions import Action
from schemas.codec import decode_action, decode_metric, encode
from schemas.events import StateFields, decode_event
from schemas.metrics import Metric

VECTORS = Path(tests.__file__).parent / "vectors"
EVENTS = (VECTORS / "learn.events.jsonl").read_bytes().splitlines()
ACTIONS = [decode_action(line) for line in (VECTORS / "learn.actions.jsonl").read_bytes().splitlines()]
METRICS = [decode_metric(line) for line in (VECTORS / "learn.metrics.jsonl").read_bytes().splitlines()]


def decode_all(values: list[bytes], *, msgpack: bool, want_signals: bool) -> int:
    typed = 0
    for value in values:
        event = decode_event(value, b"", msgpack=msgpack, want_signals=want_signals)
        typed += isinstance(event.state, StateFields)
    return typed


def encode_all(records: list[Action] | list[Metric], *, msgpack: bool) -> int:
    return sum(len(encode(record, msgpack=msgpack)) for record in records)


@pytest.mark.parametrize("msgpack", [False, True], ids=["json", "msgpack"])
@pytest.mark.parametrize("want_signals", [False, True], ids=["typed", "reference"])
def test_decoding_2500_events(benchmark: BenchmarkFixture, msgpack: bool, want_signals: bool) -> None:
    values = [msgspec.msgpack.encode(msgspec.json.decode(line)) for line in EVENTS] if msgpack else EVENTS
    typed = benchmark(decode_all, values, msgpack=msgpack, want_signals=want_signals)
    assert typed == 0 if want_signals else typed > 0.95 * len(EVENTS)


@pytest.mark.parametrize("msgpack", [False, True], ids=["json", "msgpack"])
def test_encoding_the_actions(benchmark: BenchmarkFixture, msgpack: bool) -> None:
    assert benchmark(encode_all, ACTIONS, msgpack=msgpack) > 100 * len(ACTIONS)


@pytest.mark.parametrize("msgpack", [False, True], ids=["json", "msgpack"])
def test_encoding_the_metrics(benchmark: BenchmarkFixture, msgpack: bool) -> None:
    assert benchmark(encode_all, METRICS, msgpack=msgpack) > 100 * len(METRICS)
