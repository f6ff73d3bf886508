"""One partition's log: offsets, transactions, the last stable offset, compaction, retention."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

Headers = Sequence[tuple[str, bytes]]

COMMITTED, OPEN, ABORTED, CONTROL = range(4)


class NewRecord(NamedTuple):
    """A record on its way to the log."""

    key: bytes | None
    value: bytes | None
    headers: Headers = ()
    timestamp: int = 0


class Entry:
    """A record or a control record in the log; also what a reader gets."""

    __slots__ = ("headers", "key", "offset", "state", "timestamp", "value")

    def __init__(self, offset: int, record: NewRecord, state: int) -> None:
        self.offset = offset
        self.key = record.key
        self.value = record.value
        self.headers = record.headers
        self.timestamp = record.timestamp
        self.state = state


_MARKER = NewRecord(None, None)


class SequenceGap(Exception):
    """OUT_OF_ORDER_SEQUENCE_NUMBER: a batch before this one is missing."""


class Log:
    """Append-only except for `trim` and `compact`; ``end`` is the next offset to be written."""

    def __init__(self, topic: str, partition: int) -> None:
        self.topic = topic
        self.partition = partition
        self.entries: list[Entry] = []
        self.start = 0
        self.end = 0
        self.open: dict[int, list[Entry]] = {}
        self.watchers: list[Callable[[], None]] = []
        self._dense = True  # no offset is missing between start and end
        self._producers: dict[int, tuple[int, int, int]] = {}  # id: epoch, next sequence, offset of the last batch

    @property
    def last_stable(self) -> int:
        """Below it everything is decided."""
        if not self.open:
            return self.end
        return min(entries[0].offset for entries in self.open.values())

    def append(self, records: Iterable[NewRecord]) -> int:
        """Plain records; returns the offset of the first."""
        first = self.end
        for record in records:
            self.entries.append(Entry(self.end, record, COMMITTED))
            self.end += 1
        self._changed()
        return first

    def append_open(self, producer: int, epoch: int, sequence: int, records: Sequence[NewRecord]) -> int:
        """Records of a transaction; a repeated batch is answered with its first offset. Raises `SequenceGap`."""
        # Of a producer that the log does not know, any number may be the first.
        known_epoch, expected, last_offset = self._producers.get(producer, (epoch, sequence, -1))
        if epoch != known_epoch:
            expected = 0
        if sequence < expected:
            return last_offset
        if sequence > expected:
            raise SequenceGap
        first = self.end
        opened = self.open.setdefault(producer, [])
        for record in records:
            entry = Entry(self.end, record, OPEN)
            self.entries.append(entry)
            opened.append(entry)
            self.end += 1
        self._producers[producer] = (epoch, sequence + len(records), first)
        return first

    def mark(self, producer: int, committed: bool) -> None:
        """A control record: the producer's open records are decided."""
        state = COMMITTED if committed else ABORTED
        for entry in self.open.pop(producer, ()):
            entry.state = state
        self.entries.append(Entry(self.end, _MARKER, CONTROL))
        self.end += 1
        self._changed()

    def read(self, offset: int, most: int, limit: int | None = None) -> tuple[list[Entry], int]:
        """Committed records from an offset on, and the position behind them (read_committed).

        ``limit``: the last stable offset as somebody else knows it.
        """
        if limit is None:
            limit = self.last_stable
        offset = max(offset, self.start)
        if offset >= limit:
            return [], offset
        index = self._index(offset)
        found: list[Entry] = []
        position = offset
        entries = self.entries
        while index < len(entries) and len(found) < most:
            entry = entries[index]
            if entry.offset >= limit:
                position = limit
                break
            if entry.state == COMMITTED:
                found.append(entry)
            position = entry.offset + 1
            index += 1
        return found, position

    def behind_a_record(self, key: bytes) -> bool:
        """Whether right before the last record with this key stands one with another key, and no marker."""
        last = next((i for i in reversed(range(len(self.entries))) if self.entries[i].key == key), 0)
        if last == 0:
            return False
        before = self.entries[last - 1]
        return before.offset == self.entries[last].offset - 1 and before.key != key and before.state != CONTROL

    def trim(self, offset: int) -> None:
        """Retention: everything below the offset is gone."""
        offset = min(offset, self.last_stable)
        if offset > self.start:
            del self.entries[: self._index(offset)]
            self.start = offset

    def compact(self, offset: int, tombstones_before: int = 0) -> None:
        """Below the offset only the last committed record of a key stays; markers and aborted records go.

        Below the other one tombstones go too: their retention is over.
        """
        offset = min(offset, self.last_stable, self.end - 1)
        last: dict[bytes | None, Entry] = {}
        for entry in self.entries:
            if entry.state == COMMITTED and entry.offset < self.last_stable:
                last[entry.key] = entry
        before = len(self.entries)
        self.entries = [
            entry
            for entry in self.entries
            if entry.offset >= offset
            or (
                entry.state == COMMITTED
                and last[entry.key] is entry
                and (entry.value is not None or entry.offset >= tombstones_before)
            )
        ]
        self._dense = self._dense and before == len(self.entries)

    def superseded_before(self) -> int:
        """Up to this offset every record is replaced by a later committed one of its key, or is a tombstone."""
        last = {entry.key: entry for entry in self.entries if entry.state == COMMITTED}
        offsets = [entry.offset for entry in last.values() if entry.value is not None]
        return min([self.last_stable, *offsets])

    def _index(self, offset: int) -> int:
        if self._dense:
            return offset - self.start
        return bisect_left(self.entries, offset, key=lambda entry: entry.offset)

    def _changed(self) -> None:
        for watcher in self.watchers:
            watcher()
