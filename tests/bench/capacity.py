"""What a session costs: a worker's memory, the changelog, the way back after a restart, and bytes in and out.

    python -m tests.bench.capacity --sessions 10000 40000 --events-per-session 20 --json

For each number of sessions fresh topics of 4 partitions in one embedded broker, and one `creative-feedback run` in a
process of its own: its resident memory before the first event, when all events are processed, and after a restart from
the changelog.  `live` is the newest value of every key, what compaction leaves; `written` everything before compaction.
Bytes of topics are those of their logs on one broker's disk, each divided by the events.  CPU-seconds are the worker's:
a restore's are those of a start with state less those of a start without, so that other programs do not count.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import signal
import sys
import tempfile
from asyncio.subprocess import PIPE, Process
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
from aiohttp import ClientSession
from aiokafka import AIOKafkaConsumer, TopicPartition
from msgspec import Struct
from prometheus_client.parser import text_string_to_metric_families

from processor.backends.embedded import EmbeddedKafka
from processor.config import Settings, load_settings
from processor.surfaces.report import Report
from tests.bench.backlog import write
from tests.faults.stage import create_topics
from tests.oracle.verdict import group_offsets

PARTITIONS = 4
WAIT_S = 1_800.0
POLL_S = 0.5
ROLES = ("state", "actions", "metrics", "dead_letters", "changelog")


class Figures(Struct, frozen=True):
    """One number of sessions; bytes, seconds, and bytes per event by topic."""

    sessions: int
    events: int
    memory_empty_bytes: int
    memory_full_bytes: int
    memory_restored_bytes: int
    changelog_live_bytes: int
    changelog_live_records: int
    restored_bytes: int
    restore_cpu_s: float
    events_cpu_s: float
    bytes_per_event: dict[str, float]


def events(sessions: int, count: int) -> Iterator[tuple[bytes, bytes]]:
    """States that wander, of one session after the other, ``count`` for each; the same for every run."""
    dice = random.Random(20260101)
    levels = [[dice.random() for _ in range(3)] for _ in range(sessions)]
    for sequence in range(count):
        for number, level in enumerate(levels):
            level[:] = [min(1.0, max(0.0, value + dice.gauss(0, 0.1))) for value in level]
            novelty, aesthetic_score, volatility = (round(value, 6) for value in level)
            event = {
                "session_id": f"session-{number:07d}",
                "sequence": sequence,
                "timestamp": "2026-01-01T00:00:00Z",
                "state": {
                    "novelty": novelty,
                    "aesthetic_score": aesthetic_score,
                    "volatility": volatility,
                    "lambda_max": 0.02,
                },
            }
            yield f"session-{number:07d}".encode(), msgspec.json.encode(event)


class Worker:
    """One `creative-feedback run`, asked over HTTP."""

    def __init__(self, process: Process, address: str) -> None:
        self._process = process
        self._address = address
        self._reading = asyncio.create_task(self._read_on())

    @classmethod
    async def start(cls, flags: Mapping[str, Any], log: Path) -> Worker:
        """Returns once all partitions work."""
        options = [f"--set={name}={value}" for name, value in flags.items()]
        command = (
            sys.executable,
            "-m",
            "processor.app",
            "run",
            "--json",
            "--stop-when-stdin-closes",
            "--instance=bench",
            *options,
        )
        with log.open("ab") as sink:
            process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, stderr=sink)
        assert process.stdout is not None
        async for line in process.stdout:
            report = msgspec.json.decode(line, type=Report)
            if len(report.running) == PARTITIONS and report.address is not None:
                return cls(process, report.address)
        raise RuntimeError(f"the worker ended with {await process.wait()}: see {log}")

    async def figures(self) -> dict[str, float]:
        """Every series without labels of its own, by name; of others the sum."""
        async with ClientSession() as session, session.get(f"{self._address}/metrics") as reply:
            text = await reply.text()
        found: dict[str, float] = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                found[sample.name] = found.get(sample.name, 0.0) + sample.value
        return found

    async def stop(self) -> None:
        """In an orderly way."""
        self._process.send_signal(signal.SIGTERM)
        await self._reading
        assert await self._process.wait() == 0

    async def _read_on(self) -> None:
        """A process whose output nobody takes is not seen to end."""
        assert self._process.stdout is not None
        while await self._process.stdout.read(65_536):
            pass


async def live(settings: Settings) -> tuple[int, int]:
    """Bytes and number of the newest records of the changelog's keys."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=settings.kafka.bootstrap_servers, isolation_level="read_committed", enable_auto_commit=False
    )
    await consumer.start()
    sizes: dict[tuple[int, bytes], int] = {}
    try:
        partitions = [TopicPartition(settings.topics.changelog, number) for number in range(PARTITIONS)]
        consumer.assign(partitions)
        await consumer.seek_to_beginning()
        ends = await consumer.end_offsets(partitions)
        while any([await consumer.position(partition) < end for partition, end in ends.items()]):
            for partition, records in (await consumer.getmany(timeout_ms=200)).items():
                for record in records:
                    assert record.key is not None
                    where = partition.partition, record.key
                    sizes.pop(where, None)
                    if record.value is not None:
                        sizes[where] = len(record.key) + len(record.value)
    finally:
        await consumer.stop()
    return sum(sizes.values()), len(sizes)


