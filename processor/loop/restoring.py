"""Changelog records read back into sessions and models.

Every error is a ``ValueError`` that says which session and what is wrong: the fold refuses to start from it.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from typing import Final

from processor.loop.changelog import MODES
from processor.loop.experiment import GROUPS, stored_group
from processor.loop.injection import Injector
from processor.loop.quality import BLOCK as SAMPLE_BLOCK
from processor.loop.quality import SAMPLE_WIDTH, ModelRules, QualityModel
from processor.loop.rules import POINT_BLOCK, Rules
from processor.loop.session import EXPLORING, Exploration, Session
from schemas.state_records import (
    BlockRecord,
    EraRecord,
    Kind,
    LedgerRecord,
    ModelRecord,
    SessionRecord,
    decode_state,
    newer_format,
    parse_state_key,
    unpack_floats,
)

# Far beyond what any configuration or session can reach, and safely within what the fold can go on from.
LARGEST_CAPACITY: Final = 1 << 20
LARGEST_COUNT: Final = 1 << 53
LARGEST_NUMBER: Final = 1e150


class StoredPartition:
    """The records of a partition's changelog as they come: later ones of a key replace earlier ones."""

    def __init__(self) -> None:
        self._sessions: dict[str, StoredSession] = {}
        self._shared = StoredSession()
        self.era: EraRecord | None = None  # the newest

    def take(self, key: bytes, value: bytes | None) -> None:
        """One record, or a tombstone; raises ``ValueError`` on an unknown key, a newer format or other bytes."""
        try:
            kind, session_id, slot = parse_state_key(key)
            if kind in (Kind.SHARED_MODEL, Kind.SHARED_SAMPLES):
                self._shared.take(kind, slot, value)
                return
            if kind is Kind.ERA:
                self._take_era(slot, value)
                return
            stored = self._sessions.get(session_id)
            if stored is None:
                stored = self._sessions[session_id] = StoredSession()
            stored.take(kind, slot, value)
        except ValueError as error:
            # A newer version may have kinds of keys that are unknown here: its format says more than that.
            raise ValueError(f"state record {key!r}: {newer_format(value or b'') or error}") from None
        if value is None and stored.empty():
            del self._sessions[session_id]

    def _take_era(self, first_offset: int, value: bytes | None) -> None:
        if value is None:
            raise ValueError("an era is never removed")
        era = decode_state(value, EraRecord)
        if era.first_offset != first_offset:
            raise ValueError(f"it says offset {era.first_offset}")
        if self.era is None or self.era.first_offset <= first_offset:
            self.era = era

    def sessions(self, rules: Rules, injector: Injector) -> list[Session]:
        """All sessions, in the order of their last accepted record."""
        sessions = []
        for session_id, stored in self._sessions.items():
            try:
                sessions.append(stored.session(session_id, rules, injector))
            except ValueError as error:
                raise ValueError(f"state of session {session_id!r}: {error}") from None
        sessions.sort(key=lambda session: session.last_offset)
        return sessions

    def shared_model(self, rules: ModelRules) -> QualityModel | None:
        """The model of all sessions, if one was stored."""
        if self._shared.model is None:
            return None
        try:
            return restored_model(self._shared.model, self._shared.samples, rules)
        except ValueError as error:
            raise ValueError(f"shared quality model: {error}") from None


