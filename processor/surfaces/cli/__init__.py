"""The command line ``creative-feedback``.

Commands get Kafka as the typer context's object (`processor.surfaces.ports.Kafka`), bound by ``app``.
Errors leave a command as exceptions; `main` turns them into one line on stderr and an exit code.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import Annotated

import typer

from processor.config import settings_text
from processor.surfaces.cli.audit import audit
from processor.surfaces.cli.broker import broker_app
from processor.surfaces.cli.demo import demo
from processor.surfaces.cli.exits import DEBUG_VARIABLE, EXIT_CODES, ExitCode, debugging, report
from processor.surfaces.cli.leave import leave
from processor.surfaces.cli.rebuild import rebuild
from processor.surfaces.cli.replay import replay
from processor.surfaces.cli.reset import reset
from processor.surfaces.cli.run import run
from processor.surfaces.cli.simulate import simulate
from processor.surfaces.cli.topics import topics_app
from processor.surfaces.ports import Kafka

DISTRIBUTION = "creative-feedback"

cli = typer.Typer(
    name=DISTRIBUTION,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",  # paragraphs of the docstrings fill the width
    add_completion=False,
    context_settings={"help_option_names": ["--help", "-h"]},
    epilog=EXIT_CODES,
)


def _show_version(asked: bool) -> None:
    if asked:
        print(f"{DISTRIBUTION} {version(DISTRIBUTION)}")
        raise typer.Exit


@cli.callback()
def creative_feedback(
    show_version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and exit."),
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help=f"Show tracebacks, as {DEBUG_VARIABLE}=1 does.")] = False,
) -> None:
    """Creative Feedback Loop of TORI sessions: an exactly-once stream processor on Apache Kafka.

    Settings come from flags (--set), the environment (CREATIVE_FEEDBACK__SECTION__KEY), a TOML file
    (--config) and defaults, in this order. creative-feedback settings lists them all.
    """
    if debug:
        os.environ[DEBUG_VARIABLE] = "1"
    # What the client warns of (a topic not known yet, a rebalance) is the engine's to judge and to tell.
    logging.getLogger("aiokafka").setLevel(logging.INFO if debugging() else logging.CRITICAL)


def settings() -> None:
    """List every setting with its default, its range and its meaning."""
    print(settings_text())


for _command in (demo, run, simulate, replay, audit, reset, rebuild, leave, settings):
    cli.command()(_command)
cli.add_typer(topics_app)
cli.add_typer(broker_app)


def main(kafka: Kafka, arguments: Sequence[str] | None = None) -> int:
    """Run one command line and return the exit code."""
    # Profiles and selectors of the user's own are found in the current folder by every command, as they are by
    # the workers, which `python -m` starts; last, so that nothing lying there takes a module's place.
    if "" not in sys.path:
        sys.path.append("")
    try:
        code = cli(args=arguments, prog_name=DISTRIBUTION, standalone_mode=False, obj=kafka)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read our stdout has gone: nothing to say, and nobody to say it to. The interpreter
        # flushes once more at exit, therefore stdout goes nowhere from here on.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except (Exception, KeyboardInterrupt) as error:
        if debugging():
            raise
        return report(error)
    return code if isinstance(code, int) else ExitCode.OK
