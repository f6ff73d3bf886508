"""``creative-feedback demo``: everything at once on one machine, with a verdict."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated, cast

import msgspec
import typer
from rich.console import Console
from rich.live import Live

from processor.config import all_keys
from processor.surfaces import terminal
from processor.surfaces.cli.event_loop import run_async
from processor.surfaces.cli.exits import Difference, ExitCode
from processor.surfaces.cli.fetching import fetch_progress
from processor.surfaces.cli.options import Config, Json, Overrides, Seed, flags_of, gather_settings
from processor.surfaces.cli.signals import stop_on_signals, terminated_like_interrupted
from processor.surfaces.demo.course import Plot, Show, play
from processor.surfaces.demo.outcome import Outcome, told
from processor.surfaces.demo.witness import Witness
from processor.surfaces.ports import Broker, Kafka
from processor.surfaces.simulator.population import Population
from processor.surfaces.terminal import Pulse

LINE_INTERVAL_S = 2.0

# Explorations short enough to be seen from begin to end, and one model per partition, which learns sooner.
DEMO_SETTINGS = {
    "loop.max_exploration_steps": "60",
    "loop.recovery_steps": "15",
    "loop.stable_patience_steps": "25",
    "quality.scope": "shared",
}

# One broker, whose groups allow no shorter time-out than this: a killed worker's partitions are taken over sooner.
ONE_MACHINE = {
    "topics.replication_factor": "1",
    "engine.session_timeout_ms": "6000",
    "engine.transaction_timeout_ms": "6000",
}


def demo(
    ctx: typer.Context,
    *,
    duration: Annotated[
        float | None,
        typer.Option(
            "--duration",
            min=0.1,
            metavar="SECONDS",
            help="End after so many seconds of events; without it Ctrl-C ends the demo.",
            show_default=False,
        ),
    ] = None,
    sessions: Annotated[int, typer.Option("--sessions", min=1, help="Simulated sessions.")] = 48,
    rate: Annotated[float, typer.Option("--rate", min=1.0, help="Events per second over all sessions.")] = 1200.0,
    workers: Annotated[int, typer.Option("--workers", min=1, max=16, help="Worker processes.")] = 2,
    imperfections: Annotated[
        float,
        typer.Option(
            "--imperfections", min=0.0, max=1.0, help="Share of steps with a duplicate, a bad record, an emergency …"
        ),
    ] = 0.02,
    seed: Seed = 1,
    folder: Annotated[
        Path | None,
        typer.Option(
            "--folder",
            metavar="DIR",
            help="Keep the broker's data and the workers' log here. Without it everything is temporary.",
            show_default=False,
        ),
    ] = None,
    config: Config = None,
    overrides: Overrides = None,
    as_json: Json = False,
) -> None:
    """Start Kafka, simulated sessions and workers, watch them, and compare what they commit with a replay.

    Needs neither Java nor Docker: the first start fetches Apache Kafka (42 MB) into a cache. Where that is
    out of reach noida-db stands in, and the summary says so. With --json the only output on stdout is one
    object.

    The dashboard's address is told when the workers start: http://127.0.0.1:8080, or another port where that is taken.

    Ends with the summary, by itself with --duration, else by Ctrl-C; a second Ctrl-C ends at once. Exits 1 where
    committed output differs from the replay, 130 where Ctrl-C came before all of it was committed.

    The demo sets, unless --set says otherwise: loop.max_exploration_steps 60, loop.recovery_steps 15,
    loop.stable_patience_steps 25, quality.scope shared.
    """
    flags = demo_flags(config, os.environ, flags_of(overrides))
    gather_settings(config, None, flags)  # a wrong setting is told before a broker is started
    quiet = as_json or not sys.stdout.isatty()
    with ExitStack() as stack:
        home = folder or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="creative-feedback-demo-")))
        home.mkdir(parents=True, exist_ok=True)
        tell("starting the broker")
        broker = stack.enter_context(_broker(cast(Kafka, ctx.obj), home))
        if broker.why_fallback is not None:
            tell(f"{broker.kind} stands in for Apache Kafka: {broker.why_fallback}")
            flags["kafka.require_verification"] = "false"  # the stand-in has none, and proves nothing
        flags["kafka.bootstrap_servers"] = broker.bootstrap_servers
        settings = gather_settings(config, None, flags)
        # Session ids of their own: a kept folder remembers those of earlier demos.
        prefix = f"demo-{datetime.now(UTC):%d%H%M%S}-" if folder else "demo-"
        population = Population(sessions, seed, imperfections=imperfections, prefix=prefix)
        plot = Plot(
            sessions=sessions,
            rate=rate,
            workers=workers,
            duration_s=duration,
            worker_options=worker_options(config, flags),
            log=home / "workers.log",
        )
        show = stack.enter_context(_lines() if quiet else _screen())

        def tell_address(url: str) -> None:
            tell(f"dashboard at {url}")
            if quiet and not as_json:
                print(f"dashboard at {url}", flush=True)

        playing = partial(play, cast(Kafka, ctx.obj), broker, settings, population, plot, show, tell, tell_address)
        outcome = run_async(_until_stopped(playing))
    if as_json:
        sys.stdout.write(msgspec.json.encode(outcome).decode() + "\n")
    else:
        print(told(outcome))
    if outcome.interrupted:
        raise typer.Exit(ExitCode.INTERRUPTED)
    if outcome.different:
        raise Difference(f"committed output is not equal to the replay: {outcome.verdict}")


def demo_flags(config: Path | None, environ: Mapping[str, str], flags: Mapping[str, str]) -> dict[str, str]:
    """The flags of a demo: its own settings give way to a file, the environment and ``--set``."""
    own = {} if config is not None else dict(DEMO_SETTINGS)
    keys = all_keys()
    own = {name: value for name, value in own.items() if keys[name].environment not in environ}
    return {"topics.partitions": "4", **own, **ONE_MACHINE, **flags}


def worker_options(config: Path | None, flags: Mapping[str, str]) -> list[str]:
    """The same settings for ``creative-feedback run``."""
    options = [] if config is None else ["--config", str(config)]
    for name, value in flags.items():
        options += ["--set", f"{name}={value}"]
    return options


def tell(line: str) -> None:
    """What is being done, for whoever waits."""
    print(f"creative-feedback: {line}", file=sys.stderr, flush=True)


@contextmanager
def _broker(kafka: Kafka, home: Path) -> Iterator[Broker]:
    with terminated_like_interrupted(), fetch_progress() as progress:
        starting = kafka.start_broker(nodes=1, port=None, folder=home / "kafka", properties={}, progress=progress)
        broker = starting.__enter__()
    try:
        yield broker
    finally:
        starting.__exit__(None, None, None)


async def _until_stopped(playing: Callable[[asyncio.Event], Awaitable[Outcome]]) -> Outcome:
    stop = asyncio.Event()
    with stop_on_signals(stop):
        return await playing(stop)


@contextmanager
def _screen() -> Iterator[Show]:
    with Live(auto_refresh=False, transient=True, console=Console()) as live:
        yield lambda witness, pulse: live.update(terminal.view(witness.story, pulse), refresh=True)


@contextmanager
def _lines() -> Iterator[Show]:
    told_at = -LINE_INTERVAL_S

    def show(witness: Witness, pulse: Pulse) -> None:
        nonlocal told_at
        if pulse.elapsed_s - told_at >= LINE_INTERVAL_S:
            told_at = pulse.elapsed_s
            tell(terminal.line(witness.story, pulse))

    yield show
