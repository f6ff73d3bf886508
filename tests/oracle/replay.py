"""The one right output: every partition's committed input through one fold, in one process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from processor.config import Settings
from processor.loop.partition import PartitionFold
from tests.oracle.committed import Headers, LoggedRecord

SLICE_RECORDS = 1_000


class Output(NamedTuple):
    """One record of an output topic, as far as it is decided by the input."""

    key: bytes | None
    value: bytes | None
    headers: Headers


@dataclass
class Expected:
    """What a partition's input gives: outputs in order, state by changelog key, the marks of the progress record."""

    actions: list[Output] = field(default_factory=list)
    metrics: list[Output] = field(default_factory=list)
    dead_letters: list[Output] = field(default_factory=list)
    state: dict[bytes, bytes] = field(default_factory=dict)
    marks: bytes = b""
    tally: dict[str, float] = field(default_factory=dict)

    def action(self, key: bytes | None, value: bytes, headers: Sequence[tuple[str, bytes]]) -> None:
        self.actions.append(Output(key, value, tuple(headers)))

    def metric(self, key: bytes | None, value: bytes, headers: Sequence[tuple[str, bytes]]) -> None:
        self.metrics.append(Output(key, value, tuple(headers)))

    def dead_letter(self, key: bytes | None, value: bytes | None, headers: Sequence[tuple[str, bytes]]) -> None:
        self.dead_letters.append(Output(key, value, tuple(headers)))


def replay(settings: Settings, records: Mapping[int, Sequence[LoggedRecord]]) -> dict[int, Expected]:
    """Fold each partition's records, from the log's beginning, under these settings."""
    expected: dict[int, Expected] = {}
    for partition, partition_records in records.items():
        fold = PartitionFold(settings, settings.topics.state, partition)
        result = expected[partition] = Expected()
        for start in range(0, len(partition_records), SLICE_RECORDS):
            fold.process(partition_records[start : start + SLICE_RECORDS], result)
            for key, value in fold.changes():
                if value is None:
                    result.state.pop(key, None)
                else:
                    result.state[key] = value
            for name, count in fold.tally().items():
                result.tally[name] = result.tally.get(name, 0) + count
        result.marks = fold.marks()
    return expected
