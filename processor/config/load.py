"""From TOML, environment and flags to one checked tree of settings.

Precedence: flags, then environment, then the TOML file, then the default. A key's whole value is replaced:
tables of several sources are not merged.
"""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from processor.config.consistency import check_consistency, complete
from processor.config.keys import ENVIRONMENT_PREFIX, Key, all_keys, nearest, one_line, value_of
from processor.config.settings import Settings
from processor.errors import ConfigError


class Given(Struct, frozen=True):
    """A value and who gave it (for messages: a file, an environment variable, a flag)."""

    value: Any
    source: str


def load_settings(
    path: Path | None = None, environ: Mapping[str, str] | None = None, flags: Mapping[str, Any] | None = None
) -> Settings:
    """The settings of one process.

    `environ`: all of the environment; names that begin with ``CREATIVE_FEEDBACK__`` are settings, their
    values JSON or bare text. `flags`: values by ``section.key``; text is read like the environment's, None
    means the flag was not given. Raises `ConfigError`: one line that names the key, its source and what it must be.
    """
    given: dict[str, Given] = {}
    if path is not None:
        given.update(_from_toml(path))
    given.update(_from_environment(environ or {}))
    given.update(_from_flags(flags or {}))
    return _assemble(given)


def settings_from(sections: Mapping[str, Mapping[str, Any]]) -> Settings:
    """Settings from values by section and key, checked like a file's. Raises `ConfigError`."""
    return _assemble(_from_sections(sections, "settings"))


def check_settings(settings: Settings) -> Settings:
    """Settings made in code, checked and normalized like a file's. Raises `ConfigError`."""
    given = {}
    for name, key in all_keys().items():
        value = value_of(settings, name)
        if value != key.default:
            given[name] = Given(msgspec.to_builtins(value), "settings")
    return _assemble(given)


def _from_toml(path: Path) -> dict[str, Given]:
    try:
        tree = tomllib.loads(path.read_bytes().decode())
    except OSError as error:
        raise ConfigError(f"configuration file {path}: {error.strerror}; check the path") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"configuration file {path}: not UTF-8 (byte {error.start}); save it as UTF-8") from None
    except (ValueError, RecursionError) as error:  # TOMLDecodeError, and whole numbers of thousands of digits
        raise ConfigError(f"configuration file {path}: not valid TOML: {error}") from None
    return _from_sections(tree, str(path))


def _from_sections(tree: Mapping[str, Any], source: str) -> dict[str, Given]:
    given = {}
    for section, table in tree.items():
        if section not in Settings.__struct_fields__:
            raise ConfigError(
                f"{one_line(section)} ({source}): no such section{nearest(section, Settings.__struct_fields__)}"
            )
        if not isinstance(table, Mapping):
            raise ConfigError(f"{section} ({source}): expected a table [{section}]")
        for name, value in table.items():
            _known(f"{section}.{name}", source)
            given[f"{section}.{name}"] = Given(value, source)
    return given


def _from_environment(environ: Mapping[str, str]) -> dict[str, Given]:
    names = {key.environment: key for key in all_keys().values()}
    given = {}
    for variable in sorted(environ):
        if variable.startswith(ENVIRONMENT_PREFIX):
            key = names.get(variable)
            if key is None:
                raise ConfigError(f"{one_line(variable)} (environment): no such setting{nearest(variable, names)}")
            source = f"environment variable {variable}"
            given[key.name] = Given(_parsed(key, environ[variable], source), source)
    return given


def _from_flags(flags: Mapping[str, Any]) -> dict[str, Given]:
    given = {}
    for name, value in flags.items():
        key = _known(name, "flag")
        if value is not None:
            parsed = _parsed(key, value, "flag") if isinstance(value, str) else value
            given[name] = Given(parsed, "flag")
    return given


def _known(name: str, source: str) -> Key:
    key = all_keys().get(name)
    if key is None:
        raise ConfigError(f"{one_line(name)} ({source}): no such setting{nearest(name, all_keys())}")
    return key


def _parsed(key: Key, text: str, source: str) -> Any:
    """Text of the environment or a flag as a value: JSON, or bare where the key takes text."""
    if key.takes_text and not text.startswith('"'):
        return None if text == "null" and key.optional else text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise ConfigError(f"{key.name} = {_shown(text)} ({source}): expected {key.expected}, written as JSON") from None


def _assemble(given: Mapping[str, Given]) -> Settings:
    sections: dict[str, dict[str, Any]] = {}
    for name, one in given.items():
        section, _, field = name.partition(".")
        sections.setdefault(section, {})[field] = _checked(all_keys()[name], one)
    complete(sections)
    settings = msgspec.convert(sections, Settings)
    check_consistency(settings)
    return settings


def _checked(key: Key, one: Given) -> Any:
    value = one.value
    if key.name == "engine.session_ttl" and type(value) is int:
        value = str(value)
    try:
        value = msgspec.convert(value, key.annotation)
    except (msgspec.ValidationError, OverflowError):
        value = math.nan
    if not _finite(value):
        raise ConfigError(f"{key.name} = {_shown(one.value)} ({one.source}): expected {key.expected}")
    return value


def _finite(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, dict):
        return all(_finite(item) for item in value.values())
    if isinstance(value, tuple):
        return all(_finite(item) for item in value)
    return True


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "…"
