"""docker-compose.yml as Compose understands it: variables put in, aliases resolved, services one by one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import yaml  # type: ignore[import-untyped]

import tests

ROOT = Path(tests.__file__).parent.parent
FILE = ROOT / "docker-compose.yml"
OURS = "creative-feedback"

_VARIABLE = re.compile(r"\$(?:(?P<dollar>\$)|\{(?P<name>\w+):-(?P<default>[^{}]*)\}|(?P<other>.?))")


class Mount(msgspec.Struct, frozen=True):
    """A config or a volume, and where it is seen."""

    source: str
    target: str


class Service(msgspec.Struct, frozen=True):
    """One service; ``declared`` is all that the file says of it."""

    name: str
    declared: dict[str, Any]

    @property
    def image(self) -> str:
        return str(self.declared["image"])

    @property
    def is_ours(self) -> bool:
        return self.image.partition(":")[0] == OURS

    @property
    def command(self) -> list[str]:
        return list(self.declared.get("command", []))

    @property
    def environment(self) -> dict[str, str]:
        return dict(self.declared.get("environment", {}))

    @property
    def health_check(self) -> list[str]:
        """The command that says whether it is healthy, without the word CMD; empty where there is none."""
        test = self.declared.get("healthcheck", {}).get("test", ["CMD"])
        assert test[0] == "CMD", f"{self.name}: no shell is needed"
        return list(test[1:])

    @property
    def waits_for(self) -> dict[str, str]:
        """Services that come before it, and what is waited for."""
        return {name: each["condition"] for name, each in self.declared.get("depends_on", {}).items()}

    @property
    def ports(self) -> dict[int, str]:
        """Port in the container, and ``address:port`` where it is published."""
        published = [text.rpartition(":") for text in self.declared.get("ports", [])]
        return {int(inside): outside for outside, _, inside in published}

    @property
    def configs(self) -> list[Mount]:
        return [Mount(each["source"], each["target"]) for each in self.declared.get("configs", [])]

    @property
    def volumes(self) -> list[Mount]:
        return [Mount(*text.split(":")) for text in self.declared.get("volumes", [])]

    @property
    def profiles(self) -> list[str]:
        """What must be asked for before it is started; nothing: it always is."""
        return list(self.declared.get("profiles", []))


class Composition(msgspec.Struct, frozen=True):
    """The whole file."""

    declared: dict[str, Any]

    @property
    def services(self) -> dict[str, Service]:
        return {name: Service(name, declared) for name, declared in self.declared["services"].items()}

    def config(self, name: str) -> str:
        """The content of a config."""
        declared = self.declared["configs"][name]
        return str(declared["content"]) if "content" in declared else (ROOT / declared["file"]).read_text()


@cache
def text() -> str:
    """The file as it stands there."""
    return FILE.read_text()


@cache
def _read() -> Any:
    return yaml.safe_load(text())


def compose(variables: Mapping[str, str] | None = None) -> Composition:
    """The composition where these variables are set."""
    return Composition(_put_in(_read(), variables or {}))


def variables() -> dict[str, str]:
    """Every variable that the file uses, with its default."""
    without_comments = re.sub(r"(?m)^\s*#.*$", "", text())
    found: dict[str, str] = {}
    for match in _VARIABLE.finditer(without_comments):
        if match["name"]:
            assert found.setdefault(match["name"], match["default"]) == match["default"], match["name"]
    return found


def _put_in(value: Any, variables: Mapping[str, str]) -> Any:
    """Compose does this in values, not in keys, after the YAML is read."""
    if isinstance(value, dict):
        return {key: _put_in(each, variables) for key, each in value.items()}
    if isinstance(value, list):
        return [_put_in(each, variables) for each in value]
    return _VARIABLE.sub(lambda match: _replaced(match, variables), value) if isinstance(value, str) else value


def _replaced(match: re.Match[str], variables: Mapping[str, str]) -> str:
    assert match["other"] is None, f"{match[0]!r}: write $$, or a variable as ${{NAME:-default}}"
    return "$" if match["dollar"] else variables.get(match["name"]) or match["default"]
