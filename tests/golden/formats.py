"""What each format of the changelog says, in words that a later format can be compared with.

``formats.json`` holds them by family (the fold's records, the engine's own) and number; what is there never changes.
"""

from __future__ import annotations

import json
from pathlib import Path

from msgspec import Struct

from processor.loop.changelog import MODES
from processor.loop.experiment import GROUPS
from schemas import progress, state_records

FILE = Path(__file__).parent / "formats.json"

Format = dict[str, list[str]]  # by record type its fields, and by list what its positions mean

FAMILIES: dict[str, tuple[int, tuple[type[Struct], ...]]] = {
    "state": (
        state_records.FORMAT,
        (
            state_records.SessionRecord,
            state_records.ExplorationRecord,
            state_records.LedgerRecord,
            state_records.ModelRecord,
            state_records.BlockRecord,
            state_records.EraRecord,
            state_records.Marks,
        ),
    ),
    "progress": (progress.FORMAT, (progress.Progress, progress.Reset)),
}


def format_of_today(family: str) -> Format:
    """What a family's records say now: ``name: type``, and ``= default`` where a field has one."""
    told = {record.__name__: _fields(record) for record in FAMILIES[family][1]}
    if family == "state":
        told["kinds"] = [kind.value.decode() for kind in state_records.Kind]
        told["modes"] = list(MODES)
        told["groups"] = list(GROUPS)
    else:
        told["keys"] = [repr(key) for key in (progress.PROGRESS_KEY, progress.BARRIER_KEY, progress.RESET_PREFIX)]
    return told


def kept_formats() -> dict[str, dict[str, Format]]:
    """By family and number."""
    kept: dict[str, dict[str, Format]] = json.loads(FILE.read_text())
    return kept


def keep_format() -> None:
    """Add today's to the file. Raises ``ValueError`` where a kept format would say something else."""
    kept = kept_formats()
    for family, (number, _) in FAMILIES.items():
        today = format_of_today(family)
        if kept[family].setdefault(str(number), today) != today:
            raise ValueError(f"format {number} of {family} says something else now: raise its FORMAT")
    FILE.write_text(json.dumps(kept, indent=1) + "\n")


def _fields(record: type[Struct]) -> list[str]:
    required = len(record.__struct_fields__) - len(record.__struct_defaults__)
    told = [f"{name}: {record.__annotations__[name]}" for name in record.__struct_fields__]
    defaults = [f" = {_shown(default)}" for default in record.__struct_defaults__]
    return told[:required] + [field + default for field, default in zip(told[required:], defaults, strict=True)]


def _shown(default: object) -> str:
    factory = getattr(default, "factory", None)
    return repr(default if factory is None else factory())
