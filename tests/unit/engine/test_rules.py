"""The rules of the engine, each by the scenario that would break without it.

The seeded bugs show the same under random faults; here each rule is visible on its own.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from processor.engine.lifecycle import TaskState
from processor.engine.tuning import Tuning
from processor.errors import Fenced, InputLost, InstanceIdInUse, Refused, Stuck
from schemas.progress import FORMAT, PROGRESS_KEY, Progress, encode_progress
from tests.simulation.broker import ACTIONS, CHANGELOG, DEAD_LETTERS, INPUT, METRICS
from tests.simulation.client import ModelInput
from tests.simulation.log import NewRecord
from tests.simulation.network import Fate
from tests.simulation.simulation import TUNING, Instance
from tests.simulation.stage import Stage, in_virtual_time, reports

TROUBLES = (Fate.LOST, Fate.UNANSWERED, Fate.LATE)


def running(instance: Instance, *partitions: int) -> bool:
    tasks = instance.runner.tasks if instance.runner is not None else {}
    return {p for p, task in tasks.items() if task.state is TaskState.RUNNING} == set(partitions)


def tuned(**numbers: object) -> Tuning:
    return replace(TUNING, **numbers)  # type: ignore[arg-type]


# R1, R2 --------------------------------------------------------------------------------------------------------


@in_virtual_time
async def test_a_transaction_registers_then_writes_then_commits_offsets_then_ends() -> None:
    stage = Stage(1)
    instance = stage.start()
    await stage.until(lambda: running(instance, 0))
    stage.requests.clear()
    stage.feed(0, range(6))
    await stage.settled()
    kinds = [kind for _, kind in stage.requests]
    assert kinds[0] == "add_partitions"
    assert sorted(kinds[1:-2]) == ["add_offsets", "produce", "produce", "produce"]  # actions, metrics, changelog
    assert kinds[-2:] == ["commit_offsets", "end"]
    stage.close(instance)


@in_virtual_time
async def test_a_position_moved_by_control_records_alone_is_committed_once_a_second() -> None:
    stage = Stage(1)
    instance = stage.start()
    await stage.until(lambda: running(instance, 0))
    heard = reports(instance)
    upstream = stage.broker.logs[INPUT, 0]
    for number in range(100):
        upstream.append_open(77, number, 0, [NewRecord(b"k", b"1")])
        upstream.mark(77, committed=False)
        await asyncio.sleep(0.02)
    await stage.settled()
    assert stage.broker.group.offsets == {0: upstream.end}
    assert 1 <= len(heard) <= 4
    stage.close(instance)


# R3 ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fate", TROUBLES)
@pytest.mark.parametrize("kind", ["add_partitions", "add_offsets", "commit_offsets", "end"])
@in_virtual_time
async def test_after_a_doubt_the_epoch_is_not_used_again(kind: str, fate: Fate) -> None:
    stage = Stage(2)
    instance = stage.start()
    await stage.until(lambda: running(instance, 0, 1))
    stage.feed(0, range(5))
    await stage.settled()
    stage.requests.clear()
    stage.fates[kind] = [fate]
    stage.feed(0, range(5, 9))
    stage.feed(1, range(5))
    await stage.settled()
    await stage.until(lambda: "init" in [name for _, name in stage.requests])
    await stage.settled()
    kinds = [name for _, name in stage.requests]
    doubt = kinds.index(kind)
    after = kinds.index("init")
    transaction = {"add_partitions", "add_offsets", "commit_offsets", "end"}
    # What stands between is of the same transaction and was on its way already.
    assert not transaction & set(kinds[doubt + 1 : after]) - {"add_offsets"}
    assert kinds[:after].count("end") <= 1
    stage.close(instance)


@pytest.mark.parametrize("fate", TROUBLES)
@in_virtual_time
async def test_produce_is_repeated_in_the_epoch_and_written_once(fate: Fate) -> None:
    stage = Stage(1)
    instance = stage.start()
    await stage.until(lambda: running(instance, 0))
    stage.requests.clear()
    stage.fates["produce"] = [fate] * 2
    stage.feed(0, range(6))
    await stage.settled()
    assert "init" not in [kind for _, kind in stage.requests]
    assert stage.broker.logs[ACTIONS, 0].end == 6 + 1  # and the marker
    stage.close(instance)


@in_virtual_time
async def test_an_end_released_into_the_next_transaction_ends_nothing() -> None:
    stage = Stage(1)
    instance = stage.start()
    await stage.until(lambda: running(instance, 0))
    stage.fates["end"] = [Fate.LATE] * 3
    for first in range(0, 300, 3):
        stage.feed(0, range(first, first + 3))
        await asyncio.sleep(0.005)
    await stage.settled()
    assert stage.broker.sometimes["new epoch"] >= 1
    assert stage.broker.sometimes["late end refused"] >= 1
    stage.close(instance)


@in_virtual_time
async def test_the_groups_word_during_a_commit_lets_it_end_and_suspects_no_twin() -> None:
    stage = Stage(1)
    instance = stage.start()
    await stage.until(lambda: running(instance, 0))
    heard = reports(instance)
    for round_ in range(4):
        stage.feed(0, range(3 * round_, 3 * round_ + 2))
        await stage.until(lambda: ("i0", "commit_offsets") in stage.requests)
        assert instance.cluster.membership is not None
        instance.cluster.membership.trouble = Fenced("group coordination: unexpected")
        stage.feed(0, [3 * round_ + 2])  # the runner turns at once
        await stage.settled()
        await stage.until(lambda: running(instance, 0))
        stage.requests.clear()
    assert not instance.main.done()
    assert sum(report.records for report in heard) == 12
    stage.close(instance)


# R4, R5 --------------------------------------------------------------------------------------------------------


@in_virtual_time
async def test_a_restore_waits_for_an_open_transaction_and_the_other_partitions_work() -> None:
    stage = Stage(2)
    changelog = stage.broker.logs[CHANGELOG, 0]
    changelog.append_open(99, 0, 0, [NewRecord(b"sforeign", b"1 1 1 1 1")])
    waiting: list[tuple[int, int, int]] = []
    instance = stage.start()
    instance.seen.restoring = lambda *where: waiting.append(where)  # type: ignore[method-assign]
    stage.feed(0, range(3))
    stage.feed(1, range(3))
    await stage.until(lambda: stage.broker.group.offsets.get(1) == 3)
    await asyncio.sleep(5)
    assert running(instance, 1)
    assert waiting[-1] == (0, changelog.last_stable, changelog.end - 1)
    changelog.mark(99, committed=False)
    await stage.settled()
    stage.close(instance)


@in_virtual_time
async def test_clean_state_survives_a_rebalance_without_a_restore() -> None:
    stage = Stage(4)
    first = stage.start("i0")
    await stage.until(lambda: running(first, 0, 1, 2, 3))
    for partition in range(4):
        stage.feed(partition, range(5))
    await stage.settled()
    heard: list[tuple[int, bool]] = []
    first.seen.running = lambda partition, position, kept, seconds, figures: heard.append((partition, kept))  # type: ignore[method-assign]
    second = stage.start("i1")
    await stage.until(lambda: running(first, 0, 1) and running(second, 2, 3))
    assert sorted(heard) == [(0, True), (1, True)]
    for partition in range(4):
        stage.feed(partition, range(5, 9))
    await stage.settled()
    stage.close(first, second)


@in_virtual_time
async def test_state_is_restored_where_somebody_else_wrote_meanwhile() -> None:
    stage = Stage(1)
    first = stage.start("i0")
    await stage.until(lambda: running(first, 0))
    stage.feed(0, range(5))
    await stage.settled()
    stage.broker.pause(first.process)
    second = stage.start("i1")
    stage.feed(0, range(5, 9))
    await stage.settled()
    heard: list[bool] = []
    first.seen.running = lambda partition, position, kept, seconds, figures: heard.append(kept)  # type: ignore[method-assign]
    stage.broker.resume(first.process)
    stage.broker.kill(second.process)
    await stage.until(lambda: running(first, 0))
    stage.feed(0, range(9, 12))
    await stage.settled()
    assert heard == [False]
    stage.close(first)


@pytest.mark.parametrize("point", ["add_partitions", "produce", "add_offsets", "commit_offsets", "end"])
@in_virtual_time
async def test_a_zombie_commits_nothing(point: str) -> None:
    stage = Stage(1)
    zombie = stage.start("i0")
    await stage.until(lambda: running(zombie, 0))
    stage.broker.ambush = (point, stage.broker.pause, True)
    stage.feed(0, range(5))
    await stage.until(lambda: zombie.process.paused)
    successor = stage.start("i1")
    stage.feed(0, range(5, 9))
    await stage.settled()
    heard = reports(zombie)
    stage.broker.resume(zombie.process)
    await asyncio.sleep(5)
    assert heard == []
    await stage.settled()
    stage.close(zombie, successor)


@in_virtual_time
async def test_a_revocation_ends_within_its_deadline_though_the_commit_hangs() -> None:
    stage = Stage(1, tuning=tuned(revoke_timeout_s=0.1, transaction_timeout_s=5.0))
    instance = stage.start()
    await stage.until(lambda: running(instance, 0))
    stage.broker.weather.request_timeout_s = 3.0
    stage.fates["produce"] = [Fate.LOST] * 3
    stage.feed(0, range(5))
    await stage.until(lambda: stage.fates["produce"] == [])
    assert instance.runner is not None
    began = stage.broker.loop.time()
    await instance.runner.revoked()
    assert stage.broker.loop.time() - began == pytest.approx(0.1, abs=0.02)
    stage.close(instance)


@in_virtual_time
async def test_a_revocation_commits_what_is_computed() -> None:
    stage = Stage(1, tuning=tuned(commit_interval_s=10.0, max_commit_interval_s=10.0))
    instance = stage.start()
    await stage.until(lambda: running(instance, 0))
    stage.feed(0, [0])
    await stage.settled()
    stage.feed(0, range(1, 5))
    await asyncio.sleep(0.1)
    assert stage.broker.group.offsets == {0: 1}
    stage.broker.group.rebalance()
    await asyncio.sleep(1)
    assert stage.broker.group.offsets == {0: 5}
    stage.close(instance)


# R6, R7 --------------------------------------------------------------------------------------------------------


@in_virtual_time
async def test_the_next_batch_is_computed_while_the_last_one_is_committed_and_waits_for_it() -> None:
    stage = Stage(1, tuning=tuned(transaction_timeout_s=5.0))
    instance = stage.start()
    await stage.until(lambda: running(instance, 0))
    stage.broker.weather.request_timeout_s = 1.0
    stage.fates["produce"] = [Fate.LOST]
    stage.feed(0, range(4))
    await stage.until(lambda: stage.fates["produce"] == [])
    stage.requests.clear()
    stage.feed(0, range(4, 8))
    await asyncio.sleep(0.1)
    assert instance.runner is not None
    task = instance.runner.tasks[0]
    assert task.position == 8
    assert not task.clean
    assert "add_partitions" not in [kind for _, kind in stage.requests]
    await stage.settled()
    stage.close(instance)


@in_virtual_time
async def test_commits_keep_their_interval() -> None:
    stage = Stage(1, tuning=tuned(commit_interval_s=0.2, max_commit_interval_s=0.2))
    instance = stage.start()
    await stage.until(lambda: running(instance, 0))
    heard = reports(instance)
    for sequence in range(200):
        stage.feed(0, [sequence])
        await asyncio.sleep(0.01)
    await stage.settled()
    assert 9 <= len(heard) <= 12
    stage.close(instance)


@in_virtual_time
async def test_a_full_batch_does_not_wait_for_the_interval() -> None:
    stage = Stage(1, tuning=tuned(commit_interval_s=5.0, max_commit_interval_s=5.0, max_batch_bytes=2_000))
    instance = stage.start()
    await stage.until(lambda: running(instance, 0))
    stage.feed(0, [0])
    await stage.settled()
    heard = reports(instance)
    began = stage.broker.loop.time()
    stage.feed(0, range(1, 3_000))
    await stage.until(lambda: heard)
    assert stage.broker.loop.time() - began < 1.0
    stage.close(instance)


# R9, R10 -------------------------------------------------------------------------------------------------------


@in_virtual_time
async def test_bad_input_is_one_dead_letter_in_the_transaction_and_stops_nothing() -> None:
    stage = Stage(1)
    instance = stage.start()
    stage.feed(0, [0, b"bad", 1, b"bad", 2])
    await stage.settled()
    assert stage.broker.logs[DEAD_LETTERS, 0].end == 2 + 1
    assert stage.broker.logs[ACTIONS, 0].end == 3 + 1
    stage.close(instance)


@in_virtual_time
async def test_a_step_that_raises_halts_its_partition_at_that_record_and_no_other() -> None:
    stage = Stage(2)
    instance = stage.start()
    stage.feed(0, [0, 1, 2, b"raise", 3])
    stage.feed(1, range(5))
    await stage.until(lambda: instance.seen.halted_partitions)
    stage.feed(1, range(5, 9))
    await stage.until(lambda: stage.broker.group.offsets == {0: 3, 1: 9})
    assert stage.oracle.violations == []
    assert list(instance.seen.halted_partitions) == [0]
    assert "input-0 offset 3" in instance.seen.halted_partitions[0]
    stage.close(instance)


@pytest.mark.parametrize("topic", [ACTIONS, METRICS, CHANGELOG])
@in_virtual_time
async def test_a_partition_that_is_refused_is_isolated_then_halted_and_the_others_go_on(topic: str) -> None:
    stage = Stage(3)
    instance = stage.start()
    await stage.until(lambda: running(instance, 0, 1, 2))
    stage.broker.refusing.add((topic, 1))
    for partition in range(3):
        stage.feed(partition, range(9))
    await stage.until(lambda: instance.seen.halted_partitions)
    await stage.until(lambda: {p: stage.broker.group.offsets.get(p) for p in (0, 2)} == {0: 9, 2: 9})
    assert list(instance.seen.halted_partitions) == [1]
    assert f"{topic}-1" in instance.seen.halted_partitions[1]
    assert 1 not in stage.broker.group.offsets
    assert stage.oracle.violations == []
    stage.close(instance)


@in_virtual_time
async def test_an_isolated_partition_that_goes_elsewhere_does_not_hold_the_others() -> None:
    stage = Stage(4)
    instance = stage.start()
    await stage.until(lambda: running(instance, 0, 1, 2, 3))
    stage.broker.refusing.add((ACTIONS, 3))
    for partition in range(4):
        stage.feed(partition, range(3))
    await stage.until(lambda: instance.runner is not None and instance.runner._transactions.pace.alone == 3)
    second = stage.start("i1")
    await stage.until(lambda: running(second, 2, 3) or 3 in second.seen.halted_partitions)
    stage.broker.refusing.clear()
    stage.feed(0, range(3, 6))
    await stage.until(lambda: stage.broker.group.offsets.get(0) == 6)
    stage.close(instance, second)


@in_virtual_time
async def test_an_isolated_partition_that_halts_for_another_reason_does_not_hold_the_others() -> None:
    stage = Stage(2)
    instance = stage.start()
    await stage.until(lambda: running(instance, 0, 1))
    stage.broker.refusing.add((ACTIONS, 1))
    stage.feed(1, range(3))
    await stage.until(lambda: instance.runner is not None and instance.runner._transactions.pace.alone == 1)
    stage.broker.logs[INPUT, 1].trim(3)
    stage.feed(0, range(3))
    await stage.until(lambda: 1 in instance.seen.halted_partitions)
    await stage.until(lambda: stage.broker.group.offsets.get(0) == 3)
    stage.close(instance)


@in_virtual_time
async def test_a_batch_too_large_is_halved_until_it_fits() -> None:
    stage = Stage(1, tuning=tuned(stuck_timeout_s=500.0))
    stage.broker.max_batch_bytes = 100
    instance = stage.start()
    await stage.until(lambda: running(instance, 0))
    stage.feed(0, range(40))
    await stage.settled(5)
    assert instance.seen.halted_partitions == {}
    stage.close(instance)


def _progress(
    partitions: int = 1, position: int = 0, format_: int = FORMAT, anchor: bytes = b"", application_id: str = ""
) -> NewRecord:
    progress = Progress(format_, "9.9.9", partitions, position, position - 1, anchor, b"", application_id)
    return NewRecord(PROGRESS_KEY, encode_progress(progress))


@pytest.mark.parametrize(
    ("record", "says"),
    [
        (None, "no progress record"),
        (_progress(partitions=8), "written for 8 partitions, now there are 1"),
        (_progress(format_=FORMAT + 1), f"written in format {FORMAT + 1} by version 9.9.9"),
        (NewRecord(PROGRESS_KEY, b"\xff"), "not a progress record"),
        (_progress(application_id="another"), "belongs to application 'another', this is 'simulation'"),
        (_progress(position=20), "ends at 5, before the committed position 20"),
        (_progress(position=3, anchor=b"another record"), "offset 2 is not the record that was processed"),
    ],
    ids=["missing", "partition count", "newer", "corrupt", "application", "input cut", "anchor"],
)
@in_virtual_time
async def test_a_changelog_that_cannot_be_the_truth_is_refused_before_anything_is_written(
    record: NewRecord | None, says: str
) -> None:
    stage = Stage(1)
    changelog = stage.broker.logs[CHANGELOG, 0]
    if record is None:
        changelog.trim(changelog.end)
    else:
        changelog.append([record])
    stage.feed(0, range(5))
    instance = stage.start()
    refusal = await stage.end_of(instance)
    assert isinstance(refusal, Refused)
    assert says in str(refusal)
    assert "-0" in str(refusal)
    assert ";" in str(refusal)  # the remedy
    assert stage.oracle.commits == 0


@in_virtual_time
async def test_an_isolated_leader_whose_input_ends_too_early_is_not_believed_at_once() -> None:
    stage = Stage(1)
    first = stage.start("i0")
    await stage.until(lambda: running(first, 0))
    second = stage.start("i1")
    stage.broker.isolate(stage.broker.logs[INPUT, 0], [second.process], 1_000.0)
    stage.broker.refresh = lambda process, log: None  # type: ignore[method-assign]
    stage.feed(0, range(5))
    await stage.settled()
    stage.broker.kill(first.process)
    await stage.until(lambda: stage.broker.sometimes.get("asked an isolated leader of input"))
    stage.broker.later(0.8, stage.broker.isolations.clear)
    await stage.until(lambda: running(second, 0))
    stage.feed(0, range(5, 9))
    await stage.settled()
    assert second.seen.halted_partitions == {}
    stage.close(second)


@in_virtual_time
async def test_input_below_progress_is_named_with_its_range() -> None:
    stage = Stage(1)
    stage.feed(0, range(5))
    first = stage.start("i0")
    await stage.settled()
    stage.broker.kill(first.process)
    stage.feed(0, range(5, 20))
    stage.broker.logs[INPUT, 0].trim(12)
    refusal = await stage.end_of(stage.start("i1"))
    assert isinstance(refusal, InputLost)
    assert "lost 5..11" in str(refusal)


@in_virtual_time
async def test_input_lost_under_a_running_partition_is_named_with_its_range_and_the_others_go_on() -> None:
    stage = Stage(2)
    instance = stage.start()
    await stage.until(lambda: running(instance, 0, 1))
    stage.feed(0, range(5))
    await stage.settled()
    stage.broker.pause(instance.process)
    stage.feed(0, range(5, 20))
    stage.broker.logs[INPUT, 0].trim(12)
    stage.broker.resume(instance.process)
    stage.feed(1, range(5))
    await stage.until(lambda: instance.seen.halted_partitions and stage.broker.group.offsets.get(1) == 5)
    assert "lost 5..11" in instance.seen.halted_partitions[0]
    stage.close(instance)


@in_virtual_time
async def test_input_that_another_instance_processed_is_not_lost() -> None:
    stage = Stage(1)
    zombie = stage.start("i0")
    await stage.until(lambda: running(zombie, 0))
    stage.feed(0, range(5))
    await stage.settled()
    stage.broker.pause(zombie.process)
    successor = stage.start("i1")
    stage.feed(0, range(5, 20))
    await stage.settled()
    stage.broker.logs[INPUT, 0].trim(20)
    stage.feed(0, range(20, 25))
    stage.broker.resume(zombie.process)
    await asyncio.sleep(5)
    assert zombie.seen.halted_partitions == {}
    stage.close(zombie, successor)


@in_virtual_time
async def test_a_record_that_stays_unreadable_halts_its_partition_and_no_other() -> None:
    stage = Stage(2)
    instance = stage.start()
    await stage.until(lambda: running(instance, 0, 1))
    stage.feed(0, range(5))
    await stage.settled()
    assert instance.runner is not None
    reader = instance.runner._input
    assert isinstance(reader, ModelInput)
    reader.unreadable = {0: 5}
    for partition in range(2):
        stage.feed(partition, range(5, 9))
    await stage.until(lambda: instance.seen.halted_partitions and stage.broker.group.offsets.get(1) == 4)
    assert instance.seen.halted_partitions == {0: "input-0 offset 5: unreadable"}
    assert stage.broker.sometimes["restored"] == 3  # it looked again once
    stage.close(instance)


@in_virtual_time
async def test_a_restore_waits_for_the_transaction_that_its_own_instance_has_under_way() -> None:
    """Its answer would be counted for the restored state: the next batch would seem committed before it is."""
    stage = Stage(1)
    instance = stage.start()
    await stage.until(lambda: running(instance, 0))
    assert instance.runner is not None
    reader = instance.runner._input
    assert isinstance(reader, ModelInput)
    reader.unreadable = {0: 5}
    stage.broker.weather.slow = {"end": 0.3}
    stage.feed(0, range(5))
    await stage.until(lambda: stage.requests[-1][1] == "end")
    stage.feed(0, range(5, 9))
    await stage.until(lambda: not running(instance, 0))
    assert instance.runner._transactions.inflight is not None, "no transaction was under way: the test shows nothing"
    reader.unreadable = {}
    await stage.settled()
    stage.fates["add_offsets"] = [Fate.LOST]
    stage.feed(0, range(9, 12))
    await stage.until(lambda: stage.broker.sometimes.get("new epoch"))
    stage.feed(0, range(12, 15))
    await stage.settled()
    stage.close(instance)


@pytest.mark.parametrize("kept", [False, True])
@in_virtual_time
async def test_a_barrier_that_is_refused_halts_its_partition_by_name_and_no_other(kept: bool) -> None:
    """At the first assignment, and at one in which the partition could have been kept."""
    stage = Stage(2)
    instance = stage.start()
    original = instance.cluster.barrier

    async def refused(partition: int, value: bytes) -> int:
        if partition == 1:
            raise Refused("missing ACL: Write on the changelog")
        return await original(partition, value)

    if kept:
        await stage.until(lambda: running(instance, 0, 1))
        stage.broker.group.rebalance()
    instance.cluster.barrier = refused  # type: ignore[method-assign]
    stage.feed(0, range(5))
    await stage.until(lambda: stage.broker.group.offsets.get(0) == 5 and instance.seen.halted_partitions)
    assert instance.seen.halted_partitions == {1: "missing ACL: Write on the changelog"}
    stage.close(instance)


@in_virtual_time
async def test_retention_may_take_the_anchor() -> None:
    stage = Stage(1)
    stage.feed(0, range(5))
    first = stage.start("i0")
    await stage.settled()
    stage.broker.kill(first.process)
    stage.broker.logs[INPUT, 0].trim(5)
    stage.feed(0, range(5, 9))
    second = stage.start("i1")
    await stage.until(lambda: stage.broker.group.offsets.get(0) == 9)
    stage.close(second)


@in_virtual_time
async def test_two_processes_with_one_instance_id_are_told() -> None:
    stage = Stage(2)
    twins = [stage.start("i0"), stage.start("i0")]

    def load() -> None:
        for partition in range(2):
            stage.feed(partition, [stage.broker.logs[INPUT, partition].end])
        stage.broker.later(0.01, load)

    load()
    await stage.until(lambda: any(twin.main.done() for twin in twins))
    [ended] = [twin for twin in twins if twin.main.done()]
    assert isinstance(ended.main.exception(), InstanceIdInUse)
    stage.close(*twins)


@in_virtual_time
async def test_without_any_success_for_the_stuck_time_out_the_instance_ends() -> None:
    stage = Stage(1, tuning=tuned(stuck_timeout_s=20.0))
    instance = stage.start()
    await stage.until(lambda: running(instance, 0))
    stage.fates["add_partitions"] = [Fate.LOST] * 10_000
    stage.feed(0, range(3))
    ended = await stage.end_of(instance, 60)
    assert isinstance(ended, Stuck)
    assert "no transaction succeeded for 20 s" in str(ended)


@in_virtual_time
async def test_two_doubts_of_what_was_committed_long_apart_end_no_instance() -> None:
    """Nothing is left to commit after the first one, so that no success can follow."""
    stage = Stage(1, tuning=tuned(stuck_timeout_s=20.0))
    instance = stage.start()
    await stage.until(lambda: running(instance, 0))
    settled: list[float] = []
    restored: list[int] = []
    instance.seen.settled = lambda: settled.append(stage.broker.loop.time())  # type: ignore[method-assign]
    instance.seen.restore_began = lambda partition: restored.append(partition)  # type: ignore[method-assign]
    for number in range(2):
        stage.fates["end"] = [Fate.UNANSWERED]
        stage.feed(0, [number])
        await stage.settled()
        await asyncio.sleep(60)
    assert not instance.main.done()
    assert len(settled) == 2
    assert restored == [0, 0]
    stage.close(instance)


@in_virtual_time
async def test_a_doubt_is_not_settled_while_there_is_something_to_read() -> None:
    stage = Stage(1, tuning=tuned(stuck_timeout_s=20.0))
    instance = stage.start()
    await stage.until(lambda: running(instance, 0))
    instance.seen.settled = lambda: pytest.fail("settled, with records to read")  # type: ignore[method-assign]
    stage.fates["end"] = [Fate.LOST] * 3
    stage.feed(0, [0])
    await stage.settled()
    stage.close(instance)


@in_virtual_time
async def test_two_doubts_long_apart_with_nothing_to_do_between_end_no_instance() -> None:
    stage = Stage(1, tuning=tuned(stuck_timeout_s=20.0))
    zombie = stage.start("i0")
    await stage.until(lambda: running(zombie, 0))
    stage.broker.ambush = ("commit_offsets", stage.broker.pause, True)
    stage.feed(0, range(3))
    await stage.until(lambda: zombie.process.paused)
    successor = stage.start("i1")
    await stage.settled()
    stage.broker.resume(zombie.process)
    await asyncio.sleep(60)
    stage.broker.kill(successor.process)
    await stage.until(lambda: running(zombie, 0))
    stage.fates["end"] = [Fate.LOST]
    stage.feed(0, range(3, 6))
    await stage.settled()
    assert not zombie.main.done()
    stage.close(zombie)


# R11, R12 ------------------------------------------------------------------------------------------------------


@in_virtual_time
async def test_a_repeated_event_has_no_effect_after_a_restart_either() -> None:
    stage = Stage(1)
    stage.feed(0, [0, 1, 2, 2, 1])
    first = stage.start("i0")
    await stage.settled()
    stage.broker.kill(first.process)
    stage.feed(0, [2, 0, 3])
    second = stage.start("i1")
    await stage.settled()
    assert stage.broker.logs[ACTIONS, 0].end == (3 + 1) + (1 + 1)
    stage.close(second)


@in_virtual_time
async def test_stream_time_survives_a_restart() -> None:
    stage = Stage(1)
    stage.feed(0, [0], key=b"a", timestamp=1_000)
    stage.feed(0, [0], key=b"b", timestamp=50_000)
    first = stage.start("i0")
    await stage.settled()
    stage.broker.kill(first.process)
    # A late record: by stream time its session expired long ago.
    stage.feed(0, [1], key=b"a", timestamp=1_001)
    second = stage.start("i1")
    await stage.settled()
    [*_, (key, value)] = [(e.key, e.value) for e in stage.broker.logs[ACTIONS, 0].entries if e.key == b"a"]
    assert key == b"a"
    assert value is not None
    assert value.startswith(b"1:")
    stage.close(second)


# R13 -----------------------------------------------------------------------------------------------------------


def reader_of(instance: Instance) -> ModelInput:
    assert instance.runner is not None
    reader = instance.runner._input
    assert isinstance(reader, ModelInput)
    return reader


def deaf(instance: Instance, until_sought: bool) -> None:
    """The instance's reader hands over nothing any more (until it is sought again)."""
    reader = reader_of(instance)
    take, seek = reader.take, reader.seek
    reader.take = lambda max_records, only=None: []  # type: ignore[method-assign]

    def hearing(partition: int, offset: int) -> None:
        if until_sought:
            reader.take = take  # type: ignore[method-assign]
        seek(partition, offset)

    reader.seek = hearing  # type: ignore[method-assign]


