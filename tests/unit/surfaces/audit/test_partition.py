"""The audit says equal where a faultless processor worked, under whatever settings, and sees every other log."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processor.config import Settings
from processor.engine.ports import Header
from processor.surfaces.audit import PartitionReport, Span, audit_partition
from processor.surfaces.audit.span import WHOLE
from schemas.progress import PROGRESS_KEY, encode_progress
from schemas.state_records import EraRecord, Kind, decode_state, encode_state
from tests.unit.surfaces.audit.memory import NOW, Log, Topics, quick
from topology.topics import MAX_TIMESTAMP_AHEAD_MS

SETTINGS = quick()
COUNT = 600


def processed(*runs: tuple[Settings, int]) -> Topics:
    topics = Topics(SETTINGS)
    topics.write(COUNT)
    for one, count in runs or ((SETTINGS, COUNT),):
        topics.process(one, count)
    return topics


async def audited(topics: Topics, given: Settings = SETTINGS, span: Span = WHOLE) -> PartitionReport:
    return await audit_partition(topics.logs, given, 0, span)


async def expect_equal(topics: Topics, given: Settings = SETTINGS, span: Span = WHOLE) -> PartitionReport:
    report = await audited(topics, given, span)
    assert report.verdict == "equal", report
    return report


async def test_faultless_output_and_state_are_equal() -> None:
    topics = processed()
    report = await expect_equal(topics)
    assert report.events == report.end == COUNT
    assert report.compared["actions"] == len(topics.actions.records)
    assert report.compared["metrics"] == len(topics.metrics.records) > 50
    assert report.compared["dead_letters"] == len(topics.dead_letters.records) > 5
    assert report.compared["state"] > 10
    assert report.notes == []


async def test_state_that_nothing_led_to_is_found() -> None:
    topics, others = Topics(SETTINGS), processed()
    stray = next(record for record in others.changelog.records if (record.key or b"")[:1] == Kind.SESSION.value)
    topics.changelog.append(stray.key, stray.value)
    report = await audited(topics)
    assert (report.verdict, report.difference is not None and report.difference.what) == ("different", "state")


async def test_nothing_processed_is_equal() -> None:
    topics = Topics(SETTINGS)
    topics.write(10)
    assert (await expect_equal(topics)).events == 0
    topics.actions.append(b"s", b"{}", [("source.offset", b"3")])
    assert (await audited(topics)).verdict == "equal"  # it may answer an input that is being processed
    topics.actions.append(b"s", b"{}")
    assert (await audited(topics)).verdict == "different"


async def test_only_what_is_committed_is_compared() -> None:
    topics = processed((SETTINGS, 400))
    report = await expect_equal(topics)
    assert (report.end, report.events) == (400, 400)


async def test_a_range_is_compared_without_state() -> None:
    report = await expect_equal(processed(), span=Span(100, 300))
    assert (report.first, report.end, report.events) == (100, 300, 300)
    assert 150 < report.compared["actions"] <= 200
    assert "state" not in report.compared


async def test_a_range_behind_a_foreign_record_is_not_troubled_by_it() -> None:
    topics = processed()
    change(20, headers=())(topics.actions)
    assert (await audited(topics)).verdict == "different"
    await expect_equal(topics, span=Span(100, 300))


@pytest.mark.parametrize("own", [b"5", b"999999", b"of another kind", b"", None])
async def test_a_dead_letter_written_into_the_input_again_keeps_its_place(own: bytes | None) -> None:
    topics = Topics(SETTINGS)
    topics.write(COUNT)
    change(200, value=b"{", headers=(("source.offset", own),))(topics.input)
    topics.process(SETTINGS)
    for span in (WHOLE, Span(0, 100), Span(300, None)):
        await expect_equal(topics, span=span)


async def test_a_range_that_is_not_processed_yet_cannot_be_audited() -> None:
    report = await audited(processed((SETTINGS, 400)), span=Span(0, 401))
    assert report.verdict == "cannot"
    assert report.reason == "it is processed up to input offset 400, not yet up to 401"


# Every way of being different


def lose(at: int) -> Callable[[Log], None]:
    return lambda log: log.records.__delitem__(at)


def repeat(at: int) -> Callable[[Log], None]:
    return lambda log: log.records.insert(at, log.records[at])


def swap(at: int) -> Callable[[Log], None]:
    def swapped(log: Log) -> None:
        log.records[at], log.records[at + 1] = log.records[at + 1], log.records[at]

    return swapped


def change(at: int, **fields: Any) -> Callable[[Log], None]:
    return lambda log: log.records.__setitem__(at, log.records[at]._replace(**fields))


@pytest.mark.parametrize("role", ["actions", "metrics", "dead_letters"])
@pytest.mark.parametrize(
    ("damage", "what"),
    [
        pytest.param(lose(3), "missing", id="lost"),
        pytest.param(lose(0), "missing", id="first lost"),
        pytest.param(lose(-1), "missing", id="last lost"),
        pytest.param(repeat(3), "surplus", id="twice"),
        pytest.param(repeat(-1), "surplus", id="last twice"),
        pytest.param(swap(3), "missing", id="order"),
        pytest.param(change(3, value=b"{}"), "value", id="value"),
        pytest.param(change(3, value=None), "value", id="tombstone"),
        pytest.param(change(3, key=b"other"), "key", id="key"),
        pytest.param(change(3, key=None), "key", id="no key"),
        pytest.param(change(3, headers=()), "surplus", id="no headers"),
        pytest.param(change(3, headers=(("source.offset", b"x"),)), "surplus", id="foreign header"),
        pytest.param(change(3, headers=(("source.offset", None),)), "surplus", id="empty header"),
        pytest.param(change(3, headers=(("source.offset", b"9" * 5000),)), "surplus", id="endless header"),
    ],
)
async def test_every_damage_to_an_output_is_found_and_named(
    role: str, damage: Callable[[Log], None], what: str
) -> None:
    topics = processed()
    log: Log = getattr(topics, role)
    before = list(log.records)
    damage(log)
    report = await audited(topics)
    assert report.verdict == "different"
    found = report.difference
    assert found is not None
    assert (found.topic, found.partition, found.what) == (getattr(SETTINGS.topics, role), 0, what)
    if what in ("key", "value"):
        assert found.offset == before[3].offset
    assert found.input_offset is not None or what == "surplus"


async def test_another_header_is_found() -> None:
    topics = processed()
    record = topics.dead_letters.records[2]
    topics.dead_letters.records[2] = record._replace(headers=(*record.headers, ("more", b"1")))
    found = (await audited(topics)).difference
    assert found is not None
    assert found.what == "headers"
    assert "('more', b'1')" in str(found)


async def test_difference_tells_topic_partition_offset_and_both_values() -> None:
    topics = processed()
    record = topics.actions.records[30]
    assert record.value is not None
    topics.actions.records[30] = record._replace(value=b"foreign")
    said = str((await audited(topics)).difference)
    assert said.startswith(f"tori.actions-0 offset {record.offset} (input offset ")
    assert f"the value differs: replay gives {record.value.decode()}" in said
    assert said.endswith("committed is foreign")


async def test_the_first_difference_by_input_offset_is_told() -> None:
    topics = processed()
    topics.actions.records[100] = topics.actions.records[100]._replace(value=b"later")
    topics.metrics.records[2] = topics.metrics.records[2]._replace(value=b"earlier")
    found = (await audited(topics)).difference
    assert found is not None
    assert found.topic == SETTINGS.topics.metrics


def last_of(log: Log, kind: bytes) -> int:
    return max(index for index, record in enumerate(log.records) if (record.key or b"").startswith(kind))


@pytest.mark.parametrize("kind", [kind.value for kind in Kind if kind.value in b"slpmq"])
@pytest.mark.parametrize("value", [b"\x90", None])
async def test_another_state_is_found(kind: bytes, value: bytes | None) -> None:
    topics = processed()
    change(last_of(topics.changelog, kind), value=value)(topics.changelog)
    report = await audited(topics)
    assert report.verdict == "different"
    assert report.difference is not None
    assert (report.difference.topic, report.difference.what) == (SETTINGS.topics.changelog, "state")


async def test_state_that_should_be_buried_is_found() -> None:
    topics = processed()
    topics.changelog.append(b"sforgotten", b"\x90")
    found = (await audited(topics)).difference
    assert found is not None
    assert found.what == "state"
    assert "'forgotten'" in str(found)


@pytest.mark.parametrize(
    "fields",
    [
        {"next_offset": COUNT + 1},
        {"anchor_offset": COUNT - 2},
        {"anchor_hash": b"other"},
        {"marks": b"\x93\x01\x05\xc4\x00"},
    ],
)
async def test_another_progress_is_found(fields: dict[str, Any]) -> None:
    topics = processed()
    told = {**{name: getattr(topics.progress(), name) for name in topics.progress().__struct_fields__}, **fields}
    topics.changelog.append(PROGRESS_KEY, encode_progress(type(topics.progress())(**told)))
    report = await audited(topics)
    assert report.verdict == "different"
    assert report.difference is not None
    assert (report.difference.what, report.difference.topic) == ("progress", SETTINGS.topics.changelog)


async def test_without_a_progress_record_nothing_can_be_said() -> None:
    topics = processed()
    topics.changelog.records.clear()
    report = await audited(topics)
    assert (report.verdict, "has no progress record" in (report.reason or "")) == ("cannot", True)


async def test_another_partition_count_is_named() -> None:
    report = await audited(processed(), quick(topics={"partitions": 2}))
    assert report.verdict == "cannot"
    assert report.reason == "it was written for 1 partitions, topics.partitions says 2"


async def test_another_application_is_named_and_one_without_a_name_audited() -> None:
    topics = processed()
    report = await audited(topics, quick(engine={"application_id": "other"}))
    place = f"changelog {SETTINGS.topics.changelog}-0"
    assert report.verdict == "cannot"
    assert f"{place} belongs to application 'creative-feedback', this is 'other'" in (report.reason or "")
    nameless = msgspec.structs.replace(topics.progress(), format=1, application_id="")
    topics.changelog.append(PROGRESS_KEY, encode_progress(nameless))
    assert (await audited(topics, quick(engine={"application_id": "other"}))).verdict == "equal"


# Eras

OTHERS = [
    quick(loop={"recovery_steps": 9}),
    quick(streaming={"interval_steps": 2, "trend_window": 300}),
    quick(quality={"max_history": 5, "min_samples": 2}, experiment={"mode": "ab"}),
    quick(profiles={"params_mode": "adaptive", "hints": True}, engine={"session_ttl": "1d"}),
    SETTINGS,
]


async def test_settings_of_the_time_are_taken_from_the_log() -> None:
    topics = processed((SETTINGS, 250), (OTHERS[0], 150), (OTHERS[1], 200))
    report = await expect_equal(topics, given=OTHERS[2])
    assert (report.events, report.notes) == (COUNT, [])


@settings(max_examples=15, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(OTHERS), st.integers(1, 200)), min_size=1, max_size=5), st.data())
def test_any_restarts_and_changes_of_settings_are_followed(
    runs: list[tuple[Settings, int]], data: st.DataObject
) -> None:
    topics = processed(*runs)
    asyncio.run(expect_equal(topics))
    end = topics.position
    start = data.draw(st.integers(0, end - 1))
    asyncio.run(expect_equal(topics, span=Span(start, data.draw(st.integers(start + 1, end)))))


def without_eras(topics: Topics) -> None:
    log = topics.changelog
    log.records = [record for record in log.records if (record.key or b"")[:1] != Kind.ERA.value]


async def test_what_an_early_version_did_not_record_is_assumed_and_said() -> None:
    topics = processed((SETTINGS, 250))
    without_eras(topics)
    topics.process(OTHERS[0])
    report = await expect_equal(topics)
    assert report.notes == ["the settings before input offset 250 are not recorded: taken to be the given ones"]


async def test_a_difference_under_assumed_settings_is_no_verdict() -> None:
    topics = processed()
    without_eras(topics)
    report = await audited(topics, OTHERS[1])
    assert report.verdict == "cannot"
    assert (report.reason or "").startswith("not all settings of the time are recorded, and under the given ones tori.")


async def test_another_state_under_assumed_settings_is_no_verdict_either() -> None:
    topics = Topics(SETTINGS)
    topics.write(1, [plain("old")])
    topics.write(COUNT)
    for at in range(1, COUNT):
        change(at, timestamp=NOW + 10_000)(topics.input)
    topics.process(quick(engine={"session_ttl": "1s"}))
    without_eras(topics)
    report = await audited(topics)
    assert (report.verdict, "the state differs" in (report.reason or "")) == ("cannot", True)


def with_era(topics: Topics, **fields: Any) -> None:
    [at] = [index for index, record in enumerate(topics.changelog.records) if (record.key or b"")[:1] == b"e"]
    era = decode_state(topics.changelog.records[at].value or b"", EraRecord)
    told = {name: getattr(era, name) for name in era.__struct_fields__}
    change(at, value=encode_state(EraRecord(**{**told, **fields})))(topics.changelog)


async def test_another_version_is_derived_with_this_one_and_said() -> None:
    topics = processed()
    with_era(topics, application_version="0.0.9")
    [note] = (await expect_equal(topics)).notes
    assert note.startswith("from input offset 0 on version 0.0.9 wrote; re-derived with ")


@pytest.mark.parametrize(
    "text",
    [
        '{"engine.session_ttl_ms":1000,"loop.later":1}',
        '{"engine.session_ttl_ms":1000,"loop.debug":"\\ud800"}',
        '{"loop.debug":1}',
        "[" * 100_000,
        "x",
    ],
    ids=range(5),
)
async def test_settings_of_a_later_version_cannot_be_audited(text: str) -> None:
    topics = processed()
    with_era(topics, settings=text, application_version="9.0")
    report = await audited(topics)
    assert report.verdict == "cannot"
    assert (report.reason or "").startswith(
        "the behaviour from input offset 0 on, recorded by version 9.0, cannot be had: "
    )


async def test_what_comes_before_an_era_that_cannot_be_had_is_compared() -> None:
    own = quick(profiles={"selector": "tests.unit.loop.customs:rising"})
    topics = processed((SETTINGS, 300), (own, 300))
    at = last_of(topics.changelog, b"e")
    stored = topics.changelog.records[at].value
    assert stored is not None
    change(at, value=stored.replace(b"customs:rising", b"customs:fallen"))(topics.changelog)
    report = await audited(topics)
    assert (report.verdict, report.end, report.events) == ("cannot", 300, 300)
    assert report.compared["actions"] > 250
    assert "tests.unit.loop.customs:fallen" in (report.reason or "")


async def test_functions_of_ones_own_are_imported_and_said() -> None:
    own = quick(profiles={"custom": {"rising": "tests.unit.loop.customs:rising"}, "selection": "rising"})
    [note] = (await expect_equal(processed((own, COUNT)))).notes
    assert note.endswith("functions take part whose version is not recorded: tests.unit.loop.customs:rising")


async def test_the_pretraining_file_must_be_the_one_of_the_time(tmp_path: Path) -> None:
    history, other = tmp_path / "history.json", tmp_path / "other.json"
    known = {"entropy_factor": 0.5, "duration": 100, "final_performance": 0.9}
    records = [{"initial_state": {"novelty": number / 9}, **known} for number in range(9)]
    history.write_text(json.dumps({"session_id": "session-00001", "records": records}))
    other.write_text("[]")
    topics = processed((quick(quality={"pretrain_file": str(history)}), COUNT))
    moved = history.rename(tmp_path / "moved.json")

    await expect_equal(topics, quick(quality={"pretrain_file": str(moved)}))
    for without, said in (
        (SETTINGS, "as quality.pretrain_file"),
        (quick(quality={"pretrain_file": str(other)}), "digest"),
    ):
        report = await audited(topics, without)
        assert report.verdict == "cannot"
        assert said in (report.reason or "")


# Retention


def plain(name: str, novelty: float = 0.9) -> tuple[bytes, bytes]:
    return name.encode(), b'{"session_id": "%s", "state": {"novelty": %.2f}}' % (name.encode(), novelty)


def with_late_sessions() -> Topics:
    topics = processed()
    topics.write(40, [plain("late", number / 40) for number in range(40)])
    topics.write(300)
    topics.process(OTHERS[0])
    return topics


async def test_behind_retention_only_sessions_that_began_later_are_audited() -> None:
    topics = with_late_sessions()
    topics.input.cut(500)
    report = await expect_equal(topics)
    assert (report.first, report.events) == (500, 440)
    assert report.passed_over > 200
    assert report.sessions_passed_over == 5
    assert report.compared["actions"] == 40
    assert report.compared["dead_letters"] > 0
    assert "state" not in report.compared


@pytest.mark.parametrize("role", ["actions", "metrics"])
async def test_behind_retention_a_changed_record_of_such_a_session_is_found(role: str) -> None:
    topics = with_late_sessions()
    topics.input.cut(500)
    log: Log = getattr(topics, role)
    at = [index for index, record in enumerate(log.records) if record.key == b"late"][2]
    change(at, value=b"{}")(log)
    report = await audited(topics)
    assert report.verdict == "different"
    assert report.difference is not None
    assert report.difference.offset == log.records[at].offset


DEEP = b"\x91" * 100_000


@pytest.mark.parametrize(
    ("value", "headers"),
    [
        (b"[" * 100_000, ()),
        (DEEP, (("content-type", b"application/msgpack"),)),
        (b"{}", (("content-type", b"text/plain"),)),
        (None, ()),
    ],
)
async def test_hostile_records_are_no_evidence_and_no_harm(value: bytes | None, headers: tuple[Header, ...]) -> None:
    topics = with_late_sessions()
    topics.input.cut(500)
    at = next(index for index, record in enumerate(topics.actions.records) if record.key == b"late")
    headers = (*topics.actions.records[at].headers, *headers)
    change(at, value=value, headers=headers)(topics.actions)
    assert (await audited(topics)).verdict == "equal"  # the session is followed from nowhere, then
    whole = processed()
    whole.changelog.append(b"shostile", DEEP)
    assert (await audited(whole)).verdict == "different"


async def test_behind_retention_a_time_that_a_lost_record_set_ends_no_session_falsely() -> None:
    """The first record, an hour ahead, is gone: what it ended must not be taken for something that goes on."""
    settings = quick(engine={"session_ttl": "10m"})
    topics = Topics(settings)
    topics.write(12, [plain("early"), plain("other"), *[plain("late")] * 10])
    ahead_ms = MAX_TIMESTAMP_AHEAD_MS
    times_ms = [ahead_ms, 0, *(minutes * 60_000 for minutes in (11, 22, 33, 44, 55, 65, 66, 67, 80, 81))]
    records = topics.input.records
    records[:] = [record._replace(timestamp=NOW + ms) for record, ms in zip(records, times_ms, strict=True)]
    topics.process(settings)
    topics.input.cut(1)
    report = await expect_equal(topics, settings)
    assert (report.passed_over, report.compared["actions"]) == (9, 2)  # from the first one that began anew


async def test_with_a_shared_model_nothing_is_auditable_behind_retention() -> None:
    topics = processed((quick(quality={"scope": "shared"}), COUNT))
    await expect_equal(topics)
    topics.input.cut(1)
    report = await audited(topics)
    assert (report.verdict, "quality.scope = shared" in (report.reason or "")) == ("cannot", True)


async def test_input_that_is_gone_altogether_cannot_be_audited() -> None:
    topics = processed()
    topics.input.cut(COUNT)
    report = await audited(topics)
    assert (report.verdict, "is gone" in (report.reason or "")) == ("cannot", True)


@pytest.mark.parametrize("left", [0, 1, 100])
async def test_outputs_cut_by_retention_are_compared_from_where_they_begin(left: int) -> None:
    topics = processed()
    topics.actions.cut(topics.actions.records[-left].offset if left else topics.actions.end)
    report = await expect_equal(topics)
    assert report.compared["actions"] == left
    assert report.compared["metrics"] > 50
    assert len(report.notes) == 1
    if left:
        topics.actions.records[-1] = topics.actions.records[-1]._replace(value=b"{}")
        assert (await audited(topics)).verdict == "different"


async def test_a_changelog_without_its_beginning_is_said() -> None:
    topics = processed()
    topics.changelog.cut(2)
    assert any("the state was not compared" in note for note in (await audited(topics)).notes)
