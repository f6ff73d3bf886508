"""The changelog of every released format is read for ever.

``tests/golden/state_format_1.json`` holds the changelog of a few sessions, and what was known of them. It was
written once by the version that had the format and is never written again.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import msgspec
import pytest

import tests
from processor.config import settings_from
from processor.loop.figures import creative_metrics
from processor.loop.partition import PartitionFold
from schemas.state_records import FORMAT, pack_floats, unpack_floats

GOLDEN = Path(tests.__file__).parent / "golden" / "state_format_1.json"


def restored_golden() -> tuple[dict[str, Any], PartitionFold]:
    golden = json.loads(GOLDEN.read_text())
    fold = PartitionFold(settings_from(golden["settings"]), "tori.state", 0)
    for key, value in golden["changelog"].items():
        fold.restore(bytes.fromhex(key), bytes.fromhex(value))
    fold.restored(bytes.fromhex(golden["marks"]))
    return golden, fold


def test_state_of_format_1_is_understood() -> None:
    golden, fold = restored_golden()
    assert fold.stream_time_ms == golden["stream_time_ms"]
    figures = {
        name: msgspec.to_builtins(creative_metrics(session, fold.loop)) for name, session in fold.sessions.items()
    }
    assert figures == golden["figures"]
    shared = fold.shared_model
    assert shared is not None
    assert list(shared.weights or ()) == golden["shared_weights"]


def test_format_1_is_still_what_is_written() -> None:
    golden, fold = restored_golden()
    assert FORMAT == 1
    for session in fold.sessions.values():
        session.saved_step = 0
        session.ledger_dirty = True
        session.dirty = True
        fold._dirty.append(session)
    assert fold.shared_model is not None
    fold.shared_model.saved_count = 0
    changes = {key.hex(): value.hex() for key, value in fold.changes() if value is not None}
    assert changes == golden["changelog"]


@pytest.mark.parametrize("numbers", [[], [0.1], [1.5, -2.25, 1e300]])
def test_floats_are_little_endian_doubles(numbers: list[float]) -> None:
    values = unpack_floats(struct.pack(f"<{len(numbers)}d", *numbers), len(numbers))
    assert list(values) == numbers
    assert unpack_floats(pack_floats(values), len(numbers)) == values
    with pytest.raises(ValueError, match="numbers are expected"):
        unpack_floats(pack_floats(values) + b"\0", len(numbers))