class StoredSession:
    """The records of one session as they are read back, in any order."""

    __slots__ = ("core", "ledger", "model", "points", "samples")

    def __init__(self) -> None:
        self.core: SessionRecord | None = None
        self.ledger: LedgerRecord | None = None
        self.model: ModelRecord | None = None
        self.points: dict[int, BlockRecord] = {}
        self.samples: dict[int, BlockRecord] = {}

    def take(self, kind: Kind, slot: int, value: bytes | None) -> None:
        """One record of this session, or a tombstone."""
        if kind is Kind.SESSION:
            self.core = None if value is None else decode_state(value, SessionRecord)
        elif kind is Kind.LEDGER:
            self.ledger = None if value is None else decode_state(value, LedgerRecord)
        elif kind in (Kind.MODEL, Kind.SHARED_MODEL):
            self.model = None if value is None else decode_state(value, ModelRecord)
        else:
            blocks = self.points if kind is Kind.POINTS else self.samples
            if value is None:
                blocks.pop(slot, None)
            else:
                blocks[slot] = decode_state(value, BlockRecord)

    def empty(self) -> bool:
        """Whether tombstones have taken everything."""
        return not (self.core or self.ledger or self.model or self.points or self.samples)

    def session(self, session_id: str, rules: Rules, injector: Injector) -> Session:
        """The session these records describe. Raises ``ValueError`` where they do not fit together."""
        core = self.core
        if core is None:
            raise ValueError("its core record is missing")
        if not 0 <= core.mode < len(MODES) or not -1 <= core.group < len(GROUPS) or core.step < 1:
            raise ValueError("its core record holds impossible values")
        _check_counts("core record", core.steps_in_mode, core.streak, core.stream_sequence)
        _check_numbers("core record", () if core.baseline is None else (core.baseline,))
        session = Session(session_id)
        session.mode = MODES[core.mode]
        session.steps_in_mode = core.steps_in_mode
        session.step = core.step
        session.last_sequence = core.last_sequence
        session.last_time_ms = core.last_time_ms
        session.last_offset = core.last_offset
        session.baseline = core.baseline
        session.streak = core.streak
        session.stream_sequence = core.stream_sequence
        session.group = stored_group(rules.settings.experiment, core.group)
        ring = Ring(core.step, core.point_capacity, core.points_from, POINT_BLOCK, 2)
        session.points = ring.assemble(self.points, core.open_points, rules.point_capacity)
        if rules.keeps_history:
            session.stamps = ring.stamps(self.points, core.open_stamps, rules.point_capacity)
        session.points_from = ring.retained_from
        session.saved_step = ring.saved_count(rules.point_capacity)
        session.stored_slots = ring.slots_taken(self.points)
        if self.ledger is not None:
            _take_ledger(session, self.ledger, injector)
        if session.mode == EXPLORING and session.exploration is None:
            raise ValueError("it explores and its exploration is missing")
        if self.model is not None:
            session.model = restored_model(self.model, self.samples, rules.model)
        return session


def restored_model(record: ModelRecord, blocks: dict[int, BlockRecord], rules: ModelRules) -> QualityModel:
    """The model of these records. Raises ``ValueError`` where they do not fit together."""
    _check_counts("model", record.since_fit, record.version)
    _check_numbers("model", record.weights or ())
    model = QualityModel()
    ring = Ring(record.count, record.capacity, record.retained_from, SAMPLE_BLOCK, SAMPLE_WIDTH)
    model.samples = ring.assemble(blocks, record.open_samples, rules.capacity)
    _check_numbers("model", model.samples)
    model.count = record.count
    model.retained_from = ring.retained_from
    model.since_fit = record.since_fit
    model.version = record.version
    model.weights = record.weights
    model.saved_count = ring.saved_count(rules.capacity)
    model.stored_slots = ring.slots_taken(blocks)
    return model


def _check_counts(place: str, *counts: int) -> None:
    if not all(0 <= count <= LARGEST_COUNT for count in counts):
        raise ValueError(f"its {place} holds impossible counts")


def _check_numbers(place: str, numbers: Sequence[float]) -> None:
    # The sum tells what is no number at all; a Python step for each sample would cost a restore seconds.
    if numbers and not (
        math.isfinite(sum(numbers)) and min(numbers) >= -LARGEST_NUMBER and max(numbers) <= LARGEST_NUMBER
    ):
        raise ValueError(f"its {place} holds impossible numbers")


