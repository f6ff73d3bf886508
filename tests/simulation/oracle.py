"""What must hold after every commit: it contains exactly what one fold makes of exactly its input records.

A transaction's content is final when its commit is decided, so it is compared at that moment; what readers see later
is the same records in the same order.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import cast

from processor.engine.ports import Fold, FoldFactory, Header, InputRecord
from schemas.progress import BARRIER_KEY, PROGRESS_KEY, Progress, decode_progress
from tests.simulation.broker import ACTIONS, CHANGELOG, DEAD_LETTERS, INPUT, METRICS, OUTPUTS, ModelKafka
from tests.simulation.log import COMMITTED, Entry, Log
from tests.simulation.transactions import Transactional

Line = tuple[bytes | None, bytes | None, tuple[Header, ...]]


class Violation(AssertionError):
    """Committed data is not what the replay says."""


class _Collected:
    """The outbox of the replay."""

    def __init__(self) -> None:
        self.lines: dict[str, list[Line]] = {topic: [] for topic in OUTPUTS}

    def action(self, key: bytes | None, value: bytes, headers: list[Header]) -> None:
        self.lines[ACTIONS].append((key, value, tuple(headers)))

    def metric(self, key: bytes | None, value: bytes, headers: list[Header]) -> None:
        self.lines[METRICS].append((key, value, tuple(headers)))

    def dead_letter(self, key: bytes | None, value: bytes | None, headers: list[Header]) -> None:
        self.lines[DEAD_LETTERS].append((key, value, tuple(headers)))


class PartitionReplay:
    """One fold over one partition's committed input, up to what the changelog says is processed."""

    def __init__(self, fold: Fold) -> None:
        self.fold = fold
        self.position = 0
        self.state: dict[bytes, bytes] = {}  # the replay's
        self.committed: dict[bytes, bytes] = {}  # the changelog's

    def advance(self, records: Sequence[Entry], position: int) -> tuple[dict[str, list[Line]], set[bytes]]:
        """Outputs per topic and the keys whose state changed."""
        out = _Collected()
        if records:
            self.fold.process(cast("Sequence[InputRecord]", records), out)
        touched = set()
        for key, value in self.fold.changes():
            _put(self.state, key, value)
            touched.add(key)
        self.fold.tally()
        self.position = position
        return out.lines, touched


class LiveReader:
    """A read_committed reader of one output partition: it sees what was decided, all of it, in that order, once."""

    def __init__(self, log: Log, violations: list[str]) -> None:
        self.decided: deque[Entry] = deque()
        self._log = log
        self._position = log.start
        self._violations = violations
        log.watchers.append(self._look)

    def _look(self) -> None:
        if self._position >= self._log.last_stable:
            return
        entries, self._position = self._log.read(self._position, self._log.end)
        for entry in entries:
            if not self.decided or self.decided.popleft() is not entry:
                self._violations.append(
                    f"{self._log.topic}-{self._log.partition}: a reader sees offset {entry.offset} out of turn"
                )
                return


