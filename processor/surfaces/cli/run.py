"""``creative-feedback run``: the processor, in this process or in several supervised ones."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sys
from contextlib import AsyncExitStack, suppress
from typing import Annotated, cast

import msgspec
import typer

from processor.config import Settings
from processor.surfaces.cli.event_loop import cancelled, run_async
from processor.surfaces.cli.exits import debugging
from processor.surfaces.cli.options import Config, Json, Overrides, gather_settings
from processor.surfaces.cli.signals import stop_on_signals
from processor.surfaces.folds import partition_fold
from processor.surfaces.logs import configure_logging
from processor.surfaces.ports import Kafka
from processor.surfaces.report import ReportedSecond
from processor.surfaces.supervisor import Supervisor, Worker

REPORT_INTERVAL_S = 1.0


def run(
    ctx: typer.Context,
    *,
    workers: Annotated[
        int, typer.Option("--workers", min=1, max=256, help="Worker processes; each needs about one core.")
    ] = 1,
    instance: Annotated[
        str | None,
        typer.Option(
            "--instance",
            metavar="ID",
            help="Stable name of this instance, the same after a restart, as engine.instance_id. With several "
            "workers: their common prefix. By default the host's name.",
            show_default=False,
        ),
    ] = None,
    config: Config = None,
    overrides: Overrides = None,
    as_json: Json = False,
    with_parent: Annotated[
        bool, typer.Option("--stop-when-stdin-closes", help="Also stop when stdin ends: for supervisors.")
    ] = False,
) -> None:
    """Process state events until SIGINT or SIGTERM, exactly once.

    The first signal commits what is computed, leaves the group and exits 0; a second one exits at once, safely.
    With --workers N this process supervises N processes with the instance ids ID-0 … ID-(N-1): one that
    crashes is restarted after a pause that doubles from 0.5 s to 30 s; one that ends for good (exit 2 or 3) stops all.
    Logs go to stderr, as JSON where it is no terminal. With --json a report of every second goes to stdout.

    The topics must exist: see creative-feedback topics apply.
    """
    settings = gather_settings(config, overrides)
    partition_fold(settings, 0)  # names that only the loop can check are refused before anything is started
    configure_logging(logging.DEBUG if debugging() else logging.INFO)
    name = instance or settings.engine.instance_id or socket.gethostname()
    if workers > 1:
        command = _worker_command(ctx, as_json)
        crew = [Worker(f"{name}-{n}", (*command, "--instance", f"{name}-{n}")) for n in range(workers)]
        raise typer.Exit(run_async(_supervise(settings, crew, with_parent)))
    settings = msgspec.structs.replace(settings, engine=msgspec.structs.replace(settings.engine, instance_id=name))
    run_async(_work(cast(Kafka, ctx.obj), settings, name, as_json, with_parent))


def _worker_command(ctx: typer.Context, as_json: bool) -> tuple[str, ...]:
    """This command line again, for one worker."""
    command = [sys.executable, "-m", "processor.app", "run", "--stop-when-stdin-closes"]
    if ctx.params["config"] is not None:
        command += ["--config", str(ctx.params["config"])]
    for override in ctx.params["overrides"] or ():
        command += ["--set", override]
    if as_json:
        command.append("--json")
    return tuple(command)


async def _supervise(settings: Settings, crew: list[Worker], with_parent: bool) -> int:
    stop = asyncio.Event()
    supervisor = Supervisor(
        crew,
        lambda line: print(f"creative-feedback: {line}", file=sys.stderr, flush=True),
        grace_s=settings.engine.shutdown_timeout_ms / 1000 + 2.0,
    )
    async with AsyncExitStack() as stack:
        stack.enter_context(stop_on_signals(stop, second=supervisor.kill))
        if with_parent:
            stack.push_async_callback(cancelled, asyncio.create_task(_stop_at_end_of_stdin(stop)))
        return await supervisor.run(stop)


async def _work(kafka: Kafka, settings: Settings, name: str, as_json: bool, with_parent: bool) -> None:
    stop = asyncio.Event()
    report = ReportedSecond(name)
    async with AsyncExitStack() as stack:
        stack.enter_context(stop_on_signals(stop))
        if with_parent:
            stack.push_async_callback(cancelled, asyncio.create_task(_stop_at_end_of_stdin(stop)))
        if as_json:
            stack.callback(_print_report, report)
            stack.push_async_callback(cancelled, asyncio.create_task(_report_every_second(report)))
        await kafka.run(settings, report, stop)


async def _report_every_second(report: ReportedSecond) -> None:
    while True:
        await asyncio.sleep(REPORT_INTERVAL_S)
        _print_report(report)


def _print_report(report: ReportedSecond) -> None:
    # One write per line: several workers share the supervisor's stdout.
    with suppress(BrokenPipeError):
        os.write(sys.stdout.fileno(), msgspec.json.encode(report.take()) + b"\n")


async def _stop_at_end_of_stdin(stop: asyncio.Event) -> None:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin.buffer)
    while await reader.read(4096):
        pass
    stop.set()
