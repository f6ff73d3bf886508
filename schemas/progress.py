"""The engine's own records in the changelog: progress and barrier.

Keys begin with a NUL byte; every other first byte belongs to the fold.  The format is private and versioned:
fields are only added, with defaults, and a reader refuses a format newer than its own.
"""

from __future__ import annotations

import msgspec
from msgspec import Struct

PROGRESS_KEY = b"\x00progress"
BARRIER_KEY = b"\x00barrier"
FORMAT = 1


class Progress(Struct, frozen=True, array_like=True):
    """Where a partition stands: written in the same transaction as everything it speaks of.

    ``next_offset``: the next input offset to read.  ``anchor_offset`` and ``anchor_hash`` name the last consumed
    input record (-1 and empty while there was none), so that a resume can tell that the log is still the same log.
    ``marks``: the fold's own per-partition values, opaque here.
    """

    format: int
    application_version: str
    partition_count: int
    next_offset: int
    anchor_offset: int = -1
    anchor_hash: bytes = b""
    marks: bytes = b""


class Barrier(Struct, frozen=True, array_like=True):
    """Who began a restore; only its offset matters."""

    instance_id: str
    generation: int


_encoder = msgspec.msgpack.Encoder()
_progress_decoder = msgspec.msgpack.Decoder(Progress)


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
        raise ValueError(f"not a progress record: {error}") from None
    if progress.format > FORMAT:
        raise ValueError(
            f"written in format {progress.format} by version {progress.application_version}, "
            f"this version reads up to {FORMAT}"
        )
    return progress
