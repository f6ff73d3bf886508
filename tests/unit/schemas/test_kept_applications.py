"""What earlier versions wrote on a real Kafka, restored at every one of their commits and gone on from.

An application is kept whole (`tests.golden`): so what this version makes of an old state can be compared with what the
old version itself made of the same input, and with what this version makes of it from the first record on.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path

import pytest

from processor.config import Settings, load_settings
from processor.engine.task import Task
from processor.loop.changelog import MODES
from processor.loop.partition import PartitionFold
from schemas.progress import PROGRESS_KEY, RESET_PREFIX, decode_progress
from schemas.state_records import Kind, LedgerRecord, SessionRecord, decode_state
from tests.golden.kept import Application, kept_applications, read_application, state_alone
from tests.oracle.replay import Expected, Output, replay
from tests.oracle.verdict import folded

pytestmark = pytest.mark.parametrize(
    "file", kept_applications(), ids=lambda file: f"{file.parent.name}/{file.name.split('.')[0]}"
)

application = cache(read_application)
OUTPUTS = ("actions", "metrics", "dead_letters")


def settings_of(kept: Application) -> Settings:
    return load_settings(None, {}, {"topics.partitions": kept.partitions, **kept.settings})


def outputs_of(kept: Application, partition: int) -> dict[str, list[Output]]:
    return {role: [Output(*record[2:]) for record in kept.topics[role][partition]] for role in OUTPUTS}


def between(outputs: dict[str, list[Output]], first: int, end: int) -> dict[str, list[Output]]:
    """Those of input in [first, end)."""
    return {role: [made for made in outputs[role] if first <= source_offset(made) < end] for role in OUTPUTS}


def made_by(expected: Expected) -> dict[str, list[Output]]:
    return {role: getattr(expected, role) for role in OUTPUTS}


def source_offset(output: Output) -> int:
    return int(dict(output.headers)["source.offset"])


def test_this_version_makes_of_the_input_what_was_committed(file: Path) -> None:
    kept = application(file)
    for partition in range(kept.partitions):
        expected = replay(settings_of(kept), {partition: kept.consumed(partition)})[partition]
        assert made_by(expected) == outputs_of(kept, partition)
        assert state_alone(expected.state) == state_alone(folded(kept.topics["changelog"][partition]))


def test_from_every_commit_the_next_one_is_made_again(file: Path) -> None:
    """Restored at each progress record there ever was, the input up to the next one gives its outputs and its state
    records, byte for byte."""
    kept = application(file)
    settings = settings_of(kept)
    commits = 0
    for partition in range(kept.partitions):
        outputs = outputs_of(kept, partition)
        stored: dict[bytes, bytes | None] = {}
        task: Task | None = None
        written: dict[bytes, bytes | None] = {}
        first = 0
        for record in kept.topics["changelog"][partition]:
            assert record.key is not None
            stored[record.key] = record.value
            if record.key != PROGRESS_KEY:
                written[record.key] = record.value
                continue
            end = decode_progress(record.value or b"").next_offset
            if task is not None:
                made = Expected()
                task.fold.process([r for r in kept.consumed(partition) if first <= r.offset < end], made)
                assert made_by(made) == between(outputs, first, end)
                assert state_alone(dict(task.fold.changes())) == state_alone(written)
                commits += 1
            task, written, first = restored(settings, partition, kept.partitions, stored), {}, end
    assert commits >= 80


def restored(settings: Settings, partition: int, partitions: int, stored: Mapping[bytes, bytes | None]) -> Task:
    def fold(number: int) -> PartitionFold:
        return PartitionFold(settings, settings.topics.state, number)

    task = Task(partition, fold, partitions, "now", settings.engine.application_id)
    task.begin_restore()
    for key, value in stored.items():
        task.restore(key, value)
    task.end_restore(0, "changelog")
    return task


def test_every_mode_and_every_kind_of_record_is_in_it(file: Path) -> None:
    kept = application(file)
    logs = kept.topics["changelog"].values()
    states = [folded(log) for log in logs]
    kinds = {key[:1] for state in states for key in state}
    shared = kept.settings.get("quality.scope") == "shared"
    models = {Kind.SHARED_MODEL, Kind.SHARED_SAMPLES} if shared else {Kind.MODEL, Kind.SAMPLES}
    assert kinds >= {Kind.SESSION, Kind.LEDGER, Kind.POINTS, *models}
    cores = [
        decode_state(value, SessionRecord)
        for state in states
        for key, value in state.items()
        if key[:1] == Kind.SESSION.value
    ]
    assert {MODES[core.mode] for core in cores} == set(MODES)
    assert ({core.group for core in cores} == {0, 1}) == shared
    buried = {record.key[:1] for log in logs for record in log if record.value is None and record.key}
    assert buried >= {Kind.SESSION, Kind.LEDGER, Kind.POINTS}
    ledgers = [
        decode_state(v, LedgerRecord) for state in states for k, v in state.items() if k[:1] == Kind.LEDGER.value
    ]
    assert any(ledger.exploration for ledger in ledgers)
    if file.parent.name != "0.1.0-without-eras":
        assert sum(key[:1] == Kind.ERA.value for state in states for key in state) == 2 * kept.partitions
        assert sum(key.startswith(RESET_PREFIX) for state in states for key in state) == len(kept.skipped) == 1
