"""How fast the whole processor is, against the client merely copying records through, in one run.

    python -m tests.bench.throughput --events 1000000

One embedded broker, 4 partitions, 2,000 sessions, JSON.  ``copy`` is aiokafka's own consumer and producer in their
fastest form (whole batches, nothing decoded, no transaction); ``processor`` is one instance as it runs in production:
decoding, the loop, encoding, changelog, exactly-once.  CPU-seconds are this process's, the broker's are not counted.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import random
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from processor.backends.embedded import EmbeddedKafka
from processor.backends.kafka import EventProducer, apply, connected, observe, run_processor
from processor.config import Settings, declared_topology, load_settings
from processor.engine.observer import Committed, Observer
from processor.surfaces.cli.event_loop import run_async
from processor.surfaces.folds import partition_fold
from topology import plan

PARTITIONS = 4
SESSIONS = 2_000
COPIED_TOPIC = "throughput.copied"


@dataclass
class Rate:
    """Events per second of wall time and of this process's CPU time."""

    per_s: float
    per_cpu_s: float


class Counting(Observer):
    """Wakes whoever waits once so many records are committed."""

    def __init__(self, wanted: int) -> None:
        self.left = wanted
        self.done = asyncio.Event()
        self.seconds: list[float] = []

    def committed(self, report: Committed) -> None:
        self.left -= report.records
        self.seconds.append(report.seconds)
        if self.left <= 0:
            self.done.set()


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


async def measure_copy(settings: Settings, count: int) -> Rate:
    """aiokafka copying through."""
    servers = settings.kafka.bootstrap_servers
    consumer = AIOKafkaConsumer(bootstrap_servers=servers, auto_offset_reset="earliest", enable_auto_commit=False)
    producer = AIOKafkaProducer(bootstrap_servers=servers, acks="all", max_batch_size=512 * 1024)
    await consumer.start()
    await producer.start()
    try:
        consumer.assign([TopicPartition(settings.topics.state, partition) for partition in range(PARTITIONS)])
        await consumer.seek_to_beginning()
        began, cpu, copied = time.perf_counter(), time.process_time(), 0
        while copied < count:
            sent = []
            for partition, records in (await consumer.getmany(timeout_ms=1000)).items():
                batch = producer.create_batch()
                for record in records:
                    if batch.append(key=record.key, value=record.value, timestamp=None) is None:
                        sent.append(await producer.send_batch(batch, COPIED_TOPIC, partition=partition.partition))
                        batch = producer.create_batch()
                        batch.append(key=record.key, value=record.value, timestamp=None)
                sent.append(await producer.send_batch(batch, COPIED_TOPIC, partition=partition.partition))
                copied += len(records)
            await asyncio.gather(*sent)
        return Rate(count / (time.perf_counter() - began), count / (time.process_time() - cpu))
    finally:
        await consumer.stop()
        await producer.stop()


async def measure_processor(settings: Settings, count: int) -> tuple[Rate, list[float]]:
    """The whole processor; also the seconds of every commit."""
    stop, counting = asyncio.Event(), Counting(count)
    began, cpu = time.perf_counter(), time.process_time()
    running = asyncio.create_task(
        run_processor(settings, lambda partition: partition_fold(settings, partition), counting, stop)
    )
    finished = asyncio.create_task(counting.done.wait())
    await asyncio.wait({running, finished}, return_when=asyncio.FIRST_COMPLETED)
    rate = Rate(count / (time.perf_counter() - began), count / (time.process_time() - cpu))
    stop.set()
    await running
    return rate, sorted(counting.seconds)


async def main(servers: str, count: int, rounds: int) -> dict[str, object]:
    """Copy and processor in turn, the same input for both; figures of the best round of each."""
    copies: list[Rate] = []
    processed: list[Rate] = []
    commits: list[float] = []
    for turn in range(rounds):
        name = f"throughput-{turn}"
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
            },
        )
        declared = declared_topology(settings)
        async with connected(settings, "bench") as connection:
            await apply(connection, settings, plan(declared, await observe(connection, declared)), declared)
        if turn == 0:
            async with EventProducer(settings) as producer:
                chunk: list[tuple[bytes, bytes]] = []
                for event in events(count):
                    chunk.append(event)
                    if len(chunk) == 2_000:
                        await producer.send(chunk)
                        chunk = []
                await producer.send(chunk)
                await producer.flush()
        copies.append(await measure_copy(settings, count))
        rate, commits = await measure_processor(settings, count)
        processed.append(rate)
    copy = max(copies, key=lambda rate: rate.per_cpu_s)
    processor = max(processed, key=lambda rate: rate.per_cpu_s)
    return {
        "events": count,
        "copy_per_s": round(copy.per_s),
        "copy_per_cpu_s": round(copy.per_cpu_s),
        "processor_per_s": round(processor.per_s),
        "processor_per_cpu_s": round(processor.per_cpu_s),
        "ratio_per_cpu_s": round(processor.per_cpu_s / copy.per_cpu_s, 3),
        "commit_ms": {
            "p50": round(1000 * commits[len(commits) // 2], 1),
            "p99": round(1000 * commits[int(len(commits) * 0.99)], 1),
        },
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    gc.set_threshold(50_000, 20, 100)
    with EmbeddedKafka(properties={"auto.create.topics.enable": "true", "num.partitions": str(PARTITIONS)}) as kafka:
        json.dump(run_async(main(kafka.bootstrap_servers, options.events, options.rounds)), sys.stdout, indent=2)
