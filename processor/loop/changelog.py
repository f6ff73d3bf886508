"""A session's state as changelog records, and back.

What is written is a function of the state alone: the open block of a ring travels in the core record, a full
block is written once under its slot. One slot fewer than the ring has blocks is stored, so that every block
whose slot exists is still in memory when the changes are asked for, however long the batch was.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator

from processor.loop.experiment import GROUPS, Group
from processor.loop.injection import Injector
from processor.loop.quality import BLOCK as SAMPLE_BLOCK
from processor.loop.quality import SAMPLE_WIDTH, ModelRules, QualityModel
from processor.loop.rules import POINT_BLOCK, Rules
from processor.loop.session import EMERGENCY, EXPLORING, RECOVERING, STABLE, Exploration, Session
from schemas.actions import Mode
from schemas.state_records import (
    FORMAT,
    BlockRecord,
    ExplorationRecord,
    Kind,
    LedgerRecord,
    ModelRecord,
    SessionRecord,
    encode_state,
    pack_floats,
    state_key,
    unpack_floats,
)

# Positions are stored: append only.
MODES: tuple[Mode, ...] = (STABLE, EXPLORING, RECOVERING, EMERGENCY)
_MODE_NUMBERS = {mode: number for number, mode in enumerate(MODES)}
_GROUP_NUMBERS: dict[Group | None, int] = {None: -1, **{group: number for number, group in enumerate(GROUPS)}}

# An enumeration's value costs more to look up than the rest of a key.
_SESSION = Kind.SESSION.value
_LEDGER = Kind.LEDGER.value

Changes = dict[bytes, bytes | None]


def write_session(session: Session, rules: Rules, changes: Changes) -> None:
    """Put into `changes` what of `session` changed since the last time, and count it as written."""
    key, step, capacity = session.key, session.step, rules.point_capacity
    open_points = step % POINT_BLOCK
    start = (step - open_points) % capacity
    points, stamps = session.points, session.stamps
    changes[_SESSION + key] = encode_state(
        SessionRecord(
            FORMAT,
            _MODE_NUMBERS[session.mode],
            session.steps_in_mode,
            step,
            session.last_sequence,
            session.last_time_ms,
            session.last_offset,
            session.baseline,
            session.streak,
            session.stream_sequence,
            _GROUP_NUMBERS[session.group],
            capacity,
            session.points_from,
            pack_floats(points[2 * start : 2 * (start + open_points)]),
            stamps[start : start + open_points],
        )
    )
    blocks = capacity // POINT_BLOCK
    sealed = step // POINT_BLOCK
    saved = session.saved_step // POINT_BLOCK
    if saved != sealed:
        for number in range(max(saved, sealed - blocks + 1), sealed):
            start = number % blocks * POINT_BLOCK
            changes[state_key(Kind.POINTS, key, number % (blocks - 1))] = encode_state(
                BlockRecord(
                    FORMAT,
                    number,
                    pack_floats(points[2 * start : 2 * (start + POINT_BLOCK)]),
                    stamps[start : start + POINT_BLOCK],
                )
            )
    if session.stored_slots:
        for slot in range(blocks - 1, session.stored_slots):
            changes[state_key(Kind.POINTS, key, slot)] = None
        session.stored_slots = 0
    session.saved_step = step
    if session.ledger_dirty:
        session.ledger_dirty = False
        changes[_LEDGER + key] = encode_state(_ledger_record(session))
    model = session.model
    if model is not None and model.saved_count != model.count:
        write_model(model, rules.model, key, changes)


def write_model(model: QualityModel, rules: ModelRules, session_key: bytes, changes: Changes) -> None:
    """Put into `changes` what of `model` changed; an empty `session_key` means the shared model."""
    core, samples = model_kinds(session_key)
    count, capacity = model.count, rules.capacity
    open_samples = count % SAMPLE_BLOCK
    start = (count - open_samples) % capacity
    changes[state_key(core, session_key)] = encode_state(
        ModelRecord(
            FORMAT,
            count,
            model.retained_from,
            model.since_fit,
            model.version,
            model.weights,  # type: ignore[arg-type]  # six of them
            capacity,
            pack_floats(model.samples[start * SAMPLE_WIDTH : (start + open_samples) * SAMPLE_WIDTH]),
        )
    )
    blocks = capacity // SAMPLE_BLOCK
    sealed = count // SAMPLE_BLOCK
    for number in range(max(model.saved_count // SAMPLE_BLOCK, sealed - blocks + 1), sealed):
        start = number % blocks * SAMPLE_BLOCK * SAMPLE_WIDTH
        values = pack_floats(model.samples[start : start + SAMPLE_BLOCK * SAMPLE_WIDTH])
        changes[state_key(samples, session_key, number % (blocks - 1))] = encode_state(
            BlockRecord(FORMAT, number, values)
        )
    for slot in range(blocks - 1, model.stored_slots):
        changes[state_key(samples, session_key, slot)] = None
    model.stored_slots = 0
    model.saved_count = count


def session_keys(session: Session, rules: Rules) -> Iterator[bytes]:
    """Every changelog key the session may have: what a tombstone is due for when it is forgotten."""
    key = session.key
    yield state_key(Kind.SESSION, key)
    slots = min(session.step // POINT_BLOCK, rules.point_capacity // POINT_BLOCK - 1)
    for slot in range(max(slots, session.stored_slots)):
        yield state_key(Kind.POINTS, key, slot)
    if session.total_injections or session.emergency_stops:
        yield state_key(Kind.LEDGER, key)
    model = session.model
    if model is not None:
        yield state_key(Kind.MODEL, key)
        slots = min(model.count // SAMPLE_BLOCK, rules.model.capacity // SAMPLE_BLOCK - 1)
        for slot in range(max(slots, model.stored_slots)):
            yield state_key(Kind.SAMPLES, key, slot)


def model_kinds(session_key: bytes) -> tuple[Kind, Kind]:
    """The kinds of a model's core and of its blocks."""
    return (Kind.MODEL, Kind.SAMPLES) if session_key else (Kind.SHARED_MODEL, Kind.SHARED_SAMPLES)


