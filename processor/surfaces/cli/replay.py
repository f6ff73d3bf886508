"""``creative-feedback replay``: what a stream of events gives, without a broker."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from processor.errors import ConfigError
from processor.surfaces.cli.files import STANDARD_STREAM, sink, source
from processor.surfaces.cli.options import Config, Json, Overrides, gather_settings
from processor.surfaces.folds import partition_fold
from processor.surfaces.replay import Summary
from processor.surfaces.replay import replay as replay_lines


def replay(
    *,
    events: Annotated[str, typer.Argument(metavar="EVENTS", help="JSON lines; - is stdin.", show_default=False)],
    actions: Annotated[
        str | None, typer.Option("--actions", metavar="FILE", help="Where the actions go; - is stdout.")
    ] = None,
    metrics: Annotated[
        str | None, typer.Option("--metrics", metavar="FILE", help="Where the metrics go; - is stdout.")
    ] = None,
    dead_letters: Annotated[
        str | None,
        typer.Option(
            "--dead-letters",
            metavar="FILE",
            help="Where the refused records go, as {code, message, offset, value}; value_base64 instead of "
            "value where the bytes are no UTF-8. - is stdout.",
        ),
    ] = None,
    pretrain: Annotated[
        Path | None,
        typer.Option("--pretrain", metavar="FILE", help="History for the quality model, as quality.pretrain_file."),
    ] = None,
    config: Config = None,
    overrides: Overrides = None,
    as_json: Json = False,
) -> None:
    """Fold a file of events as one partition: pure, no broker, the same bytes every time.

    Line N, counted from 0, is the record at offset N: without key and without timestamp, so an event that
    carries no timestamp gives records without one. An empty line is an empty record and becomes a dead
    letter. Outputs are JSON lines; one that is not asked for is discarded. A summary goes to stderr, with
    --json to stdout.

    Example: creative-feedback replay events.jsonl --actions actions.jsonl --config settings.toml
    """
    settings = gather_settings(
        config, overrides, {"quality.pretrain_file": str(pretrain)} if pretrain is not None else None
    )
    sinks = (actions, metrics, dead_letters)
    _refuse_collisions(events, sinks, as_json)
    fold = partition_fold(settings, 0)
    with ExitStack() as stack:
        lines = source(events, stack)
        summary = replay_lines(fold, lines, *(sink(name, stack) if name is not None else None for name in sinks))
    if as_json:
        sys.stdout.buffer.write(msgspec.json.encode(summary) + b"\n")
        sys.stdout.flush()
    else:
        print(told(summary), file=sys.stderr)


def told(summary: Summary) -> str:
    """The summary for a person, on a few lines."""
    lines = [
        f"{summary.events:,} events in {summary.seconds:.2f} s ({summary.events_per_s:,.0f}/s): "
        f"{summary.actions:,} actions, {summary.metrics:,} metrics, {summary.duplicates:,} duplicates, "
        f"{sum(summary.dead_letters.values()):,} dead letters",
    ]
    if summary.dead_letters:
        lines.append("dead letters: " + _counts(summary.dead_letters))
    if summary.explorations:
        lines.append(f"explorations: {_counts(summary.explorations)}; cumulative gain {summary.cumulative_gain:+.3f}")
    return "\n".join(lines)


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items())


def _refuse_collisions(events: str, sinks: tuple[str | None, ...], as_json: bool) -> None:
    """An output must not overwrite the input or another output; checked before anything is opened."""
    given = [name for name in sinks if name is not None]
    if as_json and STANDARD_STREAM in given:
        raise ConfigError("--json and an output both go to stdout: give the output a file")
    taken = set() if events == STANDARD_STREAM else {Path(events).resolve()}
    for name in given:
        if name == STANDARD_STREAM:
            if given.count(STANDARD_STREAM) > 1:
                raise ConfigError("two outputs go to stdout: give all but one a file")
            continue
        path = Path(name).resolve()
        # Devices such as /dev/null may be named as often as one likes.
        if path in taken and (path.is_file() or not path.exists()):
            raise ConfigError(f"{name} is named twice: every output needs a file of its own")
        taken.add(path)