@in_virtual_time
async def test_a_partition_that_stands_with_lag_is_read_anew() -> None:
    stage = Stage(1, tuning=tuned(stuck_timeout_s=20.0))
    instance = stage.start()
    await stage.until(lambda: running(instance, 0))
    deaf(instance, until_sought=True)
    told: list[dict[int, float]] = []
    instance.seen.standing = lambda ages, lags: told.append(dict(ages))  # type: ignore[method-assign]
    stage.feed(0, range(5))
    await stage.settled()
    assert max(ages[0] for ages in told if ages) == pytest.approx(10.0, abs=2.0)
    await asyncio.sleep(3)
    assert told[-1] == {}
    stage.close(instance)


@in_virtual_time
async def test_a_partition_whose_leader_is_silent_stands_and_ends_nothing() -> None:
    """How much there is to read is not known: it may be nothing, and a new process would hear as little."""
    stage = Stage(2, tuning=tuned(stuck_timeout_s=20.0))
    instance = stage.start()
    await stage.until(lambda: running(instance, 0, 1))
    told: list[tuple[dict[int, float], dict[int, int]]] = []
    instance.seen.standing = lambda ages, lags: told.append((dict(ages), dict(lags)))  # type: ignore[method-assign]
    reader = reader_of(instance)
    began = stage.broker.loop.time()

    def silence_s(partition: int) -> float:
        return stage.broker.loop.time() - began if partition == 1 else 0.0

    reader.silence_s = silence_s  # type: ignore[method-assign]
    await asyncio.sleep(60)
    ages, lags = told[-1]
    assert ages == {1: pytest.approx(60.0, abs=3.0)}
    assert lags == {0: 0, 1: 0}
    assert not instance.main.done()
    began = stage.broker.loop.time()
    await asyncio.sleep(1)
    assert told[-1] == ({}, {0: 0, 1: 0})
    stage.close(instance)


