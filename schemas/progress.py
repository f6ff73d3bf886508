"""The engine's own records in the changelog: progress and barrier.

Keys begin with a NUL byte; every other first byte belongs to the fold.  The format is private and versioned, by the
same rule as the fold's records (`schemas.state_records`), with a number of its own.  Format 2 added the application.
"""

from __future__ import annotations

import msgspec
from msgspec import Struct

PROGRESS_KEY = b"\x00progress"
BARRIER_KEY = b"\x00barrier"
RESET_PREFIX = b"\x00reset"
FORMAT = 2


class Progress(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Where a partition stands: written in the same transaction as everything it speaks of.

    ``next_offset``: the next input offset to read.  ``anchor_offset`` and ``anchor_hash`` name the last consumed
    input record (-1 and empty while there was none), so that a resume can tell that the log is still the same log.
    ``marks``: the fold's own per-partition values, opaque here.  ``application_id``: whose changelog this is; empty
    under format 1, which did not say.
    """

    format: int
    application_version: str
    partition_count: int
    next_offset: int
    anchor_offset: int = -1
    anchor_hash: bytes = b""
    marks: bytes = b""
    application_id: str = ""


class Barrier(Struct, frozen=True, array_like=True):
    """Who began a restore; only its offset matters."""

    instance_id: str
    generation: int


class Reset(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """An operator's word that moved the progress from ``previous_offset`` to ``next_offset``; all of them are kept.

    What lies between was skipped, or (where the next one is the lower) was given out a second time.
    """

    format: int
    application_version: str
    previous_offset: int
    next_offset: int


_encoder = msgspec.msgpack.Encoder()
_progress_decoder = msgspec.msgpack.Decoder(Progress)
_reset_decoder = msgspec.msgpack.Decoder(Reset)


def encode_progress(progress: Progress) -> bytes:
    """MessagePack array, about 100 bytes."""
    return _encoder.encode(progress)


def encode_barrier(barrier: Barrier) -> bytes:
    """MessagePack array."""
    return _encoder.encode(barrier)


def decode_progress(value: bytes) -> Progress:
    """Raises ``ValueError`` on bytes that are no progress record, or on a newer format than this one."""
    try:
        progress = _progress_decoder.decode(value)
    except msgspec.DecodeError as error:
        raise ValueError(_newer(value) or f"not a progress record: {error}") from None
    if progress.format > FORMAT:
        raise ValueError(_newer(value))
    return progress


def reset_key(barrier_offset: int) -> bytes:
    """The key of a reset: the changelog offset of the barrier it was decided behind, in the order of time."""
    return RESET_PREFIX + barrier_offset.to_bytes(8, "big")


def encode_reset(reset: Reset) -> bytes:
    """MessagePack array."""
    return _encoder.encode(reset)


def decode_reset(value: bytes) -> Reset:
    """Raises ``ValueError`` on bytes that are no reset, or on a newer format than this one."""
    try:
        reset = _reset_decoder.decode(value)
    except msgspec.DecodeError as error:
        raise ValueError(_newer(value) or f"not a reset: {error}") from None
    if reset.format > FORMAT:
        raise ValueError(_newer(value))
    return reset


def _newer(value: bytes) -> str | None:
    """Who wrote this, where it is a record of a newer format: of that only the first two fields are known."""
    try:
        fields = msgspec.msgpack.decode(value)
    except ValueError:
        return None
    match fields:
        case [int(found), str(version), *_] if found > FORMAT:
            return f"written in format {found} by version {version}, this version reads up to {FORMAT}"
    return None