def _take_ledger(session: Session, ledger: LedgerRecord, injector: Injector) -> None:
    _check_counts(
        "ledger", ledger.total_injections, ledger.completed, ledger.aborted, ledger.successful, ledger.emergency_stops
    )
    _check_numbers("ledger", (ledger.cumulative_gain, *ledger.recent_gains))
    session.total_injections = ledger.total_injections
    session.completed = ledger.completed
    session.aborted = ledger.aborted
    session.successful = ledger.successful
    session.emergency_stops = ledger.emergency_stops
    session.cumulative_gain = ledger.cumulative_gain
    session.recent_gains = ledger.recent_gains
    stored = ledger.exploration
    if stored is None:
        return
    _check_counts("exploration", stored.duration_steps, stored.steps_executed, stored.model_version)
    _check_numbers("exploration", (*stored.features, stored.performance_before))
    exploration = Exploration(
        injection_id=stored.injection_id,
        profile=stored.profile,
        params=stored.params,
        multipliers=None,
        base_factor=stored.base_factor,
        entropy_factor=stored.entropy_factor,
        duration_steps=stored.duration_steps,
        features=stored.features,
        performance_before=stored.performance_before,
        predicted_gain=stored.predicted_gain,
        model_version=stored.model_version,
    )
    exploration.steps_executed = stored.steps_executed
    exploration.creative_gain = stored.creative_gain
    if session.mode == EXPLORING:
        try:
            exploration.multipliers = injector.known_multipliers(stored.profile, stored.duration_steps, stored.params)
        except (ArithmeticError, LookupError):
            raise ValueError("its exploration holds impossible parameters") from None
    session.exploration = exploration


class Ring:
    """A stored ring of `count` entries, `width` numbers each, laid out for the capacity it had when written."""

    def __init__(self, count: int, capacity: int, retained_from: int, block: int, width: int) -> None:
        if not 2 * block <= capacity <= LARGEST_CAPACITY or capacity % block:
            raise ValueError("a ring has impossible dimensions")
        if not 0 <= retained_from <= count <= LARGEST_COUNT or retained_from % block:
            raise ValueError("a ring has impossible dimensions")
        self.count = count
        self.capacity = capacity
        self.block = block
        self.width = width
        self.slots = capacity // block - 1
        self.sealed = count // block
        self.first_block = max(retained_from // block, self.sealed - self.slots)
        self.retained_from = retained_from

    def assemble(self, blocks: dict[int, BlockRecord], open_values: bytes, capacity: int) -> array[float]:
        """The flat ring in the layout of `capacity`; a block it needs must be there."""
        if capacity > self.capacity:
            # Written under a smaller window: what is older than the stored blocks stays unknown.
            self.retained_from = self.first_block * self.block
        values = array("d", bytes(8 * self.width * min(self.count, capacity)))
        size = self.block * self.width
        for number in range(max(self.first_block, self.sealed - capacity // self.block + 1), self.sealed):
            block = self._block(blocks, number)
            start = number * self.block % capacity * self.width
            values[start : start + size] = unpack_floats(block.values, size)
        rest = self.count % self.block * self.width
        start = self.sealed * self.block % capacity * self.width
        values[start : start + rest] = unpack_floats(open_values, rest)
        return values

    def stamps(self, blocks: dict[int, BlockRecord], open_stamps: list[str | None], capacity: int) -> list[str | None]:
        """The entries' timestamps in the layout of `capacity` (None where none was kept)."""
        stamps: list[str | None] = [None] * min(self.count, capacity)
        for number in range(max(self.first_block, self.sealed - capacity // self.block + 1), self.sealed):
            start = number * self.block % capacity
            kept = self._block(blocks, number).stamps
            stamps[start : start + len(kept)] = kept
        start = self.sealed * self.block % capacity
        stamps[start : start + len(open_stamps)] = open_stamps
        return stamps

    def saved_count(self, capacity: int) -> int:
        """Up to which entry the stored blocks are in the slots that `capacity` asks for."""
        return self.count if capacity == self.capacity else self.retained_from

    def slots_taken(self, blocks: dict[int, BlockRecord]) -> int:
        """Slots from 0 up to the last one stored; a window that grew has left some of them empty."""
        taken = max(blocks, default=-1) + 1
        if taken > self.slots:
            raise ValueError(f"a block lies in slot {taken - 1} of a ring of {self.slots}")
        return taken

    def _block(self, blocks: dict[int, BlockRecord], number: int) -> BlockRecord:
        block = blocks.get(number % self.slots)
        if block is None or block.number != number:
            raise ValueError(f"block {number} of a ring is missing")
        return block
