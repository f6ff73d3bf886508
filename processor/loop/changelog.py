"""A session's state as changelog records; `restoring` reads them back.

What is written is a function of the state alone: the open block of a ring travels in the core record, a full
block is written once under its slot. One slot fewer than the ring has blocks is stored, so that every block
whose slot exists is still in memory when the changes are asked for, however long the batch was.
"""

from __future__ import annotations

from collections.abc import Iterator

from processor.loop.experiment import GROUPS, Group
from processor.loop.quality import BLOCK as SAMPLE_BLOCK
from processor.loop.quality import SAMPLE_WIDTH, ModelRules, QualityModel
from processor.loop.rules import POINT_BLOCK, Rules
from processor.loop.session import EMERGENCY, EXPLORING, RECOVERING, STABLE, Session
from schemas.actions import Mode
from schemas.state_records import (
    FORMAT,
    BlockRecord,
    EraRecord,
    ExplorationRecord,
    Kind,
    LedgerRecord,
    ModelRecord,
    SessionRecord,
    encode_state,
    pack_floats,
    state_key,
)

# Positions are stored: append only.
MODES: tuple[Mode, ...] = (STABLE, EXPLORING, RECOVERING, EMERGENCY)
_MODE_NUMBERS = {mode: number for number, mode in enumerate(MODES)}
_GROUP_NUMBERS: dict[Group | None, int] = {None: -1, **{group: number for number, group in enumerate(GROUPS)}}

Changes = dict[bytes, bytes | None]


def write_session(session: Session, rules: Rules, changes: Changes) -> None:
    """Put into `changes` what of `session` changed since the last time, and count it as written."""
    key, step, capacity = session.key, session.step, rules.point_capacity
    open_points = step % POINT_BLOCK
    start = (step - open_points) % capacity
    points, stamps = session.points, session.stamps
    changes[Kind.SESSION + key] = encode_state(
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
        changes[Kind.LEDGER + key] = encode_state(_ledger_record(session))
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


def write_era(era: EraRecord, changes: Changes) -> None:
    """Put into `changes` that another behaviour begins."""
    changes[state_key(Kind.ERA, slot=era.first_offset)] = encode_state(era)


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
