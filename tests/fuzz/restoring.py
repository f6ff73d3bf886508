"""Changelogs that are not what was written: a refusal by name, or a state that works and can be stored again."""

from __future__ import annotations

import math
from functools import cache
from random import Random
from time import thread_time_ns
from typing import Any, cast

import msgspec

from processor.config import Settings
from processor.engine.ports import Fold
from processor.engine.task import Task
from processor.errors import Refused
from processor.loop.partition import PartitionFold
from schemas.progress import PROGRESS_KEY
from tests.fuzz.configurations import settings_of
from tests.fuzz.damage import damaged
from tests.fuzz.grammar import Grammar
from tests.fuzz.inputs import Placed, placed
from tests.fuzz.outcome import MAX_CPU_NS, PARTITION, TOPIC, Outputs

Log = dict[bytes, bytes]

CONFIGURATIONS = ("quick", "history", "shared", "default")
MAX_CHANGES = 2_000  # of a few sessions after a few events
_WHOLE = (0, 1, -1, 2, 15, 16, 17, 255, 2**31, 2**32, 2**53, 2**62, 2**63 - 1, 2**63, 2**64 - 1, -(2**63))
_OTHER: tuple[Any, ...] = (
    *(None, True, 0.0, -0.0, 0.5, 1.5, -1.0, 1e300, math.nan, math.inf, -math.inf, "", "s0", b"", b"\x00" * 8),
    *(b"\xff" * 128, b"\x00" * 256, [], [0.5] * 6, [math.nan] * 6, {}, {"decay_rate": math.nan}, ["x"] * 40),
)


def fuzz_changelogs(dice: Random, count: int) -> list[str]:
    """`count` damaged changelogs, each restored, worked on and restored again."""
    findings = []
    for _ in range(count):
        name = dice.choice(CONFIGURATIONS)
        changelog, following = _written(name)
        broken = dict(changelog)
        what = [_break(dice, broken) for _ in range(1 + int(dice.random() * 2))]
        complaint = _complaint(settings_of(name), broken, following)
        if complaint is not None:
            findings.append(f"changelog of {name!r} with {'; '.join(what)}: {complaint}")
    return findings


@cache
def _written(name: str) -> tuple[Log, list[Placed]]:
    """A changelog as the processor writes it, its progress record included, and events that follow."""
    inputs = placed(Grammar(Random(name), (), large=False).inputs(700))
    task = _task(settings_of(name))
    task.fold.process(inputs[:600], Outputs())  # type: ignore[arg-type]  # header values may be null
    task.consumed(inputs[:600], 600)  # type: ignore[arg-type]  # as above
    changelog: Log = {key: value for key, value in task.fold.changes() if value is not None}
    changelog[PROGRESS_KEY] = task.progress()
    return changelog, inputs[600:640]


def _task(settings: Settings) -> Task:
    def fold(partition: int) -> Fold:
        return cast(Fold, PartitionFold(settings, TOPIC, partition))

    return Task(PARTITION, fold, 6, "fuzz", settings.engine.application_id)


def _restored(settings: Settings, changelog: Log) -> Task:
    """Raises what the restore raises."""
    task = _task(settings)
    task.begin_restore()
    for key, value in changelog.items():
        task.restore(key, value)
    task.end_restore(0, "changelog")
    return task


def _complaint(settings: Settings, changelog: Log, following: list[Placed]) -> str | None:
    began = thread_time_ns()
    try:
        task = _restored(settings, changelog)
    except Refused as refused:
        return None if str(refused).isprintable() else f"a refusal of more than one line: {refused}"
    except Exception as error:
        return f"the restore raised {error!r}"
    try:
        task.fold.process(following, Outputs())  # type: ignore[arg-type]  # header values may be null
        changes = []
        for change in task.fold.changes():
            changes.append(change)
            if len(changes) > MAX_CHANGES:
                return f"more than {MAX_CHANGES} changes after {len(following)} events"
        again = dict(changelog)
        for key, changed in changes:
            again.pop(key, None)
            if changed is not None:
                again[key] = changed
        again[PROGRESS_KEY] = task.progress()
    except Exception as error:
        return f"accepted, and then the fold raised {error!r}"
    spent = thread_time_ns() - began
    if spent > MAX_CPU_NS:
        return f"{spent // 1_000_000} ms of CPU time"
    try:
        _restored(settings, again)
    except Refused as refused:
        return f"accepted, and what it wrote itself is refused: {refused}"
    return None


def _break(dice: Random, changelog: Log) -> str:
    """Change one thing; returns what."""
    keys = list(changelog)
    key = dice.choice(keys) if dice.random() < 0.9 else PROGRESS_KEY
    value = changelog.get(key)
    if value is None:
        return "nothing"
    kind = int(dice.random() * 10)
    if kind == 0:
        del changelog[key]
        return f"{key!r} removed"
    if kind == 1:
        other = dice.choice(keys)
        changelog[key] = changelog.get(other, b"")
        return f"{key!r} with the value of {other!r}"
    if kind == 2:
        moved = damaged(dice, key, value[:8])
        changelog[moved] = value
        return f"{key!r} repeated as {moved!r}"
    if kind == 3:
        changelog[key] = damaged(dice, value, changelog[dice.choice(list(changelog))])
        return f"{key!r} damaged to {changelog[key]!r:.300}"
    try:
        fields = msgspec.msgpack.decode(value)
    except ValueError:
        fields = None
    if not isinstance(fields, list) or not fields:
        return "nothing"  # it is damaged already
    place = _replace(dice, fields)
    changelog[key] = msgspec.msgpack.encode(fields)
    return f"{key!r} with {place}"


def _replace(dice: Random, fields: list[Any]) -> str:
    """Another value somewhere in a record; returns where and what."""
    index = int(dice.random() * len(fields))
    if isinstance(fields[index], list) and fields[index] and dice.random() < 0.7:
        return f"[{index}]{_replace(dice, fields[index])}"
    kind = int(dice.random() * 8)
    if kind == 0:
        del fields[index:]
        return f"[{index}:] cut"
    before = fields[index]
    if isinstance(before, bytes) and kind < 6:
        fields[index] = _other_bytes(dice, before)
    elif type(before) is int and kind < 6:
        fields[index] = dice.choice(_WHOLE) if kind < 4 else before + dice.choice((-16, -1, 1, 16))
    else:
        fields[index] = dice.choice(_OTHER if kind < 7 else _WHOLE)
    return f"[{index}] {before!r:.80} -> {fields[index]!r:.80}"


def _other_bytes(dice: Random, before: bytes) -> bytes:
    kind = int(dice.random() * 4)
    if kind == 0:
        return before[:-8]
    if kind == 1:
        return before + before[:8]
    at = int(dice.random() * (len(before) // 8 + 1)) * 8
    number = msgspec.msgpack.encode(dice.choice((math.nan, math.inf, 1e300, -1.0, 0.5)))[:0:-1]
    return before[:at] + number + before[at + 8 :]
