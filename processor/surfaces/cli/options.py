"""Options that several commands share, and the settings they lead to."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from processor.config import Settings, load_settings
from processor.errors import ConfigError

Config = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="Settings from a TOML file.", show_default=False),
]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="SECTION.KEY=VALUE",
        help="Override one setting, e.g. --set loop.recovery_steps=20; may be repeated. Wins over the "
        "environment (CREATIVE_FEEDBACK__LOOP__RECOVERY_STEPS), which wins over the file. "
        "Lists and tables are written as JSON.",
        show_default=False,
    ),
]
Partitions = Annotated[
    list[int] | None,
    typer.Option("--partition", min=0, help="Only this partition; may be repeated.", show_default=False),
]
Json = Annotated[bool, typer.Option("--json", help="Machine-readable output on stdout.")]
Seed = Annotated[int, typer.Option("--seed", help="Seed of everything random.")]


def flags_of(overrides: Sequence[str] | None) -> dict[str, str]:
    """``SECTION.KEY=VALUE`` texts as a mapping; raises `ConfigError` for one of another form."""
    flags: dict[str, str] = {}
    for override in overrides or ():
        key, equals, value = override.partition("=")
        if not equals or key.count(".") < 1 or not all(key.split(".")):
            raise ConfigError(f"--set {override}: write it as SECTION.KEY=VALUE")
        flags[key.strip()] = value.strip()
    return flags


def gather_settings(
    config: Path | None, overrides: Sequence[str] | None, more: Mapping[str, Any] | None = None
) -> Settings:
    """The settings of a command: its own flags (``more``), ``--set``, environment, file, in this order."""
    return load_settings(config, os.environ, {**flags_of(overrides), **(more or {})})


def partitions_of(asked: Sequence[int] | None, settings: Settings) -> list[int]:
    """The partitions asked for in their order, all of them without any; raises `ConfigError` for one too many."""
    count = settings.topics.partitions
    for number in asked or ():
        if number >= count:
            raise ConfigError(f"--partition {number}: topics.partitions is {count}, so the last one is {count - 1}")
    return sorted(set(asked)) if asked else list(range(count))
