"""A running audit: committed output against the fold of the committed input, record by record.

The auditor reads the input topic and the three output topics as any read_committed consumer does.  Every
input record goes through a fold of its own; what that gives is held until the committed record arrives
that must be equal to it, in key, value and ``source.offset``.  Memory is bounded by how far one topic is
read ahead of another.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import NamedTuple

from processor.config import TopicsConfig
from processor.engine.ports import Fold, Header, InputRecord
from processor.surfaces.ports import Chunk

SOURCE_OFFSET = "source.offset"


class Output(Enum):
    """The topics that follow from the input."""

    ACTIONS = "actions"
    METRICS = "metrics"
    DEAD_LETTERS = "dead letters"


class Entry(NamedTuple):
    """What must be equal."""

    key: bytes | None
    value: bytes | None
    source_offset: bytes


def source_offset(headers: Sequence[Header]) -> bytes:
    """The header's last value; empty where a record has none, which no record of ours may have.

    A dead letter's input may have had one of its own, and did where it once was a dead letter itself.
    """
    # Kafka knows headers without a value, and what others write may have them.
    return next((value or b"" for name, value in reversed(headers) if name == SOURCE_OFFSET), b"")


class _Queues:
    """Of one partition: expected and committed records that have not met yet, per output."""

    def __init__(self) -> None:
        self.expected: dict[Output, deque[Entry]] = {output: deque() for output in Output}
        self.committed: dict[Output, deque[Entry]] = {output: deque() for output in Output}

    def action(self, key: bytes | None, value: bytes, headers: list[Header]) -> None:
        self.expected[Output.ACTIONS].append(Entry(key, value, source_offset(headers)))

    def metric(self, key: bytes | None, value: bytes, headers: list[Header]) -> None:
        self.expected[Output.METRICS].append(Entry(key, value, source_offset(headers)))

    def dead_letter(self, key: bytes | None, value: bytes | None, headers: list[Header]) -> None:
        self.expected[Output.DEAD_LETTERS].append(Entry(key, value, source_offset(headers)))


class Auditor:
    """Takes committed records in each partition's order and says where output and replay part, if they do.

    ``fold``: makes a partition's fold, with the settings the processor runs with, from the log's beginning.
    """

    def __init__(self, topics: TopicsConfig, fold: Callable[[int], Fold]) -> None:
        self._outputs: Mapping[str, Output] = {
            topics.actions: Output.ACTIONS,
            topics.metrics: Output.METRICS,
            topics.dead_letters: Output.DEAD_LETTERS,
        }
        self._input = topics.state
        self._folds: list[Fold] = [fold(partition) for partition in range(topics.partitions)]
        self._queues = [_Queues() for _ in range(topics.partitions)]
        self.inputs = 0
        self.committed: Counter[Output] = Counter()
        self.compared: Counter[Output] = Counter()
        self.tally: dict[str, float] = {}
        self.difference: str | None = None

    @property
    def topics(self) -> list[str]:
        """What must be read."""
        return [self._input, *self._outputs]

    def take(self, chunk: Chunk) -> None:
        """The next committed records of a partition of one of the topics."""
        queues = self._queues[chunk.partition]
        if chunk.topic == self._input:
            self._fold(chunk.partition, chunk.records, queues)
        else:
            output = self._outputs[chunk.topic]
            queues.committed[output].extend(
                Entry(record.key, record.value, source_offset(record.headers)) for record in chunk.records
            )
            self.committed[output] += len(chunk.records)
            self._meet(chunk.partition, output)

    def _fold(self, partition: int, inputs: Sequence[InputRecord], queues: _Queues) -> None:
        fold = self._folds[partition]
        fold.process(inputs, queues)
        fold.changes()  # nobody stores them here: taken, so that they do not pile up
        for name, count in fold.tally().items():
            self.tally[name] = self.tally.get(name, 0) + count
        self.inputs += len(inputs)
        for output in Output:
            self._meet(partition, output)

    def _meet(self, partition: int, output: Output) -> None:
        expected = self._queues[partition].expected[output]
        committed = self._queues[partition].committed[output]
        while expected and committed:
            wanted, found = expected.popleft(), committed.popleft()
            self.compared[output] += 1
            if wanted != found and self.difference is None:
                self.difference = (
                    f"{output.value}, partition {partition}: replay gives {_shown(wanted)}, "
                    f"committed is {_shown(found)}"
                )

    def missing(self) -> int:
        """Records that the replay gives and that are not committed yet."""
        return sum(len(queue) for queues in self._queues for queue in queues.expected.values())

    def surplus(self) -> int:
        """Committed records that no input read so far accounts for."""
        return sum(len(queue) for queues in self._queues for queue in queues.committed.values())

    @property
    def settled(self) -> bool:
        """Nothing waits for its counterpart."""
        return not self.missing() and not self.surplus()

    @property
    def equal(self) -> bool:
        """Everything read so far agrees, and nothing waits for its counterpart."""
        return self.difference is None and self.settled

    def standing(self) -> str:
        """One line while records are still arriving."""
        if self.difference is not None:
            return self.difference
        return f"{sum(self.compared.values()):,} committed records equal the replay, {self.missing():,} under way"

    def verdict(self) -> str:
        """One line when everything should have arrived."""
        if self.difference is not None:
            return self.difference
        if self.surplus():
            return f"{self.surplus():,} committed records have no input"
        if self.missing():
            return f"{self.missing():,} records are missing, behind {sum(self.compared.values()):,} that are equal"
        return f"{sum(self.compared.values()):,} committed records equal the replay"


def _shown(entry: Entry) -> str:
    value = "a tombstone" if entry.value is None else entry.value[:120].decode("utf-8", "backslashreplace")
    return f"{value} (source.offset {entry.source_offset.decode('ascii', 'backslashreplace')})"
