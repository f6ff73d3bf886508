"""An era says in the log which behaviour shaped the records from its first offset on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from processor.config import APPLICATION_VERSION, Settings, behaviour_text, settings_from
from processor.errors import Refused
from schemas.state_records import FORMAT, EraRecord, Kind, decode_marks, decode_state, encode_state, state_key
from tests.unit.loop.play import CALM
from tests.unit.loop.streams import Collected, Run, apply_changes, restored, run, state_records

QUICK = settings_from({"loop": {"recovery_steps": 5}})


def eras(changelog: dict[bytes, bytes]) -> list[EraRecord]:
    found = [decode_state(value, EraRecord) for key, value in changelog.items() if key[:1] == Kind.ERA.value]
    return sorted(found, key=lambda era: era.first_offset)


def continued(earlier: Run, settings: Settings, first: int, count: int = 2) -> Run:
    """The same partition under other settings, from input offset `first` on."""
    changelog = dict(earlier.changelog)
    fold = restored(settings, changelog, earlier.marks)
    records = state_records([("s", CALM)] * count)
    for number, record in enumerate(records):
        record.offset, record.timestamp = first + number, 1000 + first + number
    out = Collected()
    fold.process(records, out)
    apply_changes(changelog, fold.changes())
    return Run(out, changelog, fold.marks(), {}, fold)


def first_run(settings: Settings, count: int = 3) -> Run:
    return continued(run(settings, []), settings, 7, count)


def test_first_records_begin_the_first_era() -> None:
    [era] = eras(first_run(QUICK).changelog)
    assert (era.first_offset, era.initial, era.application_version) == (7, True, APPLICATION_VERSION)
    assert era.settings == behaviour_text(QUICK)
    assert era.fingerprint == run(QUICK, []).fold.fingerprint
    assert era.pretrain_digest == b""


def test_no_record_no_era_and_one_is_enough() -> None:
    assert eras(run(QUICK, []).changelog) == []
    first = first_run(QUICK)
    assert list(first.fold.changes()) == []
    assert eras(continued(first, QUICK, 10).changelog) == eras(first.changelog)


def test_another_behaviour_begins_another_era_at_its_first_record() -> None:
    first = first_run(QUICK)
    second = continued(first, Settings(), 10)
    third = continued(second, QUICK, 20)
    found = eras(third.changelog)
    assert [(era.first_offset, era.initial) for era in found] == [(7, True), (10, False), (20, False)]
    assert [era.settings for era in found] == [behaviour_text(QUICK), behaviour_text(Settings()), behaviour_text(QUICK)]


def test_what_does_not_change_behaviour_begins_no_era() -> None:
    patient = settings_from({"loop": {"recovery_steps": 5}, "engine": {"commit_interval_ms": 90}})
    assert len(eras(continued(first_run(QUICK), patient, 10).changelog)) == 1


def test_another_version_begins_another_era(monkeypatch: pytest.MonkeyPatch) -> None:
    first = first_run(QUICK)
    monkeypatch.setattr("processor.loop.partition.APPLICATION_VERSION", "99.0")
    found = eras(continued(first, QUICK, 10).changelog)
    assert [era.application_version for era in found] == [APPLICATION_VERSION, "99.0"]


def test_another_content_of_the_pretraining_file_begins_another_era(tmp_path: Path) -> None:
    history = tmp_path / "history.json"
    settings = settings_from({"quality": {"pretrain_file": str(history)}})
    history.write_text('{"records": []}')
    first = first_run(settings)
    history.write_text('{"records": [ ]}')
    found = eras(continued(first, settings, 10).changelog)
    assert found[0].settings == found[1].settings
    assert len({era.pretrain_digest for era in found} | {b""}) == 3


def test_state_written_before_there_were_eras_has_one_from_now_on() -> None:
    first = first_run(QUICK)
    del first.changelog[state_key(Kind.ERA, slot=7)]
    [era] = eras(continued(first, QUICK, 10).changelog)
    assert (era.first_offset, era.initial) == (10, False)


def test_a_partition_whose_position_moved_without_records_has_not_begun() -> None:
    idle = run(QUICK, [])
    [era] = eras(continued(Run(idle.out, {}, idle.marks, {}, idle.fold), QUICK, 30).changelog)
    assert era.initial


def test_marks_name_the_era_of_the_last_records() -> None:
    first = first_run(QUICK)
    other = restored(Settings(), first.changelog, first.marks)
    assert other.configuration_changed
    assert other.marks() == first.marks
    assert decode_marks(continued(first, Settings(), 10).marks).fingerprint == other.fingerprint


def era_record(**fields: Any) -> bytes:
    plain: dict[str, Any] = {"format": FORMAT, "first_offset": 3, "application_version": "1", "fingerprint": b""}
    return encode_state(EraRecord(**{**plain, "settings": "{}", **fields}))


@pytest.mark.parametrize("value", [None, era_record(first_offset=4), era_record(format=FORMAT + 1), b"\x90"])
def test_eras_that_cannot_be_are_refused(value: bytes | None) -> None:
    fold = run(QUICK, []).fold
    with pytest.raises(Refused, match="state record"):
        fold.restore(state_key(Kind.ERA, slot=3), value)
