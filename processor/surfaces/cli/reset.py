"""``creative-feedback reset``: let partitions go on at another input offset."""

from __future__ import annotations

import sys
from datetime import datetime
from typing import Annotated, cast

import typer

from processor.config import Settings
from processor.errors import ConfigError
from processor.surfaces.cli.event_loop import run_async
from processor.surfaces.cli.options import Config, Json, Overrides, Partitions, gather_settings, partitions_of
from processor.surfaces.ports import Kafka
from processor.surfaces.reset import ResetReport, Target, plan_reset


def reset(
    ctx: typer.Context,
    *,
    partition: Partitions = None,
    to: Annotated[
        int | None,
        typer.Option("--to", min=0, metavar="OFFSET", help="To this input offset.", show_default=False),
    ] = None,
    to_time: Annotated[
        str | None,
        typer.Option(
            "--to-time",
            metavar="ISO8601",
            help="To the first record that Kafka got at this time or later, e.g. 2026-01-31T12:00:00Z.",
            show_default=False,
        ),
    ] = None,
    to_earliest: Annotated[bool, typer.Option("--to-earliest", help="To the first record that is there.")] = False,
    to_latest: Annotated[bool, typer.Option("--to-latest", help="Behind the last record that is there.")] = False,
    again: Annotated[
        bool, typer.Option("--again", help="Allow to go back, and to write actions a second time.")
    ] = False,
    execute: Annotated[bool, typer.Option("--execute", help="Do it; without this it is only shown.")] = False,
    config: Config = None,
    overrides: Overrides = None,
    as_json: Json = False,
) -> None:
    """Let partitions go on at another input offset: to accept what retention removed, or to leave input out.

    Shows where each partition stands and what would be skipped; with --execute, while no instance runs, does it for
    all of them or for none. The sessions keep their state and simply do not see what is skipped.

    Exits 3 where it is refused: an instance runs, or input would be processed a second time without --again.

    Example: creative-feedback reset --config production.toml --partition 3 --to-earliest
    """
    settings = gather_settings(config, overrides)
    partitions = partitions_of(partition, settings)
    target = _target(to, to_time, to_earliest, to_latest)
    if isinstance(target, int) and partition is None and len(partitions) > 1:
        raise ConfigError(f"--to {to}: an offset means one partition; name it with --partition")
    report = run_async(_reset(cast(Kafka, ctx.obj), settings, partitions, target, again, execute))
    if as_json:
        sys.stdout.write(report.to_json().decode() + "\n")
    else:
        print(report.summary())
    if not again:
        report.refuse_repetition()


async def _reset(
    kafka: Kafka, settings: Settings, partitions: list[int], target: Target, again: bool, execute: bool
) -> ResetReport:
    async with kafka.progress(settings) as admin:
        report = await plan_reset(admin, partitions, target)
        if execute and (again or not any(plan.again for plan in report.partitions)):
            if report.moves:
                await admin.move(report.moves)
            report.executed = True
        return report


def _target(to: int | None, to_time: str | None, to_earliest: bool, to_latest: bool) -> Target:
    given: list[Target] = []
    if to is not None:
        given.append(to)
    if to_time is not None:
        given.append(_time(to_time))
    if to_earliest:
        given.append("earliest")
    if to_latest:
        given.append("latest")
    if len(given) != 1:
        raise ConfigError("say where to go on: one of --to, --to-time, --to-earliest, --to-latest")
    return given[0]


def _time(text: str) -> datetime:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"--to-time {text}: write it like 2026-01-31T12:00:00Z") from None
    if time.tzinfo is None:
        raise ConfigError(f"--to-time {text}: say the zone too, Z for UTC")
    return time
