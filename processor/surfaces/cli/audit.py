"""``creative-feedback audit``: is what is committed what the input gives?"""

from __future__ import annotations

import sys
from typing import Annotated, cast

import typer

from processor.config import Settings
from processor.errors import ConfigError, Refused
from processor.surfaces.audit import CANNOT, DIFFERENT, AuditReport, Span, Told, audit_partition
from processor.surfaces.cli.event_loop import run_async
from processor.surfaces.cli.exits import Difference
from processor.surfaces.cli.options import Config, Json, Overrides, Partitions, gather_settings, partitions_of
from processor.surfaces.cli.partition_bars import partition_bars
from processor.surfaces.ports import Kafka


def audit(
    ctx: typer.Context,
    *,
    partition: Partitions = None,
    start: Annotated[
        int, typer.Option("--from", min=0, metavar="OFFSET", help="Compare from this input offset on.")
    ] = 0,
    end: Annotated[
        int | None,
        typer.Option(
            "--to",
            min=0,
            metavar="OFFSET",
            help="Compare up to this input offset, without it. By default up to what each partition has committed "
            "when it is looked at, and then state and progress too.",
            show_default=False,
        ),
    ] = None,
    config: Config = None,
    overrides: Overrides = None,
    as_json: Json = False,
) -> None:
    """Derive committed output again from the committed input, and say equal, or where it is different.

    Actions, metrics and dead letters are compared in key, value and headers, the changelog in every record. The
    settings of the time are read from the changelog; the given ones say where the topics are, and stand in (which is
    said) for what an early version did not record. Processors may go on meanwhile; nothing is written.

    Exits 0 where all is equal, 1 at a difference, 3 where something cannot be audited.

    Example: creative-feedback audit --config production.toml --partition 3 --from 120000
    """
    settings = gather_settings(config, overrides)
    partitions = partitions_of(partition, settings)
    if end is not None and end <= start:
        raise ConfigError(f"--to {end}: must be greater than --from {start}")
    with partition_bars() as told:
        report = run_async(_audited(cast(Kafka, ctx.obj), settings, partitions, Span(start, end), told))
    if as_json:
        sys.stdout.buffer.write(report.to_json() + b"\n")
        sys.stdout.flush()
    else:
        print(report.summary())
    if report.verdict == DIFFERENT:
        raise Difference(report.worst())
    if report.verdict == CANNOT:
        raise Refused(report.worst())


async def _audited(kafka: Kafka, settings: Settings, partitions: list[int], span: Span, told: Told) -> AuditReport:
    async with kafka.logs(settings) as logs:
        return AuditReport([await audit_partition(logs, settings, number, span, told) for number in partitions])
