"""What a crowd of WebSocket subscribers costs the processor, against the same processor with nobody watching.

    python -m tests.bench.subscribers --subscribers 10000 --silent 200 --seconds 30 --json

One embedded broker, 4 partitions, 2,000 sessions; one instance as `run` has it, with its window in a second thread,
working off a backlog as fast as it can.  The subscribers are another process (`tests.bench.crowd`).  Each pair is the
same work with and without them, in both orders in turn; the ratios are medians of the pairs (1.0: they cost nothing).
``per_s`` is what one sees, other programs on the machine and the crowd's own process included; ``per_cpu_s`` counts
this process only.

    python -m tests.bench.subscribers --updates 1000 --seconds 60 --json

One subscriber that gets so many updates a second, and the memory meanwhile; no broker.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import logging
import os
import resource
import statistics
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from io import StringIO
from typing import Any

import aiohttp

from processor.app import ApacheKafka
from processor.backends.kafka import run_processor
from processor.config import Settings, load_settings
from processor.engine.observer import Committed, Observer
from processor.engine.ports import Fold
from processor.surfaces.chronicle import Chronicle
from processor.surfaces.cli.event_loop import cancelled, run_async
from processor.surfaces.folds import partition_fold
from processor.surfaces.logs import configure_logging
from processor.surfaces.observers import Observers
from processor.surfaces.showing import shown_alone
from processor.surfaces.watch.watch import Watch
from schemas.codec import encode_json
from schemas.metrics import Metric, PerformanceTrend
from tests.bench.backlog import Rate, Stopwatch, application, broker, events, write

WARM_S = 2.0  # from the first commit on, before counting begins


class Committing(Observer):
    """Counts what is committed."""

    def __init__(self) -> None:
        self.records = 0
        self.began = asyncio.Event()

    def committed(self, report: Committed) -> None:
        self.records += report.records
        self.began.set()


@dataclass
class Crowd:
    """What the other process said when all were connected, and at the end."""

    process: asyncio.subprocess.Process
    connected: dict[str, Any]
    summary: dict[str, Any] = field(default_factory=dict)


@asynccontextmanager
async def crowd(url: str, subscribers: int, silent: int, queries: list[str]) -> AsyncIterator[Crowd]:
    """So many are there while the context lasts."""
    arguments = ["--port", url.rpartition(":")[2], "--subscribers", str(subscribers), "--silent", str(silent)]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.bench.crowd", *arguments, *(f"--query={query}" for query in queries)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    there = Crowd(process, json.loads(await process.stdout.readline()))
    yield there
    process.stdin.close()
    there.summary = json.loads(await process.stdout.readline())
    await process.wait()


def memory_mb() -> float:
    """Resident memory of this process."""
    with open("/proc/self/statm", encoding="ascii") as statm:
        return round(int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6, 1)


async def stream_figures(url: str) -> dict[str, float]:
    """What the processor's own metrics say of the stream."""
    async with aiohttp.ClientSession() as session, session.get(url + "/metrics") as answer:
        lines = (await answer.text()).splitlines()
    found = (line.rpartition(" ") for line in lines if line.startswith("creative_feedback_stream_"))
    return {name.removeprefix("creative_feedback_stream_"): float(value) for name, _, value in found}


async def measure(
    settings: Settings, seconds: float, subscribers: int, silent: int, queries: list[str]
) -> dict[str, Any]:
    """Events per second of an instance on a fresh application, with so many subscribers there from before its start."""
    committing = Committing()
    watch = Watch("bench")
    turning = asyncio.create_task(watch.turn())
    observers = Observers([committing, watch, Chronicle(settings.logs.session_lines_per_s)])

    def fold(partition: int) -> Fold:
        return watch.made(partition, partition_fold(settings, partition, keeps_diary=True))

    async def work() -> Rate:
        stop = asyncio.Event()
        running = asyncio.create_task(run_processor(settings, fold, observers, stop))
        await committing.began.wait()
        await asyncio.sleep(WARM_S)
        stopwatch, before = Stopwatch(), committing.records
        await asyncio.sleep(seconds)
        rate = stopwatch.rate(committing.records - before)
        stop.set()
        await running
        return rate

    try:
        async with shown_alone(settings, watch, ApacheKafka()) as url:
            memory = {"before": memory_mb()}
            if not subscribers + silent:
                rate = await work()
                return {"per_s": round(rate.per_s), "per_cpu_s": round(rate.per_cpu_s), "memory_mb": memory}
            async with crowd(url, subscribers, silent, queries) as there:
                memory["connected"] = memory_mb()
                rate = await work()
                memory["after"] = memory_mb()
                figures = await stream_figures(url)
            return {
                "per_s": round(rate.per_s),
                "per_cpu_s": round(rate.per_cpu_s),
                "memory_mb": memory,
                "crowd": {**there.connected, **there.summary},
                "stream": figures,
            }
    finally:
        await cancelled(turning)


