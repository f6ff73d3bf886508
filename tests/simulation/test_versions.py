"""Two versions in one group: a rolling update, and the newer instance dying in the middle of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

import pytest

from processor.engine.lifecycle import TaskState
from processor.errors import Refused
from tests.simulation.broker import INPUT
from tests.simulation.simulation import Instance
from tests.simulation.stage import Stage, in_virtual_time
from tests.simulation.tally_fold import TallyFold

PARTITIONS = 6
REFUSAL = "written in format 2, this version reads up to 1"


def two_versions() -> tuple[Callable[[int], TallyFold], Callable[[int], TallyFold]]:
    """An older fold, and a newer one whose state it refuses. The states are equal, as the oracle wants them."""
    newer_state: set[int] = set()

    class Older(TallyFold):
        def restored(self, marks: bytes) -> None:
            if self.partition in newer_state:
                raise Refused(REFUSAL)
            super().restored(marks)

    class Newer(TallyFold):
        def changes(self) -> Iterable[tuple[bytes, bytes | None]]:
            newer_state.add(self.partition)
            return super().changes()

    return Older, Newer


def shares(*instances: Instance) -> list[set[int]]:
    """The partitions that each of them works on."""
    return [
        {p for p, task in (one.runner.tasks if one.runner else {}).items() if task.state is TaskState.RUNNING}
        for one in instances
    ]


def whole(*instances: Instance) -> bool:
    given = shares(*instances)
    return all(given) and sorted(p for share in given for p in share) == list(range(PARTITIONS))


async def replaced(stage: Stage, instance: Instance, *others: Instance) -> Instance:
    """As a StatefulSet does it: stopped in an orderly way, and started under the same name.

    With ``others`` not before those have its partitions.
    """
    assert instance.stop is not None
    instance.stop.set()
    await stage.end_of(instance)
    if others:
        await stage.until(lambda: whole(*others))
    return stage.start(instance.name)


@pytest.mark.parametrize("leave", [False, True])
@in_virtual_time
async def test_in_a_rolling_update_with_static_members_no_older_instance_meets_newer_state(leave: bool) -> None:
    """Also where their partitions move: what a newer one has it keeps, and whoever comes next takes from it."""
    older, newer = two_versions()
    stage = Stage(PARTITIONS, fold=older, static_membership=True, leave_on_stop=leave)
    instances = [stage.start(name) for name in ("one", "two", "three")]
    await stage.until(lambda: whole(*instances))
    before = shares(*instances)
    stage.simulation.plan = replace(stage.simulation.plan, fold=newer)
    for index in range(len(instances)):
        for partition in range(PARTITIONS):
            stage.feed(partition, range(5 * index, 5 * index + 5))
        await stage.settled()
        others = [instance for instance in instances if instance is not instances[index]]
        instances[index] = await replaced(stage, instances[index], *(others if leave else ()))
        await stage.until(lambda: whole(*instances))
    for partition in range(PARTITIONS):
        stage.feed(partition, range(15, 20))
    await stage.settled()
    assert (shares(*instances) == before) is not leave
    assert not any(instance.seen.halted_partitions for instance in instances)
    stage.close(*instances)


@in_virtual_time
async def test_newer_state_that_falls_to_an_older_instance_is_refused_by_name_and_waits_for_the_newer_version() -> None:
    older, newer = two_versions()
    stage = Stage(PARTITIONS, fold=older, static_membership=True)
    one, two = stage.start("one"), stage.start("two")
    await stage.until(lambda: whole(one, two))
    stage.simulation.plan = replace(stage.simulation.plan, fold=newer)
    one = await replaced(stage, one)
    for partition in range(PARTITIONS):
        stage.feed(partition, range(5))
    await stage.settled()
    [updated, left] = shares(one, two)

    stage.broker.kill(one.process)
    for partition in range(PARTITIONS):
        stage.feed(partition, range(5, 9))
    await stage.until(lambda: set(two.seen.halted_partitions) == updated)
    ends = {partition: stage.broker.logs[INPUT, partition].end for partition in range(PARTITIONS)}
    await stage.until(lambda: all(stage.broker.group.offsets[partition] == ends[partition] for partition in left))

    assert set(two.seen.halted_partitions.values()) == {REFUSAL}
    assert all(stage.broker.group.offsets[partition] < ends[partition] for partition in updated)
    two = await replaced(stage, two)
    await stage.settled()
    assert shares(two) == [set(range(PARTITIONS))]
    stage.close(two)
