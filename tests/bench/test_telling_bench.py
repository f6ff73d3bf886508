"""What it costs to tell a second of the stream, at 30,000 events/s, to the log and to a tracer.

Run with ``pytest tests/bench --benchmark-enable``. Time is this process's CPU time; the limits are shares of one core.
"""

from __future__ import annotations

import logging
import os
import random
import time
from typing import Any

import pytest
import structlog
from opentelemetry.sdk.trace import TracerProvider
from pytest_benchmark.fixture import BenchmarkFixture

from processor.config import Settings
from processor.engine.observer import Committed
from processor.surfaces.chronicle import Chronicle
from processor.surfaces.logs import configure_logging
from processor.surfaces.tracing import Tracing
from tests.unit.loop.streams import Record

COMMITS = 10
PARTITIONS = 4
EVENTS = 30_000
TRANSITIONS = 600  # two in a hundred events
SAMPLED = 0.01

MAX_LOG_SHARE = 0.01
MAX_TRACE_SHARE = 0.03  # to make the spans; the exporter's thread takes about as much again

pytestmark = pytest.mark.benchmark(timer=time.process_time)

TRANSITION = {
    "session": "session-00001",
    "step": 12,
    "at": "2026-01-01T00:00:00Z",
    "reason": "high_novelty",
    "from_mode": "stable",
    "to_mode": "exploring",
    "cumulative_gain": 0.123,
}


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def best_share(benchmark: BenchmarkFixture) -> float | None:
    """CPU-seconds of the best round, each of which is one second; None where benchmarks are switched off."""
    if benchmark.disabled:
        return None
    stats: Any = benchmark.stats
    return float(stats["min"])


def test_log_of_a_second(benchmark: BenchmarkFixture) -> None:
    diary = [("creative_mode_transition", TRANSITION)] * (TRANSITIONS * 3 // 2 // COMMITS // PARTITIONS)
    report = Committed(0.01, EVENTS // COMMITS, {}, diaries=dict.fromkeys(range(PARTITIONS), diary))
    clock = Clock()
    chronicle = Chronicle(Settings().logs.session_lines_per_s, clock=clock)

    def second() -> float:
        for _ in range(COMMITS):
            clock.now += 1 / COMMITS
            chronicle.committed(report)
        return clock.now

    root = logging.getLogger()
    found = root.handlers[:], root.level
    try:
        with open(os.devnull, "w", encoding="utf-8") as nowhere:
            configure_logging(stream=nowhere)
            assert benchmark(second) > 0.9
    finally:
        root.handlers, root.level = found
        structlog.reset_defaults()
    share = best_share(benchmark)
    assert share is None or share <= MAX_LOG_SHARE


def test_traces_of_a_second(benchmark: BenchmarkFixture) -> None:
    draw = random.Random(7)

    def traced(offset: int) -> Record:
        flags = int(draw.random() < SAMPLED)
        parent = f"00-{draw.getrandbits(127) + 1:032x}-{draw.getrandbits(63) + 1:016x}-{flags:02x}"
        return Record(b"{}", offset, 1_760_000_000_000, b"k", [("traceparent", parent.encode())])

    records = [traced(offset) for offset in range(EVENTS // COMMITS // PARTITIONS)]
    report = Committed(0.01, EVENTS // COMMITS, {}, traced=dict.fromkeys(range(PARTITIONS), records))
    clock = Clock()
    tracing = Tracing(Settings(), TracerProvider(shutdown_on_exit=False), clock=clock)

    def second() -> float:
        for _ in range(COMMITS):
            clock.now += 1 / COMMITS
            tracing.committed(report)
        return clock.now

    assert benchmark(second) > 0.9
    share = best_share(benchmark)
    assert share is None or share <= MAX_TRACE_SHARE
