"""``creative-feedback run``: the processor, in this process or in several supervised ones."""

from __future__ import annotations

import asyncio
import os
import select
import socket
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Annotated, cast

import msgspec
import typer

from processor.config import Settings
from processor.engine.observer import Observer
from processor.engine.ports import Fold
from processor.surfaces.chronicle import Chronicle
from processor.surfaces.cli.event_loop import cancelled, run_async
from processor.surfaces.cli.exits import debugging
from processor.surfaces.cli.options import Config, Json, Overrides, gather_settings
from processor.surfaces.cli.signals import stop_on_signals
from processor.surfaces.folds import partition_fold
from processor.surfaces.logs import begin_logging
from processor.surfaces.observers import Observers
from processor.surfaces.ports import Kafka
from processor.surfaces.report import ReportedSecond
from processor.surfaces.showing import end_frozen, shown_alone, shown_by_supervisor, shown_soon, workers_shown
from processor.surfaces.supervisor import Supervisor, Worker
from processor.surfaces.token_file import read_token
from processor.surfaces.tracing_environment import tracing_from_environment
from processor.surfaces.watch.watch import Watch

REPORT_INTERVAL_S = 1.0
TRACES_S = 2.0  # for the last spans to be sent


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
    beats_to: Annotated[
        Path | None, typer.Option("--beats-to", hidden=True, help="The supervisor's socket, which shows this worker.")
    ] = None,
) -> None:
    """Process state events until SIGINT or SIGTERM, exactly once.

    The first signal commits what is computed, leaves the group and exits 0; a second one exits at once, safely.
    With --workers N this process supervises N processes with the instance ids ID-0 … ID-(N-1): one that
    crashes is restarted after a pause that doubles from 0.5 s to 30 s; one that ends for good (exit 2 or 3) stops all.
    Logs go to stderr, as JSON where it is no terminal. With --json a report of every second goes to stdout, before
    the first ones of several workers one of the supervisor's, which tells the address.

    Traces go where the standard variables say, OTEL_EXPORTER_OTLP_ENDPOINT for one.

    Dashboard, API, /health/live, /health/ready and /metrics are at http://127.0.0.1:8080, or at a free port where that
    one is taken: the log says which. Settings of the section http change that; several workers have one address.

    The topics must exist: see creative-feedback topics apply.
    """
    settings = gather_settings(config, overrides)
    partition_fold(settings, 0)  # names that only the loop can check are refused before anything is started
    name = instance or settings.engine.instance_id or socket.gethostname()
    begin_logging(settings.logs, name, debug=debugging())
    kafka = cast(Kafka, ctx.obj)
    if workers > 1:
        command = _worker_command(ctx, as_json)
        raise typer.Exit(run_async(_supervise(kafka, settings, command, name, workers, as_json, with_parent)))
    settings = msgspec.structs.replace(settings, engine=msgspec.structs.replace(settings.engine, instance_id=name))
    run_async(_work(kafka, settings, as_json, with_parent, beats_to))


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


async def _supervise(
    kafka: Kafka,
    settings: Settings,
    command: Sequence[str],
    name: str,
    workers: int,
    as_json: bool,
    with_parent: bool,
) -> int:
    stop = asyncio.Event()
    names = [f"{name}-{n}" for n in range(workers)]
    async with AsyncExitStack() as stack:
        shown = await stack.enter_async_context(workers_shown(settings, names, kafka))
        if as_json:
            _print_report(ReportedSecond(name, shown.url))  # the address, before any worker can tell it
        options = ("--beats-to", str(shown.socket), "--set", f"http.advertised_url={shown.url}")
        supervisor = Supervisor(
            [Worker(worker, (*command, *options, "--instance", worker)) for worker in names],
            lambda line: print(f"creative-feedback: {line}", file=sys.stderr, flush=True),
            grace_s=settings.engine.shutdown_timeout_ms / 1000 + 2.0,
        )
        stack.enter_context(stop_on_signals(stop, second=supervisor.kill))
        if with_parent:
            stack.push_async_callback(cancelled, asyncio.create_task(_stop_at_end_of_stdin(stop)))
        limit_s = settings.engine.stuck_timeout_ms / 1000
        watching = asyncio.create_task(end_frozen(shown.picture, limit_s, supervisor.kill_one))
        stack.push_async_callback(cancelled, watching)
        return await supervisor.run(stop)


