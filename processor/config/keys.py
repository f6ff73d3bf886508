"""The keys as data: what the loader checks and the reference shows, read from the annotations."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping
from functools import cache
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta, Struct

from processor.config.settings import Settings

ENVIRONMENT_PREFIX = "CREATIVE_FEEDBACK__"


_SCALARS = {str: "text", bool: "true or false", int: "a whole number", float: "a finite number"}


class Key(Struct, frozen=True):
    """One setting. `name` is ``section.key``; `default` is the value as the loader produces it."""

    name: str
    annotation: Any
    default: Any
    expected: str  # what a value must be, in words
    meaning: str

    @property
    def environment(self) -> str:
        """The environment variable that sets it."""
        return ENVIRONMENT_PREFIX + self.name.replace(".", "__").upper()

    @property
    def takes_text(self) -> bool:
        """Whether a bare string (environment, flag) is the value itself and not JSON."""
        return _takes_text(self.annotation)

    @property
    def optional(self) -> bool:
        """Whether it may be absent: the default is none."""
        return self.default is None

    @property
    def default_text(self) -> str:
        """The default as TOML or JSON would write it; ``none`` where there is none."""
        return "none" if self.default is None else json.dumps(msgspec.to_builtins(self.default))


@cache
def all_keys() -> Mapping[str, Key]:
    """Every key by name, in the order of the sections."""
    keys = {}
    defaults = Settings()
    for section in Settings.__struct_fields__:
        struct = getattr(defaults, section)
        for name, annotation in get_type_hints(type(struct), include_extras=True).items():
            inner, metas = _unwrap(annotation)
            key = Key(
                name=f"{section}.{name}",
                annotation=annotation,
                default=getattr(struct, name),
                expected=_expected(inner, metas),
                meaning=next((meta.description for meta in metas if meta.description), ""),
            )
            keys[key.name] = key
    return keys


def value_of(settings: Settings, name: str) -> Any:
    """The value of ``section.key``."""
    section, _, field = name.partition(".")
    return getattr(getattr(settings, section), field)


def one_line(name: str) -> str:
    """A name somebody chose, fit for a one-line message."""
    text = name if name.isprintable() else repr(name)
    return text if len(text) <= 80 else text[:77] + "…"


def nearest(name: str, valid: Iterable[str]) -> str:
    """A hint that names the most similar valid name, or the empty string."""
    found = difflib.get_close_matches(name, list(valid), n=1, cutoff=0.5)
    return f"; did you mean {found[0]}?" if found else ""


def _unwrap(annotation: Any) -> tuple[Any, list[Meta]]:
    metas: list[Meta] = []
    while hasattr(annotation, "__metadata__"):
        metas += [meta for meta in annotation.__metadata__ if isinstance(meta, Meta)]
        annotation = annotation.__origin__
    return annotation, metas


def _takes_text(annotation: Any) -> bool:
    inner, _ = _unwrap(annotation)
    if get_origin(inner) in (Union, UnionType):
        return any(_takes_text(member) for member in get_args(inner))
    return inner is str or get_origin(inner) is Literal


def _expected(inner: Any, metas: list[Meta]) -> str:
    for meta in metas:
        if meta.extra:
            return str(meta.extra["expected"])
    origin = get_origin(inner)
    if origin in (Union, UnionType):
        members = [_unwrap(member) for member in get_args(inner) if member is not type(None)]
        return " or ".join([*(_expected(*member) for member in members), "none"])
    if origin is Literal:
        return " or ".join(json.dumps(choice) for choice in get_args(inner))
    if origin is tuple:
        return f"a list of {len(get_args(inner))} finite numbers"
    return _SCALARS[inner] + _range(metas)


def _range(metas: list[Meta]) -> str:
    low = next((f"≥ {meta.ge:g}" for meta in metas if meta.ge is not None), "")
    low = next((f"> {meta.gt:g}" for meta in metas if meta.gt is not None), low)
    high = next((f"≤ {meta.le:,}".replace(",", " ") for meta in metas if meta.le is not None), "")
    bounds = " and ".join(bound for bound in (low, high) if bound)
    return f" {bounds}" if bounds else ""