@in_virtual_time
async def test_a_partition_that_is_read_anew_and_not_answered_stands_on() -> None:
    stage = Stage(1, tuning=tuned(stuck_timeout_s=20.0))
    instance = stage.start()
    await stage.until(lambda: running(instance, 0))
    deaf(instance, until_sought=False)
    reader = reader_of(instance)
    seek = reader.seek

    def unanswered(partition: int, offset: int) -> None:
        seek(partition, offset)
        reader.lag = lambda partition: None  # type: ignore[method-assign]

    reader.seek = unanswered  # type: ignore[method-assign]
    stage.feed(0, range(5))
    ended = await stage.end_of(instance, 60)
    assert isinstance(ended, Stuck)
    assert "5 records to read" in str(ended)


@in_virtual_time
async def test_a_partition_that_stands_all_the_same_ends_the_process() -> None:
    stage = Stage(2, tuning=tuned(stuck_timeout_s=20.0))
    instance = stage.start()
    await stage.until(lambda: running(instance, 0, 1))
    deaf(instance, until_sought=False)
    stage.feed(1, range(5))
    ended = await stage.end_of(instance, 60)
    assert isinstance(ended, Stuck)
    assert "input-1 has stood at offset 0" in str(ended)
    assert "5 records to read" in str(ended)


