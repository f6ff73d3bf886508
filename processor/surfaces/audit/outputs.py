"""One output topic of one partition: what the replay gives against what is committed, in order."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import NamedTuple

from processor.engine.ports import Header, InputRecord
from processor.surfaces.audit.report import Difference, What, shown_pair
from processor.surfaces.audit.running import source_offset

OFFSET_DIGITS = 19  # of the largest that Kafka has


class Given(NamedTuple):
    """A record that the replay gives; ``source`` is the input offset it answers."""

    source: int
    key: bytes | None
    value: bytes | None
    headers: tuple[Header, ...]


class ReplayedOutputs:
    """Takes what a fold gives, by role."""

    def __init__(self) -> None:
        self.of: dict[str, list[Given]] = {"actions": [], "metrics": [], "dead_letters": []}

    def action(self, key: bytes | None, value: bytes, headers: list[Header]) -> None:
        self.of["actions"].append(_given(key, value, headers))

    def metric(self, key: bytes | None, value: bytes, headers: list[Header]) -> None:
        self.of["metrics"].append(_given(key, value, headers))

    def dead_letter(self, key: bytes | None, value: bytes | None, headers: list[Header]) -> None:
        self.of["dead_letters"].append(_given(key, value, headers))


def _given(key: bytes | None, value: bytes | None, headers: list[Header]) -> Given:
    return Given(int(source_offset(headers)), key, value, tuple(headers))


def source_of(record: InputRecord) -> int | None:
    """The input offset that an output record says it answers; None where it says none."""
    said = source_offset(record.headers)
    return int(said) if said.isdigit() and len(said) <= OFFSET_DIGITS else None


class CommittedOutput:
    """The committed records of an output, read on as they are asked for.

    Inputs before ``start`` are not compared, nor, where the log is cut (``cut``), those before its first record.
    """

    def __init__(
        self, topic: str, partition: int, batches: AsyncGenerator[Sequence[InputRecord], None], start: int, *, cut: bool
    ) -> None:
        self.topic = topic
        self.start = start
        self.compared = 0
        self._partition = partition
        self._batches = batches
        self._cut = cut
        self._waiting: list[InputRecord] = []  # the next one last
        self._begun = False

    async def close(self) -> None:
        """Stop reading."""
        await self._batches.aclose()

    async def begin(self) -> bool:
        """Go to the first record to be compared; false where the log, being cut, has nothing any more."""
        while (record := await self._next()) is not None:
            source = source_of(record)
            # One that says no source stands nowhere: before the range it is not ours to judge.
            if (source is None and self.start == 0) or (source is not None and source >= self.start):
                break
            self._waiting.pop()
        if self._cut:
            if record is None:
                return False
            self.start = max(self.start, source_of(record) or 0)
        return True

    async def _next(self) -> InputRecord | None:
        while not self._waiting:
            batch = await anext(self._batches, None)
            if batch is None:
                return None
            self._waiting = list(reversed(batch))
        return self._waiting[-1]

    async def compare(self, given: Sequence[Given]) -> Difference | None:
        """The next records must be these."""
        for wanted in given:
            if wanted.source < self.start:
                continue
            found = await self._next()
            if found is None:
                return self._difference("missing", wanted, None)
            source = source_of(found)
            if source is None or source < wanted.source:
                return self._difference("surplus", None, found)
            if source > wanted.source:
                return self._difference("missing", wanted, None)
            self._waiting.pop()
            if found.key != wanted.key:
                return self._difference("key", wanted, found)
            if found.value != wanted.value:
                return self._difference("value", wanted, found)
            if tuple(found.headers) != wanted.headers:
                return self._difference("headers", wanted, found)
            self.compared += 1
        return None

    async def rest(self, end: int, *, to_the_end: bool) -> Difference | None:
        """No other record may answer an input before ``end``; what answers later ones is not looked at."""
        while (record := await self._next()) is not None:
            source = source_of(record)
            if source is None or source < end:
                return self._difference("surplus", None, record)
            if not to_the_end:
                return None
            self._waiting.pop()
        return None

    async def at(self, source: int) -> InputRecord | None:
        """The next record, if it answers this input."""
        record = await self._next()
        return record if record is not None and source_of(record) == source else None

    def pass_over(self) -> None:
        """Leave the next record out of the comparison."""
        self._waiting.pop()

    def _difference(self, what: What, wanted: Given | None, found: InputRecord | None) -> Difference:
        source = wanted.source if wanted is not None else source_of(found) if found is not None else None
        if wanted is not None and found is not None and what == "headers":
            expected, committed = repr(list(wanted.headers)), repr(list(found.headers))
        elif wanted is not None and found is not None and what == "key":
            expected, committed = repr(wanted.key), repr(found.key)
        else:
            expected, committed = shown_pair(
                wanted.value if wanted is not None else None, found.value if found is not None else None
            )
        return Difference(
            self.topic,
            self._partition,
            None if found is None else found.offset,
            source,
            what,
            None if wanted is None else expected,
            None if found is None else committed,
        )