class Oracle:
    """Compares every commit with the replay; keeps the first violations in words."""

    def __init__(self, broker: ModelKafka, factory: FoldFactory) -> None:
        self.broker = broker
        self.replays = [PartitionReplay(factory(partition)) for partition in range(broker.partitions)]
        self.violations: list[str] = []
        self.commits = 0
        self.events = 0
        self._readers = {
            (topic, partition): LiveReader(broker.logs[topic, partition], self.violations)
            for topic in OUTPUTS
            for partition in range(broker.partitions)
        }
        broker.decided = self.decided

    def decided(self, transaction: Transactional) -> None:
        """A commit is decided: its content is final."""
        self.commits += 1
        producer = transaction.producer
        offsets = self.broker.group.pending(producer)
        for partition, replay in enumerate(self.replays):
            content = {
                topic: self.broker.logs[topic, partition].open.get(producer, ()) for topic in (*OUTPUTS, CHANGELOG)
            }
            if any(content.values()) or partition in offsets:
                for topic in OUTPUTS:
                    if content[topic]:
                        self._readers[topic, partition].decided.extend(content[topic])
                try:
                    self._compare(partition, replay, content, offsets.get(partition))
                except Violation as violation:
                    self.violations.append(f"{transaction.name}, {self.broker.loop.time():.3f} s: {violation}")

    def _compare(
        self, partition: int, replay: PartitionReplay, content: Mapping[str, Sequence[Entry]], offset: int | None
    ) -> None:
        name = f"partition {partition}"
        progress: Progress | None = None
        touched = set()
        for entry in content[CHANGELOG]:
            key = entry.key or b""
            if key == PROGRESS_KEY:
                progress = decode_progress(entry.value or b"")
            elif key != BARRIER_KEY:
                _put(replay.committed, key, entry.value)
                touched.add(key)
        if progress is None:
            raise Violation(f"{name}: a commit without a progress record")
        if offset != progress.next_offset:
            raise Violation(f"{name}: group offset {offset}, progress {progress.next_offset}")
        begin, end = replay.position, progress.next_offset
        if end < begin:
            raise Violation(f"{name}: progress went back from {begin} to {end}")
        records, _ = self.broker.logs[INPUT, partition].read(begin, end - begin) if end > begin else ([], begin)
        records = [record for record in records if record.offset < end]
        self.events += len(records)
        expected, changed = replay.advance(records, end)
        for topic in OUTPUTS:
            found = [(e.key, e.value, tuple(e.headers)) for e in content[topic]]
            if found != expected[topic]:
                raise Violation(f"{name}, input {begin}..{end}: {topic} {_first(found, expected[topic])}")
        if progress.marks != replay.fold.marks():
            raise Violation(f"{name}, input {begin}..{end}: marks {progress.marks!r}, {replay.fold.marks()!r}")
        for key in touched | changed:
            if replay.committed.get(key) != replay.state.get(key):
                raise Violation(
                    f"{name}, input {begin}..{end}: state {key!r} is {replay.committed.get(key)!r}, "
                    f"replayed {replay.state.get(key)!r}"
                )

    def at_rest(self) -> list[str]:
        """What is wrong after everything was processed: position, state in the log, offsets, open transactions."""
        wrong = [f"{name}: transaction still open" for name in self.broker.transactions.open_ids()]
        wrong += [f"{where}: decided and not seen" for where, reader in self._readers.items() if reader.decided]
        for partition, replay in enumerate(self.replays):
            name = f"partition {partition}"
            end = self.broker.logs[INPUT, partition].end
            if replay.position != end:
                wrong.append(f"{name}: processed up to {replay.position}, input ends at {end}")
            if end and self.broker.group.offsets.get(partition) != end:
                wrong.append(f"{name}: group offset {self.broker.group.offsets.get(partition)}, input ends at {end}")
            for topic in (*OUTPUTS, CHANGELOG):
                log = self.broker.logs[topic, partition]
                if log.last_stable != log.end:
                    wrong.append(f"{topic} {partition}: last stable {log.last_stable}, end {log.end}")
            state: dict[bytes, bytes] = {}
            for entry in self.broker.logs[CHANGELOG, partition].entries:
                if entry.state == COMMITTED and entry.key is not None and not entry.key.startswith(b"\x00"):
                    _put(state, entry.key, entry.value)
            if state != replay.state:
                wrong.append(f"{name}: state in the changelog differs: {sorted(state.items() ^ replay.state.items())}")
        return wrong


def _put(state: dict[bytes, bytes], key: bytes, value: bytes | None) -> None:
    if value is None:
        state.pop(key, None)
    else:
        state[key] = value


def _first(found: list[Line], expected: list[Line]) -> str:
    for index, (left, right) in enumerate(zip(found, expected, strict=False)):
        if left != right:
            return f"record {index} is {left!r}, replayed {right!r}"
    return f"{len(found)} records, replayed {len(expected)}"
