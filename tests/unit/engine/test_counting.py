"""Whoever watches the engine hears of a transaction when it is committed: not before, not twice, not otherwise."""

from __future__ import annotations

import pytest

from processor.engine.lifecycle import TaskState
from processor.engine.observer import Committed
from tests.simulation.network import Fate
from tests.simulation.stage import Stage, in_virtual_time
from tests.simulation.transactions import COMMITTING, EMPTY

KINDS = ("add_partitions", "add_offsets", "produce", "commit_offsets", "end")


@pytest.mark.parametrize("fate", [Fate.LOST, Fate.UNANSWERED, Fate.LATE])
@pytest.mark.parametrize("kind", KINDS)
@in_virtual_time
async def test_nothing_is_told_before_it_is_committed_and_no_event_twice(kind: str, fate: Fate) -> None:
    stage = Stage(1)
    told: list[tuple[int, str]] = []  # records, and the coordinator's word on their transaction at that moment
    instance = stage.start()

    def committed(report: Committed) -> None:
        [transactional] = stage.broker.transactions.ids.values()
        told.append((report.records, transactional.state))

    instance.seen.committed = committed  # type: ignore[method-assign]
    await stage.until(lambda: instance.runner is not None and len(instance.runner.tasks) == 1)
    [task] = instance.runner.tasks.values()  # type: ignore[union-attr]
    await stage.until(lambda: task.state is TaskState.RUNNING)
    stage.feed(0, range(5))
    await stage.settled()
    stage.fates[kind] = [fate]
    stage.feed(0, range(5, 9))
    await stage.settled()
    stage.feed(0, range(9, 12))
    await stage.settled()
    assert stage.fates[kind] == []
    assert {state for _, state in told} <= {COMMITTING, EMPTY}  # its markers are under way, or written
    unanswered = kind == "end" and fate is not Fate.LOST  # committed, without anybody knowing
    assert sum(records for records, _ in told) in ((8, 12) if unanswered else (12,))
    stage.close(instance)
