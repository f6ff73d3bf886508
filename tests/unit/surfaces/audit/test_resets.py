"""An audit behind a reset: it knows what was skipped, and says by name where it cannot tell."""

from __future__ import annotations

import msgspec

from processor.surfaces.audit import PartitionReport, Span, audit_partition
from processor.surfaces.audit.span import WHOLE
from schemas.progress import PROGRESS_KEY, RESET_PREFIX, encode_progress
from tests.unit.surfaces.audit.memory import Record, Topics, quick

SETTINGS = quick()
DONE, SKIPPED_TO = 200, 260


def skipped(behind: int) -> Topics:
    """Some processed, some skipped, and so many processed behind that."""
    topics = Topics(SETTINGS)
    topics.write(DONE)
    topics.process(SETTINGS)
    topics.write(SKIPPED_TO - DONE + behind)
    topics.reset(SKIPPED_TO)
    topics.process(SETTINGS)
    return topics


async def audited(topics: Topics, span: Span = WHOLE) -> PartitionReport:
    return await audit_partition(topics.logs, SETTINGS, 0, span)


async def test_what_was_skipped_is_left_out_and_all_else_is_equal_with_state_and_progress() -> None:
    for behind in (0, 150):
        report = await audited(skipped(behind))
        assert report.verdict == "equal", report
        assert (report.events, report.end) == (DONE + behind, SKIPPED_TO + behind)
        assert report.compared["state"] > 0
        assert report.notes == [f"input offsets {DONE}..{SKIPPED_TO - 1} were skipped by a reset"]


async def test_without_the_record_of_the_reset_the_skipped_input_is_missed() -> None:
    topics = skipped(150)
    topics.changelog.records = [
        record for record in topics.changelog.records if not (record.key or b"").startswith(RESET_PREFIX)
    ]
    report = await audited(topics)
    assert report.verdict == "different"
    assert report.difference is not None
    assert report.difference.input_offset == DONE


async def test_an_answer_to_skipped_input_is_one_too_many() -> None:
    topics = skipped(150)
    place = next(index for index, record in enumerate(topics.actions.records) if _source(record) >= DONE)
    topics.actions.records.insert(place, topics.actions.records[place]._replace(headers=(("source.offset", b"230"),)))
    report = await audited(topics)
    assert report.difference is not None
    assert (report.difference.what, report.difference.input_offset) == ("surplus", 230)


def _source(record: Record) -> int:
    return int(dict(record.headers)["source.offset"])


async def test_a_reset_that_names_another_offset_than_the_progress_is_no_excuse() -> None:
    topics = skipped(0)
    topics.write(20)
    moved = msgspec.structs.replace(topics.progress(), next_offset=SKIPPED_TO + 20)
    topics.changelog.append(PROGRESS_KEY, encode_progress(moved))
    report = await audited(topics)
    assert report.verdict == "different"
    assert report.difference is not None
    assert report.difference.input_offset == SKIPPED_TO


async def test_input_that_is_gone_before_the_reset_leaves_the_later_sessions_to_be_compared() -> None:
    topics = skipped(150)
    topics.input.cut(SKIPPED_TO)
    report = await audited(topics)
    assert report.verdict == "equal", report
    assert report.first == SKIPPED_TO


async def test_what_was_taken_back_can_be_audited_up_to_there_only() -> None:
    topics = Topics(SETTINGS)
    topics.write(DONE)
    topics.process(SETTINGS)
    topics.reset(150)
    for _ in range(2):
        report = await audited(topics)
        assert report.verdict == "cannot"
        assert report.reason is not None
        assert "a reset took it back from input offset 200 to 150" in report.reason
        assert "audit with --to 150" in report.reason
        assert (await audited(topics, Span(0, 150))).verdict == "equal"
        topics.process(SETTINGS)