def log_bytes(data: Path, topic: str) -> int:
    """What the topic's logs take on the broker's disk, indexes not counted."""
    return sum(file.stat().st_size for file in data.rglob(f"{topic}-*/*.log"))


async def measured(kafka: EmbeddedKafka, folder: Path, sessions: int, each: int, more: Mapping[str, Any]) -> Figures:
    """One number of sessions, in topics of their own."""
    name = f"capacity-{sessions}-{each}"
    flags = {
        "kafka.bootstrap_servers": kafka.bootstrap_servers,
        "topics.partitions": PARTITIONS,
        "topics.replication_factor": 1,
        "engine.application_id": name,
        "http.port": 0,
        "logs.session_lines_per_s": 0,
        **{f"topics.{role}": f"{name}.{role}" for role in ROLES},
        **more,
    }
    settings = load_settings(None, {}, flags)
    await create_topics(settings)
    worker = await Worker.start(flags, folder / f"{name}.log")
    empty = await worker.figures()
    await write(settings, events(sessions, each))
    count = sessions * each
    deadline = asyncio.get_running_loop().time() + WAIT_S
    while sum((await group_offsets(settings)).values()) < count:
        assert asyncio.get_running_loop().time() < deadline, f"{count} events not processed in {WAIT_S:g} s"
        await asyncio.sleep(POLL_S)
    full = await worker.figures()
    await worker.stop()
    data = folder / "data"
    restored_bytes = log_bytes(data, settings.topics.changelog)
    worker = await Worker.start(flags, folder / f"{name}.log")
    restored = await worker.figures()
    await worker.stop()
    live_bytes, live_records = await live(settings)
    memory, cpu = "process_resident_memory_bytes", "process_cpu_seconds_total"
    return Figures(
        sessions=sessions,
        events=count,
        memory_empty_bytes=int(empty[memory]),
        memory_full_bytes=int(full[memory]),
        memory_restored_bytes=int(restored[memory]),
        changelog_live_bytes=live_bytes,
        changelog_live_records=live_records,
        restored_bytes=restored_bytes,
        restore_cpu_s=round(restored[cpu] - empty[cpu], 2),
        events_cpu_s=round(full[cpu] - empty[cpu], 2),
        bytes_per_event={role: round(log_bytes(data, f"{name}.{role}") / count, 1) for role in ROLES},
    )


def told(row: Figures) -> str:
    """In one line; a session's and an event's share."""
    grown = (row.memory_full_bytes - row.memory_empty_bytes) / row.sessions
    topics = ", ".join(f"{role} {size:g}" for role, size in row.bytes_per_event.items())
    return (
        f"{row.sessions} sessions, {row.events} events: {grown:.0f} bytes of memory a session (empty "
        f"{row.memory_empty_bytes >> 20} MiB), changelog {row.changelog_live_bytes / row.sessions:.0f} live bytes a "
        f"session; {row.restored_bytes >> 20} MiB restored in {row.restore_cpu_s} CPU-seconds, events processed in "
        f"{row.events_cpu_s}; bytes per event: {topics}"
    )


def main() -> None:
    """The program."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, nargs="+", default=[10_000, 40_000], help="in all four partitions")
    parser.add_argument("--events-per-session", type=int, default=20)
    parser.add_argument(
        "--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="settings of the worker"
    )
    parser.add_argument("--json", action="store_true", help="figures as JSON, a line for each")
    options = parser.parse_args()
    more = dict(setting.split("=", 1) for setting in options.set)
    with tempfile.TemporaryDirectory(prefix="capacity-") as name:
        folder = Path(name)
        with EmbeddedKafka(folder=folder / "data") as kafka:
            for sessions in options.sessions:
                row = asyncio.run(measured(kafka, folder, sessions, options.events_per_session, more))
                print(json.dumps(msgspec.to_builtins(row)) if options.json else told(row), flush=True)


if __name__ == "__main__":
    main()
