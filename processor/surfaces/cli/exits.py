"""How a command ends: one line on stderr and a documented exit code."""

from __future__ import annotations

import os
import sys
from enum import IntEnum
from typing import Final, cast

import typer

from processor.errors import ConfigError, ProcessorError, Refused, Unreachable

DEBUG_VARIABLE: Final = "CREATIVE_FEEDBACK_DEBUG"


class ExitCode(IntEnum):
    """The exit codes of every command."""

    OK = 0
    FAILED = 1
    USAGE = 2
    CLUSTER = 3
    INTERRUPTED = 130


EXIT_CODES: Final = (
    "Exit codes: 0 ok; 1 failed, or a difference was found; 2 wrong usage or configuration; "
    "3 Kafka not reachable, or it or this machine not fit; 130 interrupted before the work was done."
)


class Difference(ProcessorError):
    """What was to be equal, or to be in order, is not: the command did its work and the answer is no."""


# typer raises click's errors, from a copy of its own or from click: either way they derive from this one's
# base.
UsageError: Final = cast(type[typer.BadParameter], typer.BadParameter.__bases__[0])


def exit_code(error: BaseException) -> ExitCode:
    """The code that stands for an error."""
    match error:
        case ConfigError():
            return ExitCode.USAGE
        case Unreachable() | Refused():
            return ExitCode.CLUSTER
        case KeyboardInterrupt() | typer.Abort():
            return ExitCode.INTERRUPTED
        case _ if isinstance(error, UsageError):
            return ExitCode.USAGE
        case _:
            return ExitCode.FAILED


def one_line(error: BaseException) -> str:
    """What went wrong, on one line; an error of ours already names the remedy."""
    match error:
        case KeyboardInterrupt() | typer.Abort():
            return "interrupted"
        case ProcessorError():
            text = str(error)
        case OSError() if error.strerror:
            text = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
        case _ if isinstance(error, UsageError):
            text = f"{error.format_message()} (see --help)"
        case _:
            text = f"internal error: {type(error).__name__}: {error} (--debug shows where)"
    return " ".join(text.split())


def report(error: BaseException) -> ExitCode:
    """Print the one line on stderr, and return the code to exit with."""
    if not (isinstance(error, UsageError) and not error.format_message()):  # the help was shown instead
        print(f"creative-feedback: {one_line(error)}", file=sys.stderr)
    return exit_code(error)


def debugging() -> bool:
    """Whether tracebacks were asked for, by ``--debug`` or by the environment."""
    return os.environ.get(DEBUG_VARIABLE, "") not in ("", "0")
