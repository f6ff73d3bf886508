"""What one partition's input gives, era by era, and the state that it comes to."""

from __future__ import annotations

from collections.abc import Sequence

from processor.config import Settings
from processor.engine.ports import InputRecord, Outbox
from processor.loop.partition import PartitionFold
from processor.surfaces.audit.eras import era_fold, era_notes
from processor.surfaces.audit.stored import NotAuditable
from schemas.errors import InvalidRecord
from schemas.events import EventDecoder, Limits
from schemas.headers import is_msgpack
from schemas.state_records import EraRecord, Kind
from topology.topics import MAX_TIMESTAMP_AHEAD_MS


class Derivation:
    """Begins at input offset ``start`` with nothing and goes up to ``end`` (exclusive).

    ``whole``: nothing was processed before ``start``.  ``notes`` gets what a verdict rests on beyond the log.
    """

    def __init__(
        self,
        settings: Settings,
        partition: int,
        eras: Sequence[EraRecord],
        *,
        start: int,
        end: int,
        whole: bool,
        notes: list[str],
    ) -> None:
        self.assumed = False  # the given settings stood in for some that are not recorded
        self.state: dict[bytes, bytes] = {}
        self.last: InputRecord | None = None
        self._settings = settings
        self._partition = partition
        self._eras = eras
        self._boundaries = [era.first_offset for era in eras if era.first_offset > start]
        self._start = start
        self._end = end
        self._whole = whole
        self._notes = notes
        self._era: EraRecord | None = None
        self._fold: PartitionFold | None = None
        self._decoder = EventDecoder()
        self._first_ms: int | None = None  # time of the first record

    @property
    def clock_known(self) -> bool:
        """No record before ``start`` can have set the stream time, which ends idle sessions, further than it is."""
        fold = self._fold
        if self._whole or fold is None or fold.session_ttl_ms > MAX_TIMESTAMP_AHEAD_MS:
            # A session that begins here is idle for so long only when the time is far beyond theirs.
            return True
        return self._first_ms is not None and fold.stream_time_ms >= self._first_ms + MAX_TIMESTAMP_AHEAD_MS

    @property
    def until(self) -> int:
        """Where the era ends that the last `enter` led to."""
        return self._boundaries[0] if self._boundaries else self._end

    def enter(self, offset: int) -> PartitionFold:
        """The fold of the era that the offset lies in, with the state as it is there.

        Raises `NotAuditable` where another fold is needed and cannot be had.
        """
        if self._fold is not None and offset < self.until:
            return self._fold
        while self._boundaries and self._boundaries[0] <= offset:
            self._boundaries.pop(0)
        self._era = next((era for era in reversed(self._eras) if era.first_offset <= offset), None)
        self.assumed |= self._era is None
        fold = era_fold(self._era, self._settings, self._partition)
        self._notes += era_notes(self._era, self.until)
        if not self._whole:
            self._begin_late(fold)
        if self._fold is not None:
            # As a processor takes the state over that runs with other settings.
            for key, value in self.state.items():
                fold.restore(key, value)
            fold.restored(self._fold.marks())
        self._fold = fold
        limits = fold.rules.settings.engine
        self._decoder = EventDecoder(Limits(limits.max_event_bytes, limits.max_event_depth))
        return fold

    def _begin_late(self, fold: PartitionFold) -> None:
        """The fold begins where the partition did not."""
        if fold.shared_model is not None:
            raise NotAuditable(
                f"the input begins at offset {self._start}, and with quality.scope = shared every session depends on "
                "what was before"
            )

    def process(self, records: Sequence[InputRecord], out: Outbox) -> None:
        """Records of one era."""
        fold = self.enter(records[0].offset)
        self._take_time(records[0])
        fold.process(records, out)
        self.last = records[-1]
        self._take_changes(fold, len(records))
        fold.tally()
        fold.diary()

    def _take_changes(self, fold: PartitionFold, _records: int) -> None:
        """Eras are left out: what they say was taken from the log."""
        for key, value in fold.changes():
            if value is None:
                self.state.pop(key, None)
            elif key[:1] != Kind.ERA.value:
                self.state[key] = value

    def pass_over(self, record: InputRecord) -> None:
        """A record of a session that nothing is known of: time passes."""
        fold = self.enter(record.offset)
        fold.stream_time_ms = max(fold.stream_time_ms, self._take_time(record))
        self.last = record

    def _take_time(self, record: InputRecord) -> int:
        """The record's time; the first one's is remembered."""
        time_ms = -1 if record.timestamp is None else record.timestamp
        if self._first_ms is None:
            self._first_ms = time_ms
        return time_ms

    def session_of(self, record: InputRecord) -> str | None:
        """The session that the event is for, None where the record is no event."""
        self.enter(record.offset)
        try:
            return self._decoder.decode(record.value, record.key, is_msgpack(record.headers)).session_id
        except InvalidRecord:
            return None

    def marks(self) -> bytes | None:
        """The fold's own values in the progress record, None where they cannot be known."""
        return self._fold.marks() if self._whole and self._fold is not None and self._era is not None else None
