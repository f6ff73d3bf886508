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
import sys

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from processor.config import Settings
from processor.surfaces.cli.event_loop import run_async
from processor.surfaces.folds import partition_fold
from tests.bench.backlog import PARTITIONS, Counting, Rate, Stopwatch, application, broker, events, worked_off, write

COPIED_TOPIC = "throughput.copied"


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
        watch, copied = Stopwatch(), 0
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
        return watch.rate(count)
    finally:
        await consumer.stop()
        await producer.stop()


async def measure_processor(settings: Settings, count: int) -> tuple[Rate, list[float]]:
    """The whole processor; also the seconds of every commit."""
    counting = Counting(count)
    rate = await worked_off(settings, lambda partition: partition_fold(settings, partition), counting)
    return rate, sorted(counting.seconds)


async def main(servers: str, count: int, rounds: int) -> dict[str, object]:
    """Copy and processor in turn, the same input for both; figures of the best round of each."""
    copies: list[Rate] = []
    processed: list[Rate] = []
    commits: list[float] = []
    for turn in range(rounds):
        settings = await application(servers, f"throughput-{turn}")
        if turn == 0:
            await write(settings, events(count))
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
    with broker() as kafka:
        json.dump(run_async(main(kafka.bootstrap_servers, options.events, options.rounds)), sys.stdout, indent=2)
