"""A task: what it restores, what it says about its place, when it is clean."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from processor.engine.commit import Batch
from processor.engine.lifecycle import TaskState
from processor.engine.ports import Token
from processor.engine.task import Task, anchor_hash
from processor.errors import Refused
from schemas.progress import (
    BARRIER_KEY,
    FORMAT,
    PROGRESS_KEY,
    Progress,
    decode_progress,
    encode_progress,
    reset_key,
)
from tests.simulation.log import COMMITTED, Entry, NewRecord
from tests.simulation.tally_fold import TallyFold
from tests.unit.engine.recording import RecordingEpoch


def record(offset: int, key: bytes | None = b"k", value: bytes | None = b"0") -> Entry:
    return Entry(offset, NewRecord(key, value, (), 5), COMMITTED)


def restored(*records: tuple[bytes, bytes | None], partitions: int = 4, barrier: int = 9) -> Task:
    task = Task(3, TallyFold, partitions, "1.2", "mine")
    task.begin_restore()
    for key, value in records:
        task.restore(key, value)
    task.end_restore(barrier, "changelog")
    return task


def kept_task(written: int, barriers: Sequence[int] = ()) -> Task:
    """After a commit that ended there, and rebalances that it survived with these barriers."""
    task = restored(progress(), barrier=9)
    task.move_to(TaskState.RUNNING)
    task.computed += 1
    task.answered(written)
    task.move_to(TaskState.KEPT)
    for barrier in barriers:
        assert task.survives(barrier)
    return task


def progress(
    next_offset: int = 0, marks: bytes = b"", partitions: int = 4, application_id: str = ""
) -> tuple[bytes, bytes]:
    found = Progress(FORMAT, "1.1", partitions, next_offset, -1, b"", marks, application_id)
    return PROGRESS_KEY, encode_progress(found)


def test_the_last_progress_record_says_where_to_resume() -> None:
    task = restored(progress(5), progress(7, b"123"))
    assert task.position == 7
    assert isinstance(task.fold, TallyFold)
    assert task.fold.stream_time_ms == 123


def test_barriers_of_others_are_not_state() -> None:
    task = restored(progress(), (BARRIER_KEY, b"x"), (b"sa", b"1 2 3 4 5"))
    assert isinstance(task.fold, TallyFold)
    assert list(task.fold.sessions) == [b"a"]


def test_resets_are_not_state() -> None:
    assert list(restored(progress(), (reset_key(7), b"x")).fold.changes()) == []


def test_a_task_that_goes_on_elsewhere_knows_no_consumed_record() -> None:
    task = restored(progress(5, b"123"))
    task.consumed([record(5)], 6)
    task.go_on_at(40)
    assert decode_progress(task.progress()) == Progress(FORMAT, "1.2", 4, 40, -1, b"", b"123", "mine")


def test_the_next_writer_lands_behind_the_own_barrier() -> None:
    assert restored(progress(), barrier=9).changelog_next == 10


@pytest.mark.parametrize(
    ("barrier", "kept", "following"),
    [
        (19, False, 21),  # the log got shorter: it is another one
        (20, True, 22),  # behind our last record: the marker is still to come
        (21, True, 22),  # behind our marker
        (22, False, 21),  # somebody else wrote
    ],
)
def test_memory_is_kept_where_nothing_but_our_own_marker_may_be_between(
    barrier: int, kept: bool, following: int
) -> None:
    task = kept_task(written=20)
    assert task.survives(barrier) is kept
    assert task.changelog_next == following


def test_a_marker_may_stay_away_for_more_than_one_rebalance() -> None:
    task = kept_task(written=20)
    assert [task.survives(barrier) for barrier in (20, 21, 22)] == [True, True, True]
    assert not kept_task(written=20, barriers=(20, 22)).survives(22)  # the marker came, so nothing is to come
    assert not kept_task(written=20, barriers=(21,)).survives(21)


def test_where_no_commit_of_ours_was_no_marker_is_awaited() -> None:
    task = restored(progress(), barrier=9)
    task.move_to(TaskState.RUNNING)
    task.move_to(TaskState.KEPT)
    assert not task.survives(9)
    assert task.survives(10)


def test_neither_an_unknown_place_nor_an_unanswered_batch_is_kept() -> None:
    assert not kept_task(written=-1).survives(0)
    unclean = kept_task(written=20)
    unclean.computed += 1
    assert not unclean.survives(21)


def test_a_second_restore_forgets_the_first() -> None:
    task = restored(progress(5), (b"sa", b"1 2 3 4 5"))
    task.computed = 3
    task.begin_restore()
    assert task.clean
    task.restore(*progress(2))
    task.end_restore(20, "changelog")
    assert isinstance(task.fold, TallyFold)
    assert task.fold.sessions == {}
    assert task.position == 2


def test_a_changelog_without_progress_is_never_a_first_start() -> None:
    with pytest.raises(Refused, match=r"changelog-3 has no progress record.*topics apply"):
        restored((b"sa", b"1 2 3 4 5"))


def test_a_tombstone_of_the_progress_record_is_no_progress_record() -> None:
    with pytest.raises(Refused, match="no progress record"):
        restored(progress(5), (PROGRESS_KEY, None))


def test_another_partition_count_is_refused_with_both_counts() -> None:
    with pytest.raises(Refused, match="written for 8 partitions, now there are 4"):
        restored(progress(5, partitions=8))


def test_the_changelog_of_another_application_is_refused_with_both_names() -> None:
    with pytest.raises(Refused, match="changelog-3 belongs to application 'theirs', this is 'mine'") as refusal:
        restored(progress(5, application_id="mine"), progress(7, application_id="theirs"))
    assert "; set engine.application_id to 'theirs', or give 'mine' output topics and a changelog" in str(refusal.value)


@pytest.mark.parametrize("before", ["", "mine"])
def test_the_next_commit_names_the_application_also_where_no_name_was(before: str) -> None:
    assert decode_progress(restored(progress(5, application_id=before)).progress()).application_id == "mine"


def test_a_batch_makes_the_task_unclean_until_it_is_answered() -> None:
    task = restored(progress())
    batch = Batch(Token(1, "m", None, frozenset({3})), RecordingEpoch(), 0.0)
    clean = [task.clean]
    for _ in range(2):
        batch.entry(task)
        clean.append(task.clean)
    task.committed += 1
    clean.append(task.clean)
    assert clean == [True, False, False, True]


def test_progress_names_the_last_consumed_record() -> None:
    task = restored(progress())
    task.consumed([record(4), record(6, b"last")], 8)
    found = decode_progress(task.progress())
    assert (found.next_offset, found.anchor_offset) == (8, 6)
    assert found.anchor_hash == anchor_hash(record(6, b"last"))
    assert (found.application_version, found.partition_count) == ("1.2", 4)


def test_control_records_move_the_position_and_leave_the_anchor() -> None:
    task = restored(progress())
    task.consumed([record(4)], 5)
    task.progress()
    task.consumed([], 9)
    found = decode_progress(task.progress())
    assert (found.next_offset, found.anchor_offset) == (9, 4)


def test_the_anchor_of_the_changelog_stays_until_something_is_consumed() -> None:
    anchored = Progress(FORMAT, "1.1", 4, 5, 4, b"0123456789abcdef")
    task = restored((PROGRESS_KEY, encode_progress(anchored)))
    found = decode_progress(task.progress())
    assert (found.anchor_offset, found.anchor_hash) == (4, b"0123456789abcdef")


DIFFERENT = [(None, None), (b"", None), (None, b""), (b"", b""), (b"a", b"b"), (b"ab", b""), (b"", b"ab"), (b"a", None)]


def test_every_difference_of_key_and_value_shows_in_the_anchor() -> None:
    hashes = {anchor_hash(record(0, key, value)) for key, value in DIFFERENT}
    assert len(hashes) == len(DIFFERENT)
    assert {len(found) for found in hashes} == {16}


def test_the_anchor_does_not_depend_on_the_offset() -> None:
    assert anchor_hash(record(1)) == anchor_hash(record(2))
