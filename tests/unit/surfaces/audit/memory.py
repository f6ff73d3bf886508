"""Topics of one partition in memory, and a faultless processor that fills them, restarted under other settings."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, NamedTuple

import msgspec

from processor.config import Settings, settings_from
from processor.engine.ports import Header
from processor.engine.task import anchor_hash
from processor.loop.partition import PartitionFold
from processor.surfaces.ports import Bounds
from schemas.progress import (
    BARRIER_KEY,
    FORMAT,
    PROGRESS_KEY,
    Progress,
    Reset,
    decode_progress,
    encode_progress,
    encode_reset,
    reset_key,
)
from tests.faults.load import events

NOW = 1_700_000_000_000
QUICK: dict[str, Any] = {
    "loop": {"max_exploration_steps": 12, "recovery_steps": 3, "stable_patience_steps": 6},
    "quality": {"min_samples": 4, "max_history": 60, "retrain_interval": 2},
    "streaming": {"interval_steps": 5},
    "topics": {"partitions": 1},
}


def quick(**sections: dict[str, Any]) -> Settings:
    """Settings under which a few hundred events reach every mode."""
    merged = {name: {**QUICK.get(name, {}), **sections.get(name, {})} for name in {*QUICK, *sections}}
    return settings_from(merged)


class Record(NamedTuple):
    """A record of any topic."""

    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[Header, ...] = ()
    timestamp: int = NOW


@dataclass
class Log:
    """One partition of a topic; between two records there may be holes, as markers leave them."""

    records: list[Record] = field(default_factory=list)
    first: int = 0
    end: int = 0

    def append(self, key: bytes | None, value: bytes | None, headers: Iterable[Header] = ()) -> None:
        self.records.append(Record(self.end, key, value, tuple(headers)))
        self.end += 1

    def cut(self, first: int) -> None:
        """What retention does."""
        self.first = first
        self.records = [record for record in self.records if record.offset >= first]


class MemoryLogs:
    """`processor.surfaces.ports.Logs` of partition 0, handed out in small pieces."""

    def __init__(self, topics: Iterable[str]) -> None:
        self.of = {topic: Log() for topic in topics}

    async def bounds(self, topic: str, partition: int) -> Bounds:
        assert partition == 0
        log = self.of[topic]
        return Bounds(log.first, log.end, log.end)

    async def records(self, topic: str, partition: int, start: int, end: int) -> AsyncGenerator[Sequence[Record], None]:
        assert partition == 0
        found = [record for record in self.of[topic].records if start <= record.offset < end]
        for index in range(0, len(found), 70):
            yield found[index : index + 70]


class Topics:
    """All five topics, and the processor that works on them."""

    def __init__(self, settings: Settings, *, sessions: int = 5, seed: int = 3) -> None:
        topics = self.topics = settings.topics
        self.application_id = settings.engine.application_id
        names = (topics.state, topics.actions, topics.metrics, topics.dead_letters, topics.changelog)
        self.logs = MemoryLogs(names)
        self.input, self.actions, self.metrics, self.dead_letters, self.changelog = (
            self.logs.of[name] for name in names
        )
        self.position = 0
        self._source = events(seed, sessions)
        first = Progress(FORMAT, "0", topics.partitions, 0, application_id=self.application_id)
        self.changelog.append(PROGRESS_KEY, encode_progress(first))

    def action(self, key: bytes | None, value: bytes, headers: list[Header]) -> None:
        self.actions.append(key, value, headers)

    def metric(self, key: bytes | None, value: bytes, headers: list[Header]) -> None:
        self.metrics.append(key, value, headers)

    def dead_letter(self, key: bytes | None, value: bytes | None, headers: list[Header]) -> None:
        self.dead_letters.append(key, value, headers)

    def write(self, count: int, source: Iterable[tuple[bytes, bytes]] | None = None) -> None:
        """Events into the input topic."""
        for key, value in islice(self._source if source is None else source, count):
            self.input.append(key, value)

    def process(self, settings: Settings, count: int = 10**9, batch: int = 37) -> None:
        """Restore as a started processor does, and work on so many records."""
        fold = PartitionFold(settings, self.topics.state, 0)
        state: dict[bytes, bytes] = {}
        for record in self.changelog.records:
            assert record.key is not None
            if record.value is None:
                state.pop(record.key, None)
            elif record.key[:1] != b"\x00":  # the engine's own
                state[record.key] = record.value
        progress = self.progress()
        for key, value in state.items():
            fold.restore(key, value)
        fold.restored(progress.marks)
        self.changelog.append(BARRIER_KEY, b"")
        todo = [record for record in self.input.records if record.offset >= progress.next_offset][:count]
        while todo:
            taken, todo = todo[:batch], todo[batch:]
            fold.process(taken, self)
            for key, change in fold.changes():
                self.changelog.append(key, change)
            self.position = taken[-1].offset + 1
            last = taken[-1]
            anchor = last.offset, anchor_hash(last)
            reached = Progress(
                FORMAT, "1", self.topics.partitions, self.position, *anchor, fold.marks(), self.application_id
            )
            self.changelog.append(PROGRESS_KEY, encode_progress(reached))
            for log in self.logs.of.values():
                if log is not self.input:
                    log.end += 1  # the marker

    def reset(self, target: int) -> None:
        """What the command of this name commits."""
        stored = self.progress()
        told = Reset(FORMAT, "1", stored.next_offset, target)
        self.changelog.append(BARRIER_KEY, b"")
        self.changelog.append(reset_key(self.changelog.end - 1), encode_reset(told))
        moved = msgspec.structs.replace(stored, next_offset=target, anchor_offset=-1, anchor_hash=b"")
        self.changelog.append(PROGRESS_KEY, encode_progress(moved))

    def progress(self) -> Progress:
        stored = next(record for record in reversed(self.changelog.records) if record.key == PROGRESS_KEY)
        assert stored.value is not None
        return decode_progress(stored.value)
