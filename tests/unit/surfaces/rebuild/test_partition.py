"""What is rebuilt from the input is what was lost, and where that cannot be it is said by name."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from processor.config import Settings
from processor.surfaces.audit import audit_partition
from processor.surfaces.audit.outputs import source_of
from processor.surfaces.rebuild import Words
from processor.surfaces.rebuild.refolding import TAKEN_EVERY_RECORDS
from schemas.progress import PROGRESS_KEY, Progress, decode_progress, encode_progress
from schemas.state_records import EraRecord, Kind, decode_state
from tests.unit.surfaces.audit.memory import Topics, quick
from tests.unit.surfaces.rebuild.lost import (
    COUNT,
    NO_WORDS,
    SETTINGS,
    expect_same,
    held,
    lose,
    put_back,
    rebuilt,
    standing,
    state_of,
    worked,
)

INCOMPLETE, UNVERIFIED, REPLACE = Words(accept_incomplete=True), Words(accept_unverified=True), Words(replace=True)
OTHERWISE = quick(loop={"recovery_steps": 9})


@pytest.mark.parametrize(
    "sections",
    [
        {},
        {"quality": {"scope": "shared"}},
        {"streaming": {"include_history": True}},
        {"streaming": {"interval_steps": 0}},
        {"experiment": {"mode": "ab"}},
        {"loop": {"debug": True}},
    ],
)
async def test_rebuilt_state_and_progress_are_those_that_were_lost(sections: dict[str, dict[str, Any]]) -> None:
    settings = quick(**sections)
    topics = worked(settings)
    lost = lose(topics)
    report, state = await rebuilt(topics, settings)
    assert state is not None
    assert (report.events, report.first, report.end, report.basis) == (COUNT, 0, COUNT, "group")
    assert report.compared["actions"] == len(topics.actions.records)
    assert report.compared["metrics"] == len(topics.metrics.records)
    assert report.sessions == sum(key[:1] == Kind.SESSION.value for key in lost)
    assert report.state == len(lost) - 1
    expect_same(state, lost)


async def test_sessions_that_expired_are_not_rebuilt() -> None:
    settings = quick(engine={"session_ttl": "2s"})
    topics = Topics(settings, sessions=300)
    for batch in range(30):
        topics.write(20)
        topics.input.records[-20:] = [
            record._replace(timestamp=record.timestamp + 1_000 * batch) for record in topics.input.records[-20:]
        ]
    topics.process(settings)
    lost = lose(topics)
    state = await state_of(topics, settings)
    expect_same(state, lost)
    assert len(state.state) < len({record.key for record in topics.input.records})


async def test_sessions_are_as_they_were_however_often_their_changes_were_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    topics = worked()
    lost = lose(topics)
    assert COUNT < TAKEN_EVERY_RECORDS
    for records in (1, COUNT - 1):
        monkeypatch.setattr("processor.surfaces.rebuild.refolding.TAKEN_EVERY_RECORDS", records)
        expect_same(await state_of(topics), dict(lost))


async def test_the_work_goes_on_as_if_nothing_had_been_lost() -> None:
    topics, twin = worked(processed=350), worked(processed=350)
    lose(topics)
    put_back(topics, await state_of(topics))
    for one in (topics, twin):
        one.process(SETTINGS)
    assert topics.actions.records == twin.actions.records
    assert topics.metrics.records == twin.metrics.records
    audited = await audit_partition(topics.logs, SETTINGS, 0)
    assert (audited.verdict, audited.notes) == ("equal", [])
    assert audited.compared["state"] > 10


async def test_without_the_groups_offset_the_last_answered_input_says_how_far_it_was() -> None:
    """What follows it without an answer are duplicates, which change nothing when they are processed once more."""
    topics, twin = worked(), worked()
    repeated = next(record for record in reversed(topics.input.records) if b'"sequence"' in (record.value or b""))
    for one in (topics, twin):
        answered = one.input.end
        for _ in range(3):
            one.input.append(repeated.key, repeated.value)
        one.process(SETTINGS)
        assert one.actions.records[-1].headers[0] == ("source.offset", b"%d" % (answered - 1))
    lose(topics)
    report, state = await rebuilt(topics, committed=None)
    assert state is not None
    assert (report.basis, report.end, topics.position) == ("outputs", COUNT, COUNT + 3)
    put_back(topics, state)
    for one in (topics, twin):
        one.write(100)
        one.process(SETTINGS)
    said = [[record[1:] for record in one.actions.records] for one in (topics, twin)]  # but for their own offsets
    assert said[0] == said[1]
    assert (await audit_partition(topics.logs, SETTINGS, 0)).verdict == "equal"


async def test_a_group_offset_behind_what_is_answered_is_not_believed() -> None:
    topics = worked()
    lost = lose(topics)
    report, state = await rebuilt(topics, committed=100)
    assert state is not None
    assert (report.basis, report.end) == ("outputs", COUNT)
    assert "the group's offset 100 lies before input that is answered" in report.notes[0]
    expect_same(state, lost)


async def test_a_group_offset_beyond_what_was_processed_is_noticed() -> None:
    topics = worked(processed=300)
    lose(topics)
    report, state = await rebuilt(topics, committed=COUNT)
    assert state is None
    assert report.difference is not None
    assert (report.difference.what, report.difference.input_offset) == ("missing", 300)
    assert "--accept-unverified" in (report.refusal(NO_WORDS) or "")


async def test_other_settings_than_those_of_the_time_are_noticed_and_can_be_accepted() -> None:
    topics = worked()
    lose(topics)
    report, state = await rebuilt(topics, OTHERWISE)
    assert state is None
    assert report.difference is not None
    assert report.difference.what == "value"
    refusal = report.refusal(NO_WORDS) or ""
    assert refusal.startswith(f"{topics.topics.actions}-0 offset ")
    assert "give the settings of the time" in refusal
    report, state = await rebuilt(topics, OTHERWISE, UNVERIFIED)
    assert (report.refusal(UNVERIFIED), report.events) == (None, COUNT)
    assert report.difference is not None
    as_if = worked(OTHERWISE)
    assert state is not None
    expect_same(state, held(as_if))


async def test_an_output_that_nothing_accounts_for_is_noticed() -> None:
    topics = worked()
    lose(topics)
    topics.actions.append(b"s", b"{}", [("source.offset", b"%d" % (COUNT - 1))])
    report, state = await rebuilt(topics)
    assert (state is None, report.difference is not None and report.difference.what) == (True, "surplus")


async def test_where_no_output_is_left_the_state_is_not_verified() -> None:
    topics = worked()
    lost = lose(topics)
    for log in (topics.actions, topics.metrics, topics.dead_letters):
        log.cut(log.end)
    report, state = await rebuilt(topics)
    assert report.unverified
    assert "no output is left" in (report.refusal(NO_WORDS) or "")
    assert report.refusal(UNVERIFIED) is None
    assert state is not None
    expect_same(state, lost)
    report, state = await rebuilt(topics, committed=None)
    assert state is None
    assert "say it with --to OFFSET" in (report.refusal(UNVERIFIED) or "")
    state = await state_of(topics, words=UNVERIFIED, committed=None, to=COUNT)
    assert state.next_offset == COUNT


async def test_dead_letters_alone_say_neither_where_the_partition_began_nor_how_far_it_was() -> None:
    """The actions were lost with the changelog, and made anew."""
    topics = worked()
    assert (source_of(topics.dead_letters.records[0]) or 0) > 0
    lost = lose(topics)
    for log in (topics.actions, topics.metrics):
        log.records.clear()
        log.end = 0
    report, state = await rebuilt(topics)
    assert (state, report.first, report.end) == (None, 0, COUNT)
    assert report.difference is not None
    assert (report.difference.what, report.difference.input_offset) == ("missing", 0)
    expect_same(await state_of(topics, words=UNVERIFIED), lost)
    report, _ = await rebuilt(topics, words=UNVERIFIED, committed=None)
    assert "say it with --to OFFSET" in (report.refusal(UNVERIFIED) or "")
    topics.input.cut(50)
    report, _ = await rebuilt(topics, words=UNVERIFIED)
    assert "50 offsets before it may have been processed" in (report.refusal(UNVERIFIED) or "")


async def test_without_any_output_what_the_input_lost_may_have_been_processed() -> None:
    topics = worked()
    lose(topics)
    for log in (topics.actions, topics.metrics, topics.dead_letters):
        log.records.clear()
        log.end = 0
    topics.input.cut(50)
    places: list[dict[str, Any]] = [{}, {"committed": None, "to": COUNT}]
    for place in places:
        report, _ = await rebuilt(topics, words=UNVERIFIED, **place)
        assert "50 offsets before it may have been processed" in (report.refusal(UNVERIFIED) or "")
    report, _ = await rebuilt(topics, committed=None)
    assert (report.refusal(NO_WORDS), report.basis, report.end) == (None, "nothing", 50)


async def test_outputs_that_lost_their_beginning_are_compared_from_where_they_begin() -> None:
    topics = worked()
    lost = lose(topics)
    topics.actions.cut(topics.actions.end // 2)
    report, state = await rebuilt(topics)
    assert report.refusal(NO_WORDS) is None
    assert 0 < report.compared["actions"] < len(lost) + COUNT
    assert any(note.startswith(f"{topics.topics.actions} is compared from input offset") for note in report.notes)
    assert state is not None
    expect_same(state, lost)


async def test_an_operators_offset_must_not_lie_before_what_is_answered() -> None:
    topics = worked(processed=300)
    lose(topics)
    report, state = await rebuilt(topics, committed=None, to=299)
    assert state is None
    assert "going on at 299 would write them a second time; say --to 300 or more" in (report.refusal(UNVERIFIED) or "")
    report, _ = await rebuilt(topics, committed=None, to=COUNT + 1)
    assert f"the input ends at {COUNT}" in (report.refusal(UNVERIFIED) or "")
    assert (await state_of(topics, committed=None, to=300)).next_offset == 300


async def test_input_that_was_made_anew_is_refused() -> None:
    topics = worked()
    lose(topics)
    topics.input.records.clear()
    topics.input.end = 0
    report, state = await rebuilt(topics)
    assert state is None
    assert "the topic was recreated or truncated" in (report.refusal(UNVERIFIED) or "")


async def test_what_has_its_progress_record_is_left_out_or_refused_or_replaced() -> None:
    topics = worked()
    stored = held(topics)
    report, state = await rebuilt(topics)
    assert (report.left_out, report.stored, state) == (True, COUNT, None)
    assert report.refusal(NO_WORDS) is None
    report, state = await rebuilt(topics, named=True)
    assert (report.left_out, state) == (False, None)
    assert "there is nothing to rebuild" in (report.refusal(NO_WORDS) or "")
    report, state = await rebuilt(topics, words=REPLACE, named=True)
    assert report.refusal(REPLACE) is None
    assert state is not None
    assert state.standing.own == {PROGRESS_KEY: stored[PROGRESS_KEY]}
    expect_same(state, stored)


@pytest.mark.parametrize("words", [NO_WORDS, REPLACE])
async def test_the_changelog_of_another_application_is_not_rebuilt_whatever_the_words(words: Words) -> None:
    """Its instances are in another group: that none of them runs, nobody here would notice."""
    report, state = await rebuilt(worked(), quick(engine={"application_id": "other"}), words)
    assert state is None
    refusal = "its changelog belongs to application 'creative-feedback', this is 'other'"
    assert refusal in (report.refusal(words) or "")


async def test_what_a_reset_skipped_stays_skipped_when_the_state_beside_it_is_replaced() -> None:
    topics = worked(processed=200)
    topics.reset(260)
    topics.process(SETTINGS)
    stored = held(topics)
    state = await state_of(topics, words=REPLACE)
    expect_same(state, {key: value for key, value in stored.items() if not key.startswith(b"\x00reset")})
    topics = worked(processed=200)
    topics.reset(260)
    topics.position = 260
    progress = decode_progress((await state_of(topics, words=REPLACE)).progress)
    assert (progress.next_offset, progress.anchor_offset) == (260, -1)


async def test_what_a_lost_reset_skipped_is_missed_until_it_is_named() -> None:
    topics = worked(processed=200)
    topics.reset(260)
    topics.process(SETTINGS)
    lost = lose(topics)
    report, _ = await rebuilt(topics)
    assert report.difference is not None
    assert (report.difference.what, report.difference.input_offset) == ("missing", 200)
    assert "--skipped" in (report.refusal(NO_WORDS) or "")
    state = await state_of(topics, skipped=[range(200, 260)])
    put_back(topics, state)
    topics.write(50)
    topics.process(SETTINGS)
    audited = await audit_partition(topics.logs, SETTINGS, 0)
    assert (audited.verdict, audited.notes) == ("equal", ["input offsets 200..259 were skipped by a reset"])
    kept = [{key: value for key, value in one.items() if key[:1] != b"\x00"} for one in (state.state, lost)]
    assert kept[0] == kept[1]


async def test_a_reset_that_is_named_later_replaces_none_that_is_told() -> None:
    topics = worked(processed=200)
    topics.reset(220)
    topics.process(SETTINGS, 80)
    topics.reset(360)
    topics.process(SETTINGS)
    lose(topics)
    put_back(topics, await state_of(topics, words=UNVERIFIED, skipped=[range(200, 220)]))
    put_back(topics, await state_of(topics, words=REPLACE, skipped=[range(200, 220), range(300, 360)]))
    topics.write(50)
    topics.process(SETTINGS)
    audited = await audit_partition(topics.logs, SETTINGS, 0)
    said = [f"input offsets {skipped} were skipped by a reset" for skipped in ("200..219", "300..359")]
    assert (audited.verdict, audited.notes) == ("equal", said)
    state = await state_of(topics, words=REPLACE, skipped=[range(900, 901)])
    assert not state.state.keys() & held(topics).keys() & {key for key in state.state if key[:1] == b"\x00"}


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (lambda stored: b"\xc1", "not a progress record"),
        (lambda stored: encode_progress(msgspec.structs.replace(stored, format=9)), "written in format 9"),
        (lambda stored: encode_progress(msgspec.structs.replace(stored, partition_count=3)), "for 3 partitions"),
    ],
)
async def test_a_progress_record_of_another_version_or_count_is_not_taken_for_a_lost_one(
    damage: Any, named: str
) -> None:
    topics = worked()
    topics.changelog.append(PROGRESS_KEY, damage(topics.progress()))
    report, state = await rebuilt(topics, words=REPLACE, named=True)
    assert state is None
    assert named in (report.refusal(REPLACE) or "")


async def test_a_partition_that_was_never_processed_begins_where_its_input_begins() -> None:
    topics = Topics(SETTINGS)
    topics.write(50)
    topics.input.cut(20)
    lose(topics)
    report, state = await rebuilt(topics, committed=None)
    assert (report.refusal(NO_WORDS), report.basis, report.events) == (None, "nothing", 0)
    assert state is not None
    assert (state.next_offset, state.state) == (20, {})
    put_back(topics, state)
    topics.process(SETTINGS)
    assert (await audit_partition(topics.logs, SETTINGS, 0)).verdict == "equal"


async def test_a_partition_that_began_late_has_lost_nothing_of_its_input() -> None:
    """The outputs from their own beginning on show where the first event was."""
    topics = Topics(SETTINGS)
    topics.write(100)
    topics.input.cut(100)
    started = Progress(1, "0", 1, 100)
    topics.changelog.append(PROGRESS_KEY, encode_progress(started))
    topics.write(300)
    topics.process(SETTINGS)
    lost = lose(topics)
    report, state = await rebuilt(topics)
    assert (report.refusal(NO_WORDS), report.first, report.removed) == (None, 100, 0)
    assert state is not None
    expect_same(state, lost)


def late_sessions(topics: Topics, count: int) -> None:
    """Events of a session that is new."""
    for number in range(count):
        value = msgspec.json.encode({"session_id": "late", "sequence": number, "state": {"novelty": number / count}})
        topics.input.append(b"late", value)


def with_late_session(settings: Settings) -> Topics:
    topics = Topics(settings)
    topics.write(300)
    late_sessions(topics, 40)
    topics.write(200)
    topics.process(settings)
    return topics


@pytest.mark.parametrize("scope", ["session", "shared"])
async def test_behind_retention_it_is_said_how_much_is_not_whole_and_the_rest_can_be_accepted(scope: str) -> None:
    settings = quick(quality={"scope": scope})
    topics = with_late_session(settings)
    lost = lose(topics)
    topics.input.cut(250)
    report, _ = await rebuilt(topics, settings)
    assert (report.first, report.removed, report.difference) == (250, 250, None)
    refusal = report.refusal(UNVERIFIED) or ""
    assert f"{report.incomplete_events:,} events of {report.incomplete_sessions:,} sessions" in refusal
    assert "--accept-incomplete" in refusal
    assert report.incomplete_sessions == (5 if scope == "session" else 6)
    assert (report.incomplete_events < 250) == (scope == "session")
    state = await state_of(topics, settings, Words(True, scope == "shared"))
    late = Kind.SESSION.value + b"late"
    assert state.state[late] == lost[late]
    assert {key for key in state.state if key[:1] == Kind.SESSION.value} == {
        key for key in lost if key[:1] == Kind.SESSION.value
    }
    [era] = [decode_state(value, EraRecord) for key, value in state.state.items() if key[:1] == Kind.ERA.value]
    assert (era.first_offset, era.initial) == (250, False)


async def test_sessions_without_their_beginning_still_know_what_is_a_duplicate() -> None:
    topics = with_late_session(SETTINGS)
    lose(topics)
    topics.input.cut(250)
    put_back(topics, await state_of(topics, words=INCOMPLETE))
    answered = len(topics.actions.records)
    repeated = [record for record in topics.input.records[-20:] if b'"sequence"' in (record.value or b"")]
    assert repeated
    for record in repeated:
        topics.input.append(record.key, record.value)
    topics.process(SETTINGS)
    assert len(topics.actions.records) == answered
    audited = await audit_partition(topics.logs, SETTINGS, 0)
    assert audited.verdict == "equal", audited
    assert audited.passed_over > 0


async def test_where_all_of_the_input_is_gone_nothing_but_the_place_is_left() -> None:
    topics = worked()
    lose(topics)
    topics.input.cut(COUNT)
    report, state = await rebuilt(topics)
    assert (report.removed, report.events) == (COUNT, 0)
    assert "--accept-incomplete" in (report.refusal(NO_WORDS) or "")
    assert state is not None
    assert (state.next_offset, state.state) == (COUNT, {})
    put_back(topics, state)
    topics.write(100)
    topics.process(SETTINGS)
    eras = [decode_state(value, EraRecord) for key, value in held(topics).items() if key[:1] == Kind.ERA.value]
    assert [era.initial for era in eras] == [False]


async def test_the_progress_is_told_in_input_offsets() -> None:
    topics = worked()
    lose(topics)
    told: list[tuple[int, int, int]] = []
    await rebuilt(topics, told=lambda *now: told.append(now))
    assert told[-1] == (0, COUNT, COUNT)
    assert len(told) > 3


async def test_what_is_left_of_a_partition_goes_back_with_what_is_rebuilt() -> None:
    topics = worked()
    lose(topics)
    state = await state_of(topics)
    assert state.standing == standing(topics)
    assert state.standing.own == {}


async def test_foreign_records_in_an_output_say_nothing_of_the_place() -> None:
    topics = worked(processed=300)
    lose(topics)
    for value in (b"many", b"-5", b"9" * 30):
        topics.dead_letters.append(b"somebody's", b"other", [("source.offset", value)])
    report, _ = await rebuilt(topics, committed=None)
    assert (report.basis, report.end) == ("outputs", 300)
