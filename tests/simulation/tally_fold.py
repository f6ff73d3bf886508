"""A small fold with everything that can go wrong in a large one: counts that must not repeat, sequences, stream time.

Input value: ``b"<sequence>"``; ``b"bad"`` becomes a dead letter; ``b"raise"`` raises.  Per session it counts accepted
records; an action says key, count and the digest of the session's sequences so far, every third record has a metric.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple
from zlib import crc32

from processor.engine.ports import InputRecord, LogEvent, Outbox

SESSION_TTL_MS = 1_000
RECLAIMED_PER_RECORD = 2


class Session(NamedTuple):
    accepted: int
    digest: int
    sequence: int
    last_ms: int
    last_offset: int


class TallyFold:
    """Implements the engine's `Fold`."""

    def __init__(self, partition: int) -> None:
        self.partition = partition
        self.stream_time_ms = -1
        self.sessions: dict[bytes, Session] = {}  # in the order of their last record
        self._changed: dict[bytes, None] = {}
        self._tally: dict[str, float] = {}
        self._diary: list[LogEvent] = []

    def process(self, records: Sequence[InputRecord], out: Outbox) -> None:
        sessions, changed = self.sessions, self._changed
        events = duplicates = 0
        for record in records:
            key, value = record.key or b"", record.value or b""
            now_ms = record.timestamp or 0
            if now_ms > self.stream_time_ms:
                self.stream_time_ms = now_ms
            else:
                now_ms = self.stream_time_ms
            self._reclaim(now_ms)
            headers = [("source.offset", b"%d" % record.offset)]
            if value == b"bad":
                out.dead_letter(record.key, record.value, headers)
                continue
            if value == b"raise":
                raise ValueError(f"cannot take {record.offset}")
            sequence = int(value)
            session = sessions.get(key)
            if session is not None and now_ms - session.last_ms > SESSION_TTL_MS:
                session = None
            if session is None:
                session = Session(0, 0, -1, now_ms, record.offset)
                self._diary.append(("session_began", {"offset": record.offset}))
            elif sequence <= session.sequence:
                duplicates += 1
                continue
            accepted, digest = session.accepted + 1, crc32(value, session.digest)
            sessions.pop(key, None)
            sessions[key] = Session(accepted, digest, sequence, now_ms, record.offset)
            changed[key] = None
            events += 1
            text = b"%d:%08x" % (accepted, digest)
            out.action(key, text, headers)
            if accepted % 3 == 0:
                out.metric(key, b"metric " + text, headers)
        self._count("events", events)
        self._count("duplicates", duplicates)

    def changes(self) -> Iterable[tuple[bytes, bytes | None]]:
        changed, self._changed = self._changed, {}
        for key in changed:
            session = self.sessions.get(key)
            yield b"s" + key, None if session is None else b"%d %d %d %d %d" % session

    def marks(self) -> bytes:
        return b"%d" % self.stream_time_ms

    def tally(self) -> Mapping[str, float]:
        tally, self._tally = self._tally, {}
        return tally

    def diary(self) -> Sequence[LogEvent]:
        diary, self._diary = self._diary, []
        return diary

    def figures(self) -> Mapping[str, float]:
        return {"sessions": len(self.sessions)}

    def restore(self, key: bytes, value: bytes | None) -> None:
        self.sessions.pop(key[1:], None)
        if value is not None:
            count, digest, sequence, last_ms, last_offset = map(int, value.split())
            self.sessions[key[1:]] = Session(count, digest, sequence, last_ms, last_offset)

    def restored(self, marks: bytes) -> None:
        self.stream_time_ms = int(marks or b"-1")
        self.sessions = dict(sorted(self.sessions.items(), key=lambda item: item[1].last_offset))

    def _reclaim(self, now_ms: int) -> None:
        sessions = self.sessions
        for _ in range(RECLAIMED_PER_RECORD):
            key = next(iter(sessions), None)
            if key is None or now_ms - sessions[key].last_ms <= SESSION_TTL_MS:
                return
            del sessions[key]
            self._changed[key] = None
            self._count("expired", 1)

    def _count(self, name: str, count: int) -> None:
        if count:
            self._tally[name] = self._tally.get(name, 0) + count