def _ledger_record(session: Session) -> LedgerRecord:
    exploration = session.exploration
    return LedgerRecord(
        FORMAT,
        session.total_injections,
        session.completed,
        session.aborted,
        session.successful,
        session.emergency_stops,
        session.cumulative_gain,
        session.recent_gains,
        None
        if exploration is None
        else ExplorationRecord(
            exploration.injection_id,
            exploration.profile,
            exploration.params,
            exploration.base_factor,
            exploration.entropy_factor,
            exploration.duration_steps,
            exploration.features,  # type: ignore[arg-type]  # six of them
            exploration.performance_before,
            exploration.predicted_gain,
            exploration.model_version,
            exploration.steps_executed,
            exploration.creative_gain,
        ),
    )


class StoredSession:
    """The records of one session as they are read back, in any order."""

    __slots__ = ("core", "ledger", "model", "points", "samples")

    def __init__(self) -> None:
        self.core: SessionRecord | None = None
        self.ledger: LedgerRecord | None = None
        self.model: ModelRecord | None = None
        self.points: dict[int, BlockRecord] = {}
        self.samples: dict[int, BlockRecord] = {}

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
        session.group = GROUPS[core.group] if core.group >= 0 else None
        ring = Ring(core.step, core.point_capacity, core.points_from, POINT_BLOCK, 2)
        session.points = ring.assemble(self.points, core.open_points, rules.point_capacity)
        if rules.keeps_history:
            session.stamps = ring.stamps(self.points, core.open_stamps, rules.point_capacity)
        session.points_from = ring.retained_from
        session.saved_step = ring.saved_count(rules.point_capacity)
        session.stored_slots = len(self.points)
        if self.ledger is not None:
            _take_ledger(session, self.ledger, injector)
        elif session.mode == EXPLORING:
            raise ValueError("it explores and its ledger is missing")
        if self.model is not None:
            session.model = restored_model(self.model, self.samples, rules.model)
        return session


def restored_model(record: ModelRecord, blocks: dict[int, BlockRecord], rules: ModelRules) -> QualityModel:
    """The model of these records. Raises ``ValueError`` where they do not fit together."""
    model = QualityModel()
    ring = Ring(record.count, record.capacity, record.retained_from, SAMPLE_BLOCK, SAMPLE_WIDTH)
    model.samples = ring.assemble(blocks, record.open_samples, rules.capacity)
    model.count = record.count
    model.retained_from = ring.retained_from
    model.since_fit = record.since_fit
    model.version = record.version
    model.weights = record.weights
    model.saved_count = ring.saved_count(rules.capacity)
    model.stored_slots = len(blocks)
    return model


def _take_ledger(session: Session, ledger: LedgerRecord, injector: Injector) -> None:
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
        exploration.multipliers = injector.known_multipliers(stored.profile, stored.duration_steps, stored.params)
    session.exploration = exploration


class Ring:
    """A stored ring of `count` entries, `width` numbers each, laid out for the capacity it had when written."""

    def __init__(self, count: int, capacity: int, retained_from: int, block: int, width: int) -> None:
        if capacity < 2 * block or capacity % block or not 0 <= retained_from <= count or retained_from % block:
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

    def _block(self, blocks: dict[int, BlockRecord], number: int) -> BlockRecord:
        block = blocks.get(number % self.slots)
        if block is None or block.number != number:
            raise ValueError(f"block {number} of a ring is missing")
        return block