@in_virtual_time
async def test_time_in_which_the_process_stood_still_is_no_partitions_fault() -> None:
    stage = Stage(1, tuning=tuned(stuck_timeout_s=20.0))
    instance = stage.start()
    await stage.until(lambda: running(instance, 0))
    stage.feed(0, [0])
    await stage.settled()
    stage.broker.pause(instance.process)
    stage.feed(0, range(1, 5))
    await asyncio.sleep(100)
    stage.broker.resume(instance.process)
    await stage.settled()
    assert not instance.main.done()
    stage.close(instance)


@pytest.mark.parametrize("why", ["open transaction", "halted", "nothing to read"])
@in_virtual_time
async def test_who_stands_for_a_reason_is_not_stuck(why: str) -> None:
    stage = Stage(1, tuning=tuned(stuck_timeout_s=20.0))
    if why == "open transaction":
        stage.broker.logs[CHANGELOG, 0].append_open(99, 0, 0, [NewRecord(b"sforeign", b"x")])
    instance = stage.start()
    stage.feed(0, [0, b"raise", 1] if why == "halted" else range(3))
    await asyncio.sleep(100)
    assert not instance.main.done()
    stage.close(instance)


# R14 -----------------------------------------------------------------------------------------------------------


@in_virtual_time
async def test_stop_commits_what_is_computed_leaves_and_ends() -> None:
    stage = Stage(2, tuning=tuned(commit_interval_s=5.0, max_commit_interval_s=5.0))
    instance = stage.start()
    await stage.until(lambda: running(instance, 0, 1))
    stage.feed(0, [0])
    await stage.settled()
    stage.feed(0, range(1, 5))
    stage.feed(1, range(4))
    await asyncio.sleep(0.1)
    assert instance.stop is not None
    began = stage.broker.loop.time()
    instance.stop.set()
    assert await stage.end_of(instance) is None
    assert stage.broker.loop.time() - began < 0.2
    await stage.settled()
    assert stage.broker.group.members == {}


