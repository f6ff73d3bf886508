"""``creative-feedback rebuild``: make the state of partitions anew from their input."""

from __future__ import annotations

import sys
import time
from typing import Annotated, cast

import typer

from processor.config import Settings
from processor.errors import ConfigError, Refused
from processor.surfaces.audit import Told
from processor.surfaces.cli.event_loop import run_async
from processor.surfaces.cli.exits import Difference
from processor.surfaces.cli.options import Config, Json, Overrides, Partitions, gather_settings, partitions_of
from processor.surfaces.cli.partition_bars import partition_bars
from processor.surfaces.folds import partition_fold
from processor.surfaces.ports import ChangelogAdmin, Kafka, Logs, RebuiltState
from processor.surfaces.rebuild import RebuildReport, RebuiltPartition, Words, rebuild_partition


def rebuild(
    ctx: typer.Context,
    *,
    partition: Partitions = None,
    to: Annotated[
        int | None,
        typer.Option(
            "--to",
            min=0,
            metavar="OFFSET",
            help="The partition was processed up to this input offset, without it. By default the group's committed "
            "offset says so, or the last input that the output answers.",
            show_default=False,
        ),
    ] = None,
    skipped: Annotated[
        list[str] | None,
        typer.Option(
            "--skipped",
            metavar="FIRST..LAST",
            help="Input offsets that a reset skipped, which the lost changelog told; may be repeated, in the order of "
            "time.",
            show_default=False,
        ),
    ] = None,
    accept_incomplete: Annotated[
        bool,
        typer.Option(
            "--accept-incomplete", help="Go on where the input no longer holds the beginning: with what is left of it."
        ),
    ] = False,
    accept_unverified: Annotated[
        bool,
        typer.Option(
            "--accept-unverified", help="Go on where the output differs from what is derived, or where none is left."
        ),
    ] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="Also where there is a progress record: throw away what is there.")
    ] = False,
    execute: Annotated[bool, typer.Option("--execute", help="Do it; without this it is only shown.")] = False,
    config: Config = None,
    overrides: Overrides = None,
    as_json: Json = False,
) -> None:
    """Make a lost changelog anew: derive the state of partitions from their committed input.

    Folds the input as a processor does, up to where each partition was, under the given settings, and holds what that
    gives against the committed output. Writes no action, metric or dead letter; with --execute, while no instance
    runs, writes state and progress of all these partitions or of none, so that processors go on as if nothing had been
    lost. Partitions that have their progress record are left out.

    Exits 1 at a difference, 3 where it is refused: an instance runs, nothing is lost, or the input lost its beginning.

    Example: creative-feedback rebuild --config production.toml --execute
    """
    settings = gather_settings(config, overrides)
    partitions = partitions_of(partition, settings)
    ranges = [_offsets(text) for text in skipped or ()]
    if (to is not None or ranges) and len(partitions) > 1:
        raise ConfigError("--to, --skipped: an offset means one partition; name it with --partition")
    words = Words(accept_incomplete, accept_unverified, replace)
    with partition_bars() as told:
        work = _Work(cast(Kafka, ctx.obj), settings, words, to, ranges, partition is not None, told)
        report = run_async(work.done(partitions, execute))
    if as_json:
        sys.stdout.write(report.to_json().decode() + "\n")
    else:
        print(report.summary(words))
    refused = report.refusal(words)
    if refused is not None:
        message = str(refused.refusal(words))
        raise Difference(message) if refused.differs(words) else Refused(message)


class _Work:
    """What was asked for, and with what."""

    def __init__(
        self,
        kafka: Kafka,
        settings: Settings,
        words: Words,
        to: int | None,
        skipped: list[range],
        named: bool,
        told: Told,
    ) -> None:
        self._kafka = kafka
        self._settings = settings
        self._words = words
        self._to = to
        self._skipped = skipped
        self._named = named
        self._told = told

    async def done(self, partitions: list[int], execute: bool) -> RebuildReport:
        """Derive all, then write all."""
        async with self._kafka.changelogs(self._settings) as admin:
            members = list(await admin.members())
            if execute and members:
                raise Refused(
                    f"group {self._settings.engine.application_id} has members ({members[0]}): stop all instances first"
                )
            report = RebuildReport([], members)
            began = time.monotonic()
            async with self._kafka.logs(self._settings) as logs:
                states = [state for number in partitions if (state := await self._derive(admin, logs, number, report))]
            report.seconds = time.monotonic() - began
            if execute and report.refusal(self._words) is None:
                if states:
                    await admin.write(states)
                report.executed = True
        return report

    async def _derive(
        self, admin: ChangelogAdmin, logs: Logs, number: int, report: RebuildReport
    ) -> RebuiltState | None:
        try:
            standing = await admin.standing(number, partition_fold(self._settings, number).restore)
        except Refused as error:
            report.partitions.append(RebuiltPartition(number, reason=str(error)))
            return None
        rebuilt, state = await rebuild_partition(
            logs,
            self._settings,
            standing,
            self._words,
            named=self._named,
            to=self._to,
            skipped=self._skipped,
            told=self._told,
        )
        report.partitions.append(rebuilt)
        return state


def _offsets(text: str) -> range:
    first, dots, last = text.partition("..")
    if not (dots and first.isdecimal() and last.isdecimal() and int(first) <= int(last)):
        raise ConfigError(f"--skipped {text}: write it like 120000..120499, the last offset included")
    return range(int(first), int(last) + 1)
