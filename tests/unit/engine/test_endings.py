"""What ends an instance or sends it to look again, whatever the records say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from processor.engine.lifecycle import TaskState
from processor.engine.observer import Observer
from processor.engine.ports import InputRecord, Outbox, Token
from processor.engine.transactions import Transactions
from processor.errors import (
    Fenced,
    InDoubt,
    InputMoved,
    InstanceFenced,
    InstanceIdInUse,
    OutOfMemory,
    ProducerFenced,
    Refused,
)
from tests.simulation.client import ModelInput
from tests.simulation.network import Fate
from tests.simulation.simulation import TUNING, Instance
from tests.simulation.stage import Stage, in_virtual_time
from tests.simulation.tally_fold import TallyFold


def works(instance: Instance) -> bool:
    tasks = instance.runner.tasks if instance.runner is not None else {}
    return bool(tasks) and all(task.state is TaskState.RUNNING for task in tasks.values())


def test_no_memory_in_a_step_ends_the_process_and_blames_no_record(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of the step's output is in the batch already: leaving the group must not commit it."""
    process = TallyFold.process

    def exhausted(self: TallyFold, records: Sequence[InputRecord], out: Outbox) -> None:
        process(self, records[:2], out)
        raise MemoryError

    @in_virtual_time
    async def scenario() -> None:
        stage = Stage(1)
        first = stage.start("i0")
        await stage.until(lambda: works(first))
        stage.feed(0, range(3))
        await stage.settled()
        monkeypatch.setattr(TallyFold, "process", exhausted)
        stage.feed(0, range(3, 9))

        ended = await stage.end_of(first)

        assert isinstance(ended, OutOfMemory)
        assert first.seen.halted_partitions == {}
        monkeypatch.setattr(TallyFold, "process", process)
        second = stage.start("i1")
        await stage.settled()
        stage.close(second)

    scenario()


@in_virtual_time
async def test_partitions_added_under_a_running_instance_are_refused() -> None:
    stage = Stage(1)
    instance = stage.start()
    await stage.until(lambda: works(instance))
    assert instance.runner is not None

    instance.runner.assigned(Token(99, "member", None, frozenset({0, 1})))

    refused = await stage.end_of(instance)
    assert isinstance(refused, Refused)
    assert "more than the 1 partitions of topics.partitions" in str(refused)


def test_an_input_that_was_gone_for_a_moment_is_looked_at_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its leader did not know it, at the same position each time: that says nothing was lost."""
    take = ModelInput.take
    gone = [3]

    def sometimes_gone(self: ModelInput, *arguments: Any) -> Any:
        if gone[0]:
            gone[0] -= 1
            raise InputMoved(0, "input-0 is unknown to its leader")
        return take(self, *arguments)

    @in_virtual_time
    async def scenario() -> None:
        stage = Stage(1)
        instance = stage.start()
        await stage.until(lambda: works(instance))
        monkeypatch.setattr(ModelInput, "take", sometimes_gone)
        stage.feed(0, range(5))
        await stage.settled()
        assert gone == [0]
        assert instance.seen.halted_partitions == {}
        stage.close(instance)

    scenario()


@pytest.mark.parametrize("kind", ["add_offsets", "commit_offsets", "end"])
@in_virtual_time
async def test_a_transaction_that_came_to_nothing_ends_with_its_instance(kind: str) -> None:
    """Nobody comes back under its id, and whoever has its partitions next waits for no time-out."""
    stage = Stage(2)
    one, two = stage.start("i0"), stage.start("i1")
    await stage.until(lambda: works(one) and works(two))
    assert one.stop is not None
    stage.requests.clear()
    stage.fates[kind] = [Fate.LOST]
    partition = min(one.runner.tasks) if one.runner is not None else 0
    stage.feed(partition, range(5))
    await stage.until(lambda: ("i0", kind) in stage.requests)

    one.stop.set()
    assert await stage.end_of(one) is None

    ended_s = stage.broker.loop.time()
    await stage.until(lambda: stage.broker.transactions.open_ids() == [])
    assert stage.broker.loop.time() - ended_s < 0.1
    await stage.settled()
    stage.close(two)


@pytest.mark.parametrize(
    ("doubt", "fatal", "left_open"),
    [
        (None, None, False),
        (InDoubt("?"), None, True),
        (Fenced("?"), None, True),
        (None, Refused("the changelog got shorter"), True),
        (ProducerFenced("?"), None, False),
        (InstanceFenced("?"), None, False),
        (Fenced("?"), InstanceIdInUse("i0"), False),
    ],
    ids=repr,
)
async def test_a_process_that_has_our_id_by_now_is_not_fenced_by_our_end(
    doubt: InDoubt | Fenced | None, fatal: Exception | None, left_open: bool
) -> None:
    transactions = Transactions(TUNING, Observer(), lambda: None, lambda: None)
    transactions.doubt, transactions.fatal = doubt, fatal
    assert transactions.cancel() is left_open
