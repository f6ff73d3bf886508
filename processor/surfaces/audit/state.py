"""A changelog's state and progress against those that the replay comes to."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from processor.surfaces.audit.report import Difference
from processor.surfaces.audit.stored import StoredState
from schemas.errors import InvalidRecord
from schemas.nesting import check_msgpack_depth
from schemas.state_records import parse_state_key

MOST_NESTED = 32
Place = tuple[str, int]  # topic and partition


def compare_state(
    place: Place, derived: Mapping[bytes, bytes], stored: Mapping[bytes, tuple[int, bytes]]
) -> Difference | None:
    """The difference at the lowest key."""
    for key in sorted(derived.keys() | stored.keys()):
        expected = derived.get(key)
        offset, found = stored.get(key, (None, None))
        if expected != found:
            return Difference(*place, offset, None, "state", _told(key, expected), _told(key, found))
    return None


def compare_progress(
    place: Place, stored: StoredState, anchor: tuple[int, bytes], marks: bytes | None
) -> Difference | None:
    """``anchor``: offset and hash of the last input record; ``marks``: the fold's values, None where unknown."""
    progress = stored.progress
    expected, found = f"last input offset {anchor[0]}", f"last input offset {progress.anchor_offset}"
    if expected == found and progress.anchor_hash != anchor[1]:
        expected, found = f"its hash {anchor[1].hex()}", f"its hash {progress.anchor_hash.hex()}"
    if expected == found and marks is not None and progress.marks != marks:
        expected, found = f"marks {_decoded(marks)}", f"marks {_decoded(progress.marks)}"
    if expected == found:
        return None
    return Difference(*place, stored.progress_offset, progress.next_offset, "progress", expected, found)


def _told(key: bytes, value: bytes | None) -> str | None:
    if value is None:
        return None
    try:
        kind, session_id, slot = parse_state_key(key)
        name = f"{kind.name.lower()} record of {session_id!r} slot {slot}"
    except ValueError:
        name = f"key {key!r}"
    return f"{name}: {_decoded(value)}"


def _decoded(value: bytes) -> str:
    try:
        check_msgpack_depth(value, MOST_NESTED)
        text = repr(msgspec.msgpack.decode(value))
    except (InvalidRecord, ValueError):
        text = repr(value)
    return text if len(text) <= 400 else text[:400] + "…"