async def _work(kafka: Kafka, settings: Settings, as_json: bool, with_parent: bool, beats_to: Path | None) -> None:
    name = settings.engine.instance_id
    assert name is not None
    stop = asyncio.Event()
    watch = Watch(name)
    chronicle = Chronicle(settings.logs.session_lines_per_s)
    observers: list[Observer] = [watch, chronicle]
    tracing = tracing_from_environment(settings, os.environ)
    if tracing is not None:
        observers.append(tracing)
    async with AsyncExitStack() as stack:
        stack.enter_context(stop_on_signals(stop))
        if with_parent:
            stack.push_async_callback(cancelled, asyncio.create_task(_stop_at_end_of_stdin(stop)))
        stack.push_async_callback(cancelled, asyncio.create_task(watch.turn()))
        stack.push_async_callback(cancelled, asyncio.create_task(_tell_stopping(watch, stop)))
        listening: asyncio.Future[str] | None = None
        if beats_to is not None:
            await stack.enter_async_context(shown_by_supervisor(settings, watch, beats_to))
        elif settings.http.advertised_url is not None:
            # Nobody has to be told the address: partitions need not wait until a web server is imported.
            if settings.http.token_file is not None:
                read_token(Path(settings.http.token_file))  # refused later, it would end a member with partitions
            listening = await stack.enter_async_context(shown_soon(settings, watch, kafka))
            listening.add_done_callback(lambda shown: stop.set() if shown.exception() is not None else None)
        else:
            url = await stack.enter_async_context(shown_alone(settings, watch, kafka))
            settings = advertising(settings, url)
        if as_json:
            report = ReportedSecond(name, settings.http.advertised_url)
            observers.append(report)
            stack.callback(_print_report, report)
            stack.push_async_callback(cancelled, asyncio.create_task(_report_every_second(report)))
        stack.callback(chronicle.close)
        if tracing is not None:
            stack.callback(tracing.shutdown, TRACES_S)

        def fold(partition: int) -> Fold:
            return watch.made(partition, partition_fold(settings, partition, keeps_diary=True))

        try:
            await kafka.run(settings, fold, Observers(observers), stop)
        except BaseException as error:
            watch.ended(str(error) or type(error).__name__)
            raise
        watch.ended(None)
        if listening is not None and listening.done():
            listening.result()  # nobody can look, which is why it has ended


def advertising(settings: Settings, url: str) -> Settings:
    """The settings of a worker whose HTTP address is known."""
    return msgspec.structs.replace(settings, http=msgspec.structs.replace(settings.http, advertised_url=url))


async def _tell_stopping(watch: Watch, stop: asyncio.Event) -> None:
    await stop.wait()
    watch.stopping()


async def _report_every_second(report: ReportedSecond) -> None:
    while True:
        await asyncio.sleep(REPORT_INTERVAL_S)
        _print_report(report)


def _print_report(report: ReportedSecond) -> None:
    ready = select.poll()
    ready.register(sys.stdout.fileno(), select.POLLOUT)
    if not ready.poll(0):
        return  # nobody reads: the next report has this one's figures too, and the event loop is not held up
    # One write per line: several workers share the supervisor's stdout.
    with suppress(BrokenPipeError):
        os.write(sys.stdout.fileno(), msgspec.json.encode(report.take()) + b"\n")


async def _stop_at_end_of_stdin(stop: asyncio.Event) -> None:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin.buffer)
    while await reader.read(4096):
        pass
    stop.set()
