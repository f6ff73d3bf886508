"""The changelog's state records: a private, versioned format.

A session is one small core record, rewritten whenever it changes, and parts that change seldom: its ledger of
explorations, its quality model, and blocks of ring buffers, each written once when it is full.  Keys are a kind
byte, for blocks a slot, and the session id; keys beginning with NUL belong to the engine.  An era says under which
behaviour the input from its first offset on was processed; its key holds that offset, so that compaction keeps all.

Every record is a MessagePack array that begins with its format. Fields are only added, with defaults, and `FORMAT` is
raised with whatever the version before would not understand: a field, a kind of key, a meaning. A reader refuses a
newer format; and more fields than it knows under a format that it knows, because it would drop what they say and write
the rest back as if it were all. Arrays of floats are little-endian IEEE doubles.
"""

from __future__ import annotations

import sys
from array import array
from enum import Enum
from typing import Final, NamedTuple, TypeVar

import msgspec
from msgspec import Struct

FORMAT: Final = 1


class Kind(bytes, Enum):
    """What a changelog key holds; a block's key continues with its slot, a session's with its id."""

    SESSION = b"s"
    LEDGER = b"l"
    POINTS = b"p"
    MODEL = b"m"
    SAMPLES = b"q"
    SHARED_MODEL = b"M"
    SHARED_SAMPLES = b"Q"
    ERA = b"e"


_KINDS: Final = {kind.value: kind for kind in Kind}
_SLOT_BYTES: Final = {Kind.POINTS: 4, Kind.SAMPLES: 4, Kind.SHARED_SAMPLES: 4, Kind.ERA: 8}
_SHARED: Final = frozenset({Kind.SHARED_MODEL, Kind.SHARED_SAMPLES, Kind.ERA})


class StateKey(NamedTuple):
    """A parsed changelog key; `session_id` is empty for what all sessions share, `slot` 0 for no block.

    An era's slot is its first input offset.
    """

    kind: Kind
    session_id: str
    slot: int


class SessionRecord(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """The core of a session. `mode` and `group` are positions in the loop's lists (group -1: none).

    `point_capacity` is the size of the ring of points when this was written; `open_points` holds the pairs
    of the block not yet full, `open_stamps` their timestamps where a history is kept.
    """

    format: int
    mode: int
    steps_in_mode: int
    step: int
    last_sequence: int
    last_time_ms: int
    last_offset: int
    baseline: float | None
    streak: int
    stream_sequence: int
    group: int
    point_capacity: int
    points_from: int
    open_points: bytes
    open_stamps: list[str | None] = []


class ExplorationRecord(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """The running or the last exploration of a session."""

    injection_id: str
    profile: str
    params: dict[str, float]
    base_factor: float
    entropy_factor: float
    duration_steps: int
    features: tuple[float, float, float, float, float, float]
    performance_before: float
    predicted_gain: float | None
    model_version: int
    steps_executed: int
    creative_gain: float | None


class LedgerRecord(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """What a session's explorations came to."""

    format: int
    total_injections: int
    completed: int
    aborted: int
    successful: int
    emergency_stops: int
    cumulative_gain: float
    recent_gains: tuple[float, ...]
    exploration: ExplorationRecord | None


class ModelRecord(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """A quality model without the sealed blocks of its samples."""

    format: int
    count: int
    retained_from: int
    since_fit: int
    version: int
    weights: tuple[float, float, float, float, float, float] | None
    capacity: int
    open_samples: bytes


class BlockRecord(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """One full block of a ring; `number` counts blocks from 0 over the ring's life, so that a stale slot shows."""

    format: int
    number: int
    values: bytes
    stamps: list[str | None] = []


class EraRecord(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Which behaviour shaped the records from one input offset on, until the next era's.

    ``settings`` is the JSON text that the fingerprint counts (`processor.config.behaviour_text`), ``pretrain_digest``
    of the pretraining file's bytes (empty without one).  ``initial``: the partition had processed nothing before.
    """

    format: int
    first_offset: int
    application_version: str
    fingerprint: bytes
    settings: str
    pretrain_digest: bytes = b""
    initial: bool = False


class Marks(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The fold's part of the progress record: stream time, and the fingerprint of the last records' era."""

    format: int
    stream_time_ms: int
    fingerprint: bytes


AnyRecord = TypeVar("AnyRecord", SessionRecord, LedgerRecord, ModelRecord, BlockRecord, EraRecord, Marks)

encode_state = msgspec.msgpack.Encoder().encode


def state_key(kind: Kind, session_key: bytes = b"", slot: int | None = None) -> bytes:
    """The changelog key of one record; `session_key` is the session id as UTF-8."""
    if slot is None:
        return kind + session_key
    return kind + slot.to_bytes(_SLOT_BYTES[kind], "big") + session_key


def parse_state_key(key: bytes) -> StateKey:
    """What `key` stands for. Raises ``ValueError`` where it is none of this format's keys."""
    kind = _KINDS.get(key[:1])
    if kind is None:
        raise ValueError("unknown kind of state record")
    rest = key[1:]
    slot = 0
    width = _SLOT_BYTES.get(kind)
    if width is not None:
        if len(rest) < width:
            raise ValueError("the key of a block has no slot")
        slot = int.from_bytes(rest[:width], "big")
        rest = rest[width:]
    if (kind in _SHARED) == bool(rest):
        raise ValueError("the key names no session" if not rest else "the key of a shared record names a session")
    return StateKey(kind, rest.decode("utf-8", "surrogatepass"), slot)


def decode_state(value: bytes, record_type: type[AnyRecord]) -> AnyRecord:
    """One state record's value. Raises ``ValueError`` on other bytes and on a newer format."""
    try:
        record = msgspec.msgpack.decode(value, type=record_type)
    except msgspec.DecodeError as error:
        raise ValueError(newer_format(value) or f"not a {record_type.__name__}: {error}") from None
    if record.format > FORMAT:
        raise ValueError(_newer(record.format))
    return record


def decode_marks(value: bytes) -> Marks:
    """The fold's part of a progress record. Raises ``ValueError`` as `decode_state` does."""
    try:
        return decode_state(value, Marks)
    except ValueError as error:
        raise ValueError(f"marks of the progress record: {error}") from None


def newer_format(value: bytes) -> str | None:
    """What to say of a value that a newer version wrote, None where it is no such thing."""
    try:
        fields = msgspec.msgpack.decode(value)
    except ValueError:
        return None
    if isinstance(fields, list) and fields and type(fields[0]) is int and fields[0] > FORMAT:
        return _newer(fields[0])
    return None


def _newer(found: int) -> str:
    return f"written in format {found}, this version reads up to {FORMAT}"


def pack_floats(values: array[float]) -> bytes:
    """Doubles, little-endian."""
    if sys.byteorder == "big":
        values = values[:]
        values.byteswap()
    return values.tobytes()


def unpack_floats(packed: bytes, count: int) -> array[float]:
    """Exactly `count` doubles. Raises ``ValueError`` where there are more or fewer."""
    if len(packed) != 8 * count:
        raise ValueError(f"{len(packed)} bytes where {count} numbers are expected")
    values = array("d", packed)
    if sys.byteorder == "big":
        values.byteswap()
    return values
