"""A backlog of events in an embedded broker, and an instance that works it off: what the measurements share.

4 partitions, 2,000 sessions, JSON.  Every run has an application of its own, so it begins with the first event.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from processor.backends.embedded import EmbeddedKafka
from processor.backends.kafka import EventProducer, run_processor
from processor.config import Settings, load_settings
from processor.engine.observer import Committed, Observer
from processor.engine.ports import FoldFactory
from tests.faults.stage import create_topics

PARTITIONS = 4
SESSIONS = 2_000
CHUNK_EVENTS = 2_000


@dataclass
class Rate:
    """Events per second of wall time and of this process's CPU time."""

    per_s: float
    per_cpu_s: float


class Stopwatch:
    """Running since it was made."""

    def __init__(self) -> None:
        self._began, self._cpu_began = time.perf_counter(), time.process_time()

    def rate(self, count: int) -> Rate:
        """Of so many events until now."""
        return Rate(count / (time.perf_counter() - self._began), count / (time.process_time() - self._cpu_began))


class Counting(Observer):
    """Wakes whoever waits once so many records are committed."""

    def __init__(self, wanted: int) -> None:
        self.wanted = self.left = wanted
        self.done = asyncio.Event()
        self.seconds: list[float] = []

    def committed(self, report: Committed) -> None:
        self.left -= report.records
        self.seconds.append(report.seconds)
        if self.left <= 0:
            self.done.set()


def broker() -> EmbeddedKafka:
    """Not started yet; topics that nobody declared have as many partitions as the others."""
    return EmbeddedKafka(properties={"auto.create.topics.enable": "true", "num.partitions": str(PARTITIONS)})


async def application(servers: str, name: str, flags: Mapping[str, Any] | None = None) -> Settings:
    """Settings of a fresh application, whose topics are made; the input is the same for all of one broker."""
    settings = load_settings(
        None,
        {},
        {
            "kafka.bootstrap_servers": servers,
            "topics.partitions": PARTITIONS,
            "topics.replication_factor": 1,
            "topics.actions": f"{name}.actions",
            "topics.metrics": f"{name}.metrics",
            "topics.dead_letters": f"{name}.dead-letters",
            "topics.changelog": f"{name}.changelog",
            "engine.application_id": name,
            "engine.instance_id": "bench",
            **(flags or {}),
        },
    )
    await create_topics(settings)
    return settings


def events(count: int) -> Iterator[tuple[bytes, bytes]]:
    """Wandering states of all sessions in random order; the same for every run."""
    rng = random.Random(20260101)
    states = {f"session-{i:05d}": [rng.random(), rng.random(), rng.random()] for i in range(SESSIONS)}
    names = list(states)
    for sequence in range(count):
        name = names[rng.randrange(SESSIONS)]
        state = states[name]
        for i in range(3):
            state[i] = min(1.0, max(0.0, state[i] + rng.gauss(0, 0.04)))
        event = {
            "session_id": name,
            "sequence": sequence,
            "timestamp": "2026-01-01T00:00:00Z",
            "state": {
                "novelty": round(state[0], 6),
                "aesthetic_score": round(state[1], 6),
                "volatility": round(state[2], 6),
                "lambda_max": 0.02,
            },
        }
        yield name.encode(), json.dumps(event).encode()


async def write(settings: Settings, events: Iterable[tuple[bytes, bytes]]) -> None:
    """Keys and values into the input; returns when all are acknowledged."""
    async with EventProducer(settings) as producer:
        chunk: list[tuple[bytes, bytes]] = []
        for event in events:
            chunk.append(event)
            if len(chunk) == CHUNK_EVENTS:
                await producer.send(chunk)
                chunk = []
        await producer.send(chunk)
        await producer.flush()


async def worked_off(
    settings: Settings, fold: FoldFactory, counting: Counting, observer: Observer | None = None
) -> Rate:
    """From the start of the instance to the last commit; ``observer`` where not only ``counting`` observes."""
    stop, watch = asyncio.Event(), Stopwatch()
    running = asyncio.create_task(run_processor(settings, fold, observer or counting, stop))
    finished = asyncio.create_task(counting.done.wait())
    await asyncio.wait({running, finished}, return_when=asyncio.FIRST_COMPLETED)
    rate = watch.rate(counting.wanted)
    stop.set()
    await running
    return rate