@pytest.mark.parametrize("kind", ["init", "barrier", "produce", "end"])
@in_virtual_time
async def test_stop_ends_within_the_grace_though_nobody_answers(kind: str) -> None:
    stage = Stage(1, tuning=tuned(shutdown_timeout_s=2.0, transaction_timeout_s=50.0))
    stage.fates[kind] = [Fate.LOST] * 10_000
    stage.broker.weather.request_timeout_s = 40.0
    instance = stage.start()
    stage.feed(0, range(5))
    await asyncio.sleep(5)
    assert instance.stop is not None
    began = stage.broker.loop.time()
    instance.stop.set()
    assert await stage.end_of(instance) is None
    assert stage.broker.loop.time() - began <= 4.1


@in_virtual_time
async def test_a_transaction_that_is_not_answered_becomes_a_doubt() -> None:
    stage = Stage(1, tuning=tuned(transaction_timeout_s=1.0))
    instance = stage.start()
    await stage.until(lambda: running(instance, 0))
    stage.broker.weather.request_timeout_s = 1_000.0
    stage.fates["end"] = [Fate.LOST]
    stage.feed(0, range(5))
    await stage.until(lambda: stage.fates["end"] == [])
    stage.broker.weather.request_timeout_s = 0.2
    await stage.settled()
    assert stage.broker.sometimes["new epoch"] == 1
    stage.close(instance)