async def pairs(
    servers: str, count: int, rounds: int, seconds: float, crowd_of: tuple[int, int, list[str]]
) -> dict[str, Any]:
    """The pairs, and the medians of their ratios."""
    measured: list[dict[bool, dict[str, Any]]] = []
    for turn in range(rounds):
        pair: dict[bool, dict[str, Any]] = {}
        for watched in (True, False) if turn % 2 else (False, True):
            flags = {"http.port": 0, "http.max_subscribers": max(crowd_of[0] + crowd_of[1], 1)}
            settings = await application(servers, f"subscribers-{turn}-{watched}".lower(), flags)
            if not measured and not pair:
                await write(settings, events(count))
            pair[watched] = await measure(settings, seconds, *(crowd_of if watched else (0, 0, [])))
            print(json.dumps({"turn": turn, "watched": watched, **pair[watched]}), file=sys.stderr, flush=True)
        measured.append(pair)

    def ratio(name: str) -> float:
        return round(float(statistics.median(pair[True][name] / pair[False][name] for pair in measured)), 3)

    return {
        "backlog": count,
        "seconds": seconds,
        "subscribers": crowd_of[0],
        "silent": crowd_of[1],
        "open_files_limit": resource.getrlimit(resource.RLIMIT_NOFILE)[1],
        "ratio_per_s": ratio("per_s"),
        "ratio_per_cpu_s": ratio("per_cpu_s"),
        "pairs": [{"alone": pair[False], "watched": pair[True]} for pair in measured],
    }


async def one_socket(updates_per_s: int, seconds: float) -> dict[str, Any]:
    """So many metrics a second to one subscriber who named their hundred sessions, in batches."""
    settings = load_settings(None, {}, {"http.port": 0})
    watch = Watch("bench")
    names = [f"session-{n:05d}" for n in range(100)]
    got = left_out = frames = 0
    memory: list[float] = []

    async def feed() -> None:
        began, sequence = time.monotonic(), 0
        while True:
            due = int((time.monotonic() - began) * updates_per_s)
            metrics = [
                encode_json(Metric(names[n % len(names)], "stable", n, 0.5, PerformanceTrend(0.0, 0.0), n))
                for n in range(sequence, due)
            ]
            sequence = due
            watch.committed(Committed(0.01, len(metrics), {}, metrics={0: metrics}))
            await asyncio.sleep(0.02)

    async with shown_alone(settings, watch, ApacheKafka()) as url:
        feeding = asyncio.create_task(feed())
        turning = asyncio.create_task(watch.turn())
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(url + "/ws", max_msg_size=0) as client,
        ):
            await client.send_json({"type": "subscribe", "sessions": names, "batch": True})
            began = time.monotonic()
            while (passed := time.monotonic() - began) < seconds:
                if passed >= len(memory) * seconds / 12:
                    memory.append(memory_mb())
                update = json.loads(await client.receive_str())
                if update["type"] != "creativity_updates":
                    continue  # of before the subscription
                frames += 1
                got += len(update["updates"])
                left_out += update["left_out"]
        await cancelled(feeding)
        await cancelled(turning)
    return {
        "updates_per_s": round(got / seconds),
        "frames_per_s": round(frames / seconds, 1),
        "left_out": left_out,
        "seconds": seconds,
        "memory_mb": memory,
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--subscribers", type=int, default=10_000)
    parser.add_argument("--silent", type=int, default=200)
    parser.add_argument("--query", action="append", help="of the subscribers, in turn; '?batch=1' for example")
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--events", type=int, default=2_000_000, help="the backlog, which must last")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--updates", type=int, help="one socket instead, with so many updates a second")
    parser.add_argument("--json", action="store_true", help="the result in one line")
    options = parser.parse_args()
    gc.set_threshold(50_000, 20, 100)
    configure_logging(logging.INFO, json_lines=True, stream=StringIO())
    result: dict[str, Any]
    if options.updates:
        result = run_async(one_socket(options.updates, options.seconds))
    else:
        with broker() as kafka:
            crowd_of = (options.subscribers, options.silent, options.query or [""])
            result = run_async(
                pairs(kafka.bootstrap_servers, options.events, options.rounds, options.seconds, crowd_of)
            )
    json.dump(result, sys.stdout, indent=None if options.json else 2)
    print()
