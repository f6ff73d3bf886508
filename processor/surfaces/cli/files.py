"""Files named on the command line; ``-`` is the standard stream."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO, Final

from processor.errors import ConfigError

STANDARD_STREAM: Final = "-"


def source(name: str, stack: ExitStack) -> BinaryIO:
    """The file to read, closed with the stack; raises `ConfigError`."""
    if name == STANDARD_STREAM:
        return sys.stdin.buffer
    try:
        return stack.enter_context(Path(name).open("rb"))
    except OSError as error:
        raise ConfigError(f"{name}: {error.strerror}: name a readable file, or - for stdin") from None


def sink(name: str, stack: ExitStack) -> BinaryIO:
    """The file to write, emptied first, closed with the stack; raises `ConfigError`."""
    if name == STANDARD_STREAM:
        stack.callback(sys.stdout.flush)
        return sys.stdout.buffer
    try:
        return stack.enter_context(Path(name).open("wb"))
    except OSError as error:
        raise ConfigError(f"{name}: {error.strerror}: name a file that can be written") from None
