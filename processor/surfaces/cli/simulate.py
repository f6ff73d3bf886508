"""``creative-feedback simulate``: sessions that answer to the entropy they receive."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack, ExitStack
from datetime import UTC, datetime
from itertools import islice
from time import perf_counter
from typing import Annotated, cast

import msgspec
import typer

from processor.config import Settings
from processor.errors import ConfigError
from processor.surfaces.cli.event_loop import cancelled, run_async
from processor.surfaces.cli.files import STANDARD_STREAM, sink
from processor.surfaces.cli.options import Config, Json, Overrides, Seed, gather_settings
from processor.surfaces.cli.signals import stop_on_signals
from processor.surfaces.folds import partition_fold
from processor.surfaces.ports import Event, Kafka
from processor.surfaces.simulator.closed_loop import closed_loop_values
from processor.surfaces.simulator.families import FAMILIES
from processor.surfaces.simulator.population import Population, families_named
from processor.surfaces.simulator.sending import FULL_THROTTLE, Quota, listen, send_paced, spoken

PREPARED_EVENTS = 1_000_000  # at most, some 250 MB; an open loop longer than this is computed on the way


def simulate(
    ctx: typer.Context,
    *,
    sessions: Annotated[int, typer.Option("--sessions", min=1, help="How many sessions.")] = 100,
    rate: Annotated[
        float,
        typer.Option("--rate", min=0.0, help="Events per second over all sessions; 0 is as fast as possible."),
    ] = 1000.0,
    events: Annotated[
        int | None, typer.Option("--events", min=1, help="Stop after so many events.", show_default=False)
    ] = None,
    duration: Annotated[
        float | None,
        typer.Option("--duration", min=0.0, metavar="SECONDS", help="Stop after so long.", show_default=False),
    ] = None,
    seed: Seed = 1,
    to_file: Annotated[
        str | None,
        typer.Option(
            "--to-file",
            metavar="FILE",
            help="Write JSON lines instead of sending: the loop is closed in this process, the bytes "
            "depend only on the seed and the settings. Needs --events. - is stdout.",
            show_default=False,
        ),
    ] = None,
    topic: Annotated[
        str | None,
        typer.Option("--topic", help="Send to this topic instead of the configured topics.state."),
    ] = None,
    family: Annotated[
        list[str] | None,
        typer.Option("--family", help=f"Landscapes to take, repeatable; all by default: {', '.join(FAMILIES)}."),
    ] = None,
    imperfections: Annotated[
        float,
        typer.Option(
            "--imperfections",
            min=0.0,
            max=1.0,
            help="Share of steps with a duplicate, a broken or refused record, a value out of range or "
            "missing, an emergency, or a forced injection.",
        ),
    ] = 0.0,
    open_loop: Annotated[
        bool,
        typer.Option("--open-loop", help="Do not listen to the actions; prepare the events and send, for load."),
    ] = False,
    prefix: Annotated[
        str | None,
        typer.Option(
            "--prefix",
            help="Session ids are PREFIX and a number; by default sim- in a file, and with the time of day on a "
            "topic, where a known session's numbers would be duplicates.",
            show_default=False,
        ),
    ] = None,
    config: Config = None,
    overrides: Overrides = None,
    as_json: Json = False,
) -> None:
    """Simulate sessions whose state answers to the actions they receive.

    Each session is an idea in a landscape of wells: entropy heats it, it grows used to entropy, what it has
    seen is less novel. Without --to-file the events go to the state topic and the committed actions are
    read back.

    Example: creative-feedback simulate --sessions 50 --events 20000 --to-file events.jsonl
    """
    more = {"topics.state": topic} if topic is not None else None
    settings = gather_settings(config, overrides, more)
    if prefix is None:
        prefix = "sim-" if to_file is not None else f"sim-{datetime.now(UTC):%d%H%M%S}-"
    population = Population(
        sessions, seed, families=families_named(family or ()), imperfections=imperfections, prefix=prefix
    )
    if not open_loop and rate == FULL_THROTTLE and to_file is None:
        raise ConfigError("--rate 0 outruns every answer: add --open-loop, or choose a rate")
    if to_file is not None:
        if events is None:
            raise ConfigError("--to-file needs --events: a file has an end")
        started = perf_counter()
        _write(population, settings, events, to_file)
        sent, seconds = events, perf_counter() - started
    else:
        quota = Quota(rate, events, duration)
        sent, seconds = run_async(_send(cast(Kafka, ctx.obj), settings, population, quota, open_loop))
    told = {
        "events": sent,
        "sessions": sessions,
        "seconds": seconds,
        "events_per_s": sent / max(seconds, 1e-9),
    }
    if as_json and to_file != STANDARD_STREAM:
        sys.stdout.write(msgspec.json.encode(told).decode() + "\n")
    else:
        print(
            f"{sent:,} events of {sessions:,} sessions in {seconds:.1f} s ({told['events_per_s']:,.0f}/s)",
            file=sys.stderr,
        )


def _write(population: Population, settings: Settings, events: int, name: str) -> None:
    fold = partition_fold(settings, 0)
    with ExitStack() as stack:
        out = sink(name, stack)
        for value in islice(closed_loop_values(population, fold), events):
            out.write(value + b"\n")


async def _send(
    kafka: Kafka, settings: Settings, population: Population, quota: Quota, open_loop: bool
) -> tuple[int, float]:
    """Events sent and acknowledged, and the seconds that took without preparation."""
    stop = asyncio.Event()
    source: Iterator[Event] = spoken(population)
    async with AsyncExitStack() as stack:
        stack.enter_context(stop_on_signals(stop))
        producer = await stack.enter_async_context(kafka.producer(settings))
        if not open_loop:
            answers = await stack.enter_async_context(kafka.reader(settings, [settings.topics.actions], latest=True))
            listening = asyncio.create_task(listen(population, answers))
            stack.push_async_callback(cancelled, listening)
        elif quota.events is not None and quota.events <= PREPARED_EVENTS:
            source = iter(list(islice(source, quota.events)))
        started = perf_counter()
        sent = await send_paced(source, producer, quota, stop)
        return sent, perf_counter() - started
