"""State that nobody wrote: refused by name before a record is folded, never an error or endless work later."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest

from processor.config import Settings, settings_from
from processor.errors import Refused
from schemas.state_records import Kind, state_key
from tests.unit.loop.play import NOVEL
from tests.unit.loop.streams import Run, restored, run, state_records

QUICK: dict[str, dict[str, Any]] = {
    "loop": {"max_exploration_steps": 10, "recovery_steps": 0, "stable_patience_steps": 1},
    "profiles": {"selection": "pulse"},
}


def explored(count: int = 125) -> tuple[Settings, Run]:
    settings = settings_from(QUICK)
    return settings, run(settings, state_records([("s", NOVEL)] * count))


def changed(value: bytes, path: tuple[int, ...], new: Any) -> bytes:
    fields = msgspec.msgpack.decode(value)
    inner = fields
    for index in path[:-1]:
        inner = inner[index]
    inner[path[-1]] = new
    return msgspec.msgpack.encode(fields)


@pytest.mark.parametrize(
    ("kind", "path", "new", "why"),
    [
        (Kind.SESSION, (2,), -1, "counts"),
        (Kind.SESSION, (3,), 2**64 - 1, "dimensions"),
        (Kind.SESSION, (9,), 2**63, "counts"),
        (Kind.SESSION, (7,), math.nan, "numbers"),
        (Kind.SESSION, (11,), 2**40, "dimensions"),
        (Kind.LEDGER, (1,), 2**64 - 1, "counts"),
        (Kind.LEDGER, (6,), math.inf, "numbers"),
        (Kind.LEDGER, (8,), None, "exploration is missing"),
        (Kind.LEDGER, (8, 2), {}, "parameters"),
        (Kind.LEDGER, (8, 6), [math.nan] * 6, "numbers"),
        (Kind.LEDGER, (8, 7), 1e300, "numbers"),
        (Kind.MODEL, (4,), -1, "counts"),
        (Kind.MODEL, (7,), msgspec.msgpack.encode(math.nan)[:0:-1] * 70, "numbers"),
    ],
)
def test_impossible_values_are_refused(kind: Kind, path: tuple[int, ...], new: Any, why: str) -> None:
    settings, result = explored()
    assert result.fold.sessions["s"].mode == "exploring"
    assert result.fold.sessions["s"].model is not None
    assert result.fold.sessions["s"].model.count == 10
    restored(settings, result.changelog, result.marks)
    key = state_key(kind, b"s")
    changelog = {**result.changelog, key: changed(result.changelog[key], path, new)}
    with pytest.raises(Refused, match=rf"state of session 's'.*{why}"):
        restored(settings, changelog, result.marks)


@pytest.mark.parametrize("slot", [1_000, 2**32 - 1])
def test_a_block_in_a_slot_that_its_ring_does_not_have_is_refused(slot: int) -> None:
    settings, result = explored()
    block = result.changelog[state_key(Kind.POINTS, b"s", 0)]
    changelog = {**result.changelog, state_key(Kind.POINTS, b"s", slot): block}
    with pytest.raises(Refused, match=rf"state of session 's': a block lies in slot {slot} of a ring of"):
        restored(settings, changelog, result.marks)
