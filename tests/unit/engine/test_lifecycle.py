"""The drawing of a task's life is what the code allows, pair by pair."""

from __future__ import annotations

import itertools

import pytest

from processor.engine.lifecycle import TaskState
from processor.engine.observer import Observer
from processor.engine.task import Task
from tests.simulation.tally_fold import TallyFold

C, R, W, K, H, X = (
    TaskState.CREATED,
    TaskState.RESTORING,
    TaskState.RUNNING,
    TaskState.KEPT,
    TaskState.HALTED,
    TaskState.CLOSED,
)

ALLOWED = {
    *((C, state) for state in (R, H, X)),
    *((R, state) for state in (R, W, H, X)),
    *((W, state) for state in (R, K, H, X)),
    *((K, state) for state in (R, W, H, X)),
    (H, X),
}


def task_in(state: TaskState) -> Task:
    task = Task(0, TallyFold, 1, "1", "mine")
    task.state = state
    return task


@pytest.mark.parametrize(
    ("before", "after"), list(itertools.product(TaskState, TaskState)), ids=lambda state: state.value
)
def test_every_pair_of_states(before: TaskState, after: TaskState) -> None:
    task = task_in(before)
    if (before, after) in ALLOWED:
        task.move_to(after)
        assert task.state is after
    else:
        with pytest.raises(AssertionError, match="task 0"):
            task.move_to(after)
        assert task.state is before


def test_a_closed_task_stays_closed() -> None:
    assert TaskState.CLOSED.successors == frozenset()


@pytest.mark.parametrize("state", [state for state in TaskState if state is not TaskState.CLOSED])
def test_every_state_can_end(state: TaskState) -> None:
    assert TaskState.CLOSED in state.successors


def test_halting_keeps_its_cause() -> None:
    task = task_in(TaskState.RUNNING)
    task.halt("input-0 offset 3: bad", Observer())
    assert (task.state, task.cause) == (TaskState.HALTED, "input-0 offset 3: bad")
