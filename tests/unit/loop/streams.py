"""Streams for the loop's tests: records, a collecting outbox, a folded changelog, the vectors."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from processor.config import Settings, settings_from
from processor.loop.partition import PartitionFold
from schemas.state_records import Kind

VECTORS = Path(__file__).parents[2] / "vectors"
VECTOR_NAMES = ("default", "short", "learn", "fixed", "edges")
TOPIC = "tori.state"
DAY_MS = 24 * 60 * 60 * 1000


@dataclass
class Record:
    """One input record."""

    value: bytes | None
    offset: int = 0
    timestamp: int | None = -1
    key: bytes | None = None
    headers: Sequence[tuple[str, bytes]] = ()


@dataclass(frozen=True)
class Produced:
    """One output record."""

    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]

    def json(self) -> dict[str, Any]:
        assert self.value is not None
        decoded: dict[str, Any] = json.loads(self.value)
        return decoded

    def header(self, name: str) -> bytes | None:
        return dict(self.headers).get(name)


@dataclass
class Collected:
    """An outbox that keeps everything."""

    actions: list[Produced] = field(default_factory=list)
    metrics: list[Produced] = field(default_factory=list)
    dead_letters: list[Produced] = field(default_factory=list)

    def action(self, key: bytes | None, value: bytes, headers: Sequence[tuple[str, bytes]]) -> None:
        self.actions.append(Produced(key, value, tuple(headers)))

    def metric(self, key: bytes | None, value: bytes, headers: Sequence[tuple[str, bytes]]) -> None:
        self.metrics.append(Produced(key, value, tuple(headers)))

    def dead_letter(self, key: bytes | None, value: bytes | None, headers: Sequence[tuple[str, bytes]]) -> None:
        self.dead_letters.append(Produced(key, value, tuple(headers)))


@dataclass
class Run:
    """What a stream came to: outputs, folded changelog, marks, counters, and the fold itself."""

    out: Collected
    changelog: dict[bytes, bytes]
    marks: bytes
    tally: dict[str, float]
    fold: PartitionFold


def run(
    settings: Settings,
    records: Sequence[Record],
    cuts: Iterable[int] = (),
    *,
    restart_at_cuts: bool = False,
) -> Run:
    """Fold `records` in batches that end at `cuts` (and at the end), restoring at each cut if asked to."""
    out = Collected()
    fold = PartitionFold(settings, TOPIC, 3)
    changelog: dict[bytes, bytes] = {}
    tally: dict[str, float] = {}
    start = 0
    for end in [*sorted(set(cuts)), len(records)]:
        fold.process(records[start:end], out)
        start = end
        apply_changes(changelog, fold.changes())
        for name, amount in fold.tally().items():
            tally[name] = tally.get(name, 0) + amount
        if restart_at_cuts:
            fold = restored(settings, changelog, fold.marks())
    return Run(out, changelog, fold.marks(), tally, fold)


def without_eras(changelog: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
    """The state alone, which does not depend on where and under which settings it began."""
    return {key: value for key, value in changelog.items() if key[:1] != Kind.ERA.value}


def apply_changes(changelog: dict[bytes, bytes], changes: Iterable[tuple[bytes, bytes | None]]) -> None:
    """Fold one transaction's changes into `changelog`, as compaction would."""
    seen = set()
    for key, value in changes:
        assert key not in seen, "at most one change per key"
        seen.add(key)
        if value is None:
            changelog.pop(key, None)
        else:
            changelog[key] = value


def restored(settings: Settings, changelog: Mapping[bytes, bytes], marks: bytes) -> PartitionFold:
    """A new fold with the state of `changelog`."""
    fold = PartitionFold(settings, TOPIC, 3)
    for key, value in changelog.items():
        fold.restore(key, value)
    fold.restored(marks)
    return fold


def state_records(states: Iterable[tuple[str, Any]], **envelope: Any) -> list[Record]:
    """One JSON record per (session id, state)."""
    return [
        Record(json.dumps({"session_id": session, "state": state, **envelope}).encode(), offset)
        for offset, (session, state) in enumerate(states)
    ]


def vector_settings(name: str) -> Settings:
    sections = tomllib.loads((VECTORS / f"{name}.config.toml").read_text())
    if name == "edges":
        sections["quality"]["pretrain_file"] = str(VECTORS / "edges.pretrain.json")
    return settings_from(sections)


def vector_records(name: str) -> list[Record]:
    lines = (VECTORS / f"{name}.events.jsonl").read_bytes().splitlines()
    return [Record(line, offset) for offset, line in enumerate(lines)]


def vector_lines(name: str, kind: str) -> Iterator[dict[str, Any]]:
    for line in (VECTORS / f"{name}.{kind}.jsonl").read_text().splitlines():
        yield json.loads(line)


def assert_same(found: Any, expected: Any, place: str) -> None:
    """Equal, with floats to 1e-9 and the same keys everywhere."""
    if isinstance(expected, dict):
        assert isinstance(found, dict), place
        assert found.keys() == expected.keys(), f"{place}: {sorted(found.keys() ^ expected.keys())}"
        for key, value in expected.items():
            assert_same(found[key], value, f"{place}.{key}")
    elif isinstance(expected, list):
        assert isinstance(found, list), place
        assert len(found) == len(expected), place
        for number, value in enumerate(expected):
            assert_same(found[number], value, f"{place}[{number}]")
    elif isinstance(expected, float):
        assert isinstance(found, int | float), place
        assert abs(found - expected) <= 1e-9, f"{place}: {found} is not {expected}"
    else:
        assert found == expected, f"{place}: {found!r} is not {expected!r}"
        assert type(found) is type(expected), place
