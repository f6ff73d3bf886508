"""The steps of a commit, their order, and that nothing in memory counts before the last one."""

from __future__ import annotations

import asyncio

import pytest

from processor.engine.commit import Batch, commit
from processor.engine.ports import Token
from processor.engine.task import Task
from processor.errors import Fenced, InDoubt, ProducerFenced, Refused, Rejected
from schemas.progress import FORMAT, PROGRESS_KEY, Progress, decode_progress, encode_progress
from tests.simulation.client import ModelBuffer
from tests.simulation.log import COMMITTED, Entry, NewRecord
from tests.simulation.tally_fold import TallyFold
from tests.unit.engine.recording import RecordingEpoch

TOKEN = Token(7, "member", None, frozenset({0, 1}))


def computed(epoch: RecordingEpoch, *partitions: int) -> Batch:
    """A closed batch with two records per partition."""
    batch = Batch(TOKEN, epoch, 0.0)
    for partition in partitions:
        task = Task(partition, TallyFold, 2, "1", "mine")
        task.begin_restore()
        task.restore(PROGRESS_KEY, encode_progress(Progress(FORMAT, "1", 2, 0)))
        task.end_restore(0, "changelog")
        records = [Entry(offset, NewRecord(b"k", b"%d" % offset), COMMITTED) for offset in range(2)]
        entry = batch.entry(task)
        task.fold.process(records, entry.buffer)
        task.consumed(records, 3)
        entry.records = 2
    batch.close()
    return batch


async def test_offsets_wait_for_every_write_and_the_end_for_the_offsets() -> None:
    epoch = RecordingEpoch()
    await commit(computed(epoch, 0, 1), 5)
    steps = epoch.steps
    assert steps[:2] == ["add_partitions", "add_partitions done"]
    assert set(steps[2:6]) == {"produce", "produce done", "add_offsets", "add_offsets done"}
    assert steps[6:] == ["commit_offsets", "commit_offsets done", "end", "end done"]


@pytest.mark.parametrize("slow", ["produce", "add_offsets"])
async def test_offsets_wait_for_the_slower_of_writes_and_registration(slow: str) -> None:
    epoch = RecordingEpoch()
    epoch.hold[slow] = asyncio.Event()
    running = asyncio.create_task(commit(computed(epoch, 0), 5))
    await epoch.began["produce"].wait()
    await epoch.began["add_offsets"].wait()
    for _ in range(20):
        await asyncio.sleep(0)
    assert "commit_offsets" not in epoch.steps
    epoch.hold[slow].set()
    await running
    assert epoch.steps[-1] == "end done"


async def test_the_token_of_the_batch_and_the_positions_at_its_closing_are_sent() -> None:
    epoch = RecordingEpoch()
    batch = computed(epoch, 0, 1)
    for entry in batch.entries.values():
        entry.task.consumed([], 50)  # the next batch is computed already
    await commit(batch, 5)
    assert epoch.tokens == [TOKEN]
    assert epoch.positions == [{0: 3, 1: 3}]


async def test_answered_tasks_are_clean_and_know_what_they_wrote_last() -> None:
    epoch = RecordingEpoch()
    batch = computed(epoch, 0)
    task = batch.entries[0].task
    await commit(batch, 5)
    assert task.clean
    assert task.changelog_next == 101  # behind the commit marker


async def test_an_unknown_offset_forbids_to_keep_the_state() -> None:
    epoch = RecordingEpoch()
    epoch.behind = -1
    batch = computed(epoch, 0)
    await commit(batch, 5)
    assert batch.entries[0].task.changelog_next == -1


async def test_a_changelog_that_became_shorter_is_refused_before_anything_speaks_for_it() -> None:
    """It was made anew: a progress record in it would hide that the other sessions are missing."""
    epoch = RecordingEpoch()
    batch = computed(epoch, 0)
    batch.entries[0].task.changelog_next = 101
    with pytest.raises(Refused, match="partition 0 ends at offset 100, before 101"):
        await commit(batch, 5)
    assert "commit_offsets" not in epoch.steps
    assert not batch.entries[0].task.clean


@pytest.mark.parametrize("step", ["add_partitions", "add_offsets", "produce", "commit_offsets", "end"])
@pytest.mark.parametrize(
    "failure", [InDoubt("?"), Fenced("?"), ProducerFenced("?"), Rejected(0, "actions", "?")], ids=repr
)
async def test_after_a_failed_step_nothing_is_committed_and_nothing_follows(step: str, failure: Exception) -> None:
    epoch = RecordingEpoch()
    epoch.failures[step] = failure
    batch = computed(epoch, 0)
    with pytest.raises(type(failure)):
        await commit(batch, 5)
    assert not batch.entries[0].task.clean
    assert epoch.steps.count("end") == (1 if step == "end" else 0)
    assert "end done" not in epoch.steps
    if step in {"add_partitions", "add_offsets", "produce"}:
        assert "commit_offsets" not in epoch.steps


@pytest.mark.parametrize("step", ["add_partitions", "add_offsets", "produce", "commit_offsets", "end"])
async def test_a_step_without_an_answer_is_a_doubt(step: str) -> None:
    epoch = RecordingEpoch()
    epoch.hold[step] = asyncio.Event()
    batch = computed(epoch, 0)
    with pytest.raises(InDoubt, match=r"not answered within 0\.05 s"):
        await commit(batch, 0.05)
    assert not batch.entries[0].task.clean


def test_a_closed_batch_carries_state_and_progress_last() -> None:
    batch = computed(RecordingEpoch(), 0)
    entry = batch.entries[0]
    buffer = entry.buffer
    assert isinstance(buffer, ModelBuffer)
    *state, progress = buffer.records["changelog"]
    assert [record.key for record in state] == [b"sk"]
    assert progress.key == PROGRESS_KEY
    assert decode_progress(progress.value or b"").next_offset == entry.position == 3
    assert entry.tally == {"events": 2}
    assert [name for name, _ in entry.diary] == ["session_began"]
    assert (batch.records, batch.size) == (2, buffer.size())
