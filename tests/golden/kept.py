"""Whole applications as a version left them, in files: its input, outputs and changelog, and the settings it had.

``kept.sha256`` lists every file that is kept for ever (``sha256sum --check`` reads it).
"""

from __future__ import annotations

import hashlib
import lzma
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from schemas.progress import BARRIER_KEY, PROGRESS_KEY, RESET_PREFIX
from schemas.state_records import Kind
from tests.oracle import LoggedRecord

GOLDEN = Path(__file__).parent
FOLDER = GOLDEN / "changelogs"
SUFFIX = ".msgpack.xz"
DIGESTS = GOLDEN / "kept.sha256"

Value = TypeVar("Value", bytes, bytes | None)

_NO_STATE = (Kind.ERA.value, PROGRESS_KEY, RESET_PREFIX, BARRIER_KEY)


class Application(Struct, frozen=True):
    """What was committed, per topic (by role: ``state``, ``actions``, …) and partition, with offsets.

    ``settings`` are those that shape the state, by ``section.key``, since 0.2.0 with the application's id.
    ``changelog`` is the role of every state record there ever was, the older ones and tombstones included.
    ``skipped``: per partition the input offsets ``[from, to)`` that an operator's reset left out.  Transaction markers
    are not kept: a restore goes by what is committed.
    """

    settings: dict[str, Any]
    topics: dict[str, dict[int, list[LoggedRecord]]]
    skipped: dict[int, tuple[int, int]]

    @property
    def partitions(self) -> int:
        """How many partitions each topic has."""
        return len(self.topics["state"])

    def consumed(self, partition: int, records: Iterable[LoggedRecord] | None = None) -> list[LoggedRecord]:
        """The input (or these records of it) without what was skipped."""
        start, end = self.skipped.get(partition, (0, 0))
        given = self.topics["state"][partition] if records is None else records
        return [record for record in given if not start <= record.offset < end]


def state_alone(records: Mapping[bytes, Value]) -> dict[bytes, Value]:
    """Sessions and models, without what says who wrote them and how far."""
    return {key: value for key, value in records.items() if not key.startswith(_NO_STATE)}


def kept_applications() -> list[Path]:
    """Their files, by version and kind."""
    return sorted(FOLDER.glob(f"*/*{SUFFIX}"))


def read_application(file: Path) -> Application:
    """Raises ``msgspec.DecodeError`` or ``lzma.LZMAError`` on other bytes."""
    return msgspec.msgpack.decode(lzma.decompress(file.read_bytes()), type=Application)


def write_application(file: Path, application: Application) -> None:
    """Raises ``FileExistsError`` where the file is kept already: what is kept never changes."""
    with file.open("xb") as target:
        target.write(lzma.compress(msgspec.msgpack.encode(application)))


def kept_files() -> list[Path]:
    """Every file that never changes: what versions wrote, not the code around it."""
    folders = [folder for folder in GOLDEN.iterdir() if folder.name[0].isdigit()]
    files = [file for folder in folders for file in folder.iterdir()]
    return sorted([*files, *kept_applications(), GOLDEN / "state_format_1.json"])


def digests(files: Iterable[Path]) -> list[str]:
    """One line a file, as in ``kept.sha256``."""
    return [f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.relative_to(GOLDEN)}" for file in files]
