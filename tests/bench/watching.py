"""What it costs to be watched: the whole processor bare, and with everything on, in pairs of one run.

    python -m tests.bench.watching --events 400000 --rounds 6

Everything on: counts, metrics, what happened in the log, the HTTP surface in its thread, a scrape of ``/metrics`` and
an ``/api/overview`` every second, and a subscriber of the stream who wants everything.  Each pair is run in both
orders in turn; the figures are medians of the pairs' ratios (1.0: it costs nothing).
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import logging
import statistics
import sys
from contextlib import suppress
from io import StringIO

import aiohttp
import msgspec

from processor.app import ApacheKafka
from processor.config import Settings
from processor.engine.observer import Observer
from processor.engine.ports import Fold
from processor.surfaces.chronicle import Chronicle
from processor.surfaces.cli.event_loop import cancelled, run_async
from processor.surfaces.folds import partition_fold
from processor.surfaces.logs import configure_logging
from processor.surfaces.observers import Observers
from processor.surfaces.showing import shown_alone
from processor.surfaces.watch.watch import Watch
from tests.bench.backlog import Counting, Rate, application, broker, events, worked_off, write


async def measure(settings: Settings, count: int, *, watched: bool) -> Rate:
    """From the start of the instance to the last commit."""
    counting = Counting(count)
    if not watched:
        return await worked_off(settings, lambda partition: partition_fold(settings, partition), counting)
    watch = Watch("bench")
    observers: list[Observer] = [counting, watch, Chronicle(settings.logs.session_lines_per_s)]
    turning = asyncio.create_task(watch.turn())

    def fold(partition: int) -> Fold:
        return watch.made(partition, partition_fold(settings, partition, keeps_diary=True))

    async with shown_alone(settings, watch, ApacheKafka()) as url:
        looking = await asyncio.create_subprocess_exec(sys.executable, "-m", "tests.bench.watching", "--look", url)
        try:
            return await worked_off(settings, fold, counting, Observers(observers))
        finally:
            looking.terminate()
            await looking.wait()
            await cancelled(turning)


async def _look(url: str) -> None:
    """Somebody with a dashboard and a Prometheus, in a process of their own; until terminated."""
    async with aiohttp.ClientSession() as session, session.ws_connect(f"{url}/ws?batch=1&happened=1") as stream:
        while True:
            for path in ("/metrics", "/api/overview"):
                async with session.get(url + path) as answer:
                    await answer.read()
            with suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    while True:
                        await stream.receive()


async def main(servers: str, count: int, rounds: int) -> dict[str, object]:
    """The pairs, and the medians of their ratios."""
    pairs: list[dict[bool, Rate]] = []
    for turn in range(rounds):
        pair: dict[bool, Rate] = {}
        for watched in (False, True) if turn % 2 else (True, False):
            settings = await application(servers, f"watching-{turn}-{watched}".lower(), {"http.port": 0})
            if not pairs and not pair:
                await write(settings, events(count))
            pair[watched] = await measure(settings, count, watched=watched)
        pairs.append(pair)
    return {
        "events": count,
        "rounds": rounds,
        "bare": [msgspec.to_builtins(pair[False]) for pair in pairs],
        "watched": [msgspec.to_builtins(pair[True]) for pair in pairs],
        "ratio_per_s": round(statistics.median(pair[True].per_s / pair[False].per_s for pair in pairs), 3),
        "ratio_per_cpu_s": round(statistics.median(pair[True].per_cpu_s / pair[False].per_cpu_s for pair in pairs), 3),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=400_000)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--look", metavar="URL", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.look is not None:
        asyncio.run(_look(options.look))
    gc.set_threshold(50_000, 20, 100)
    configure_logging(logging.INFO, json_lines=True, stream=StringIO())
    with broker() as kafka:
        json.dump(run_async(main(kafka.bootstrap_servers, options.events, options.rounds)), sys.stdout, indent=2)
