"""A restore looks a second time before it refuses what it read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from processor.engine.observer import Observer
from processor.engine.restoring import Restorer
from processor.engine.task import Task
from processor.errors import InputLost, Refused
from schemas.progress import FORMAT, PROGRESS_KEY, Barrier, Progress, encode_progress
from tests.simulation.tally_fold import TallyFold

STATE = (b"sa", b"1 2 3 4 5")
PROGRESS = (PROGRESS_KEY, encode_progress(Progress(FORMAT, "1.0", 4, 7)))
Records = list[tuple[bytes, bytes]]


class Changelog:
    """The engine's `Cluster` as a restore needs it: what each reading gives, and how often a barrier was written."""

    def __init__(self, *readings: Records, earliest: int = 0) -> None:
        self._readings = list(readings)
        self._earliest = earliest  # input offset
        self.barriers = 0

    async def barrier(self, partition: int, value: bytes) -> int:
        self.barriers += 1
        return 10 * self.barriers

    async def read_changelog(
        self, partition: int, barrier: int, each: Callable[[bytes, bytes | None], None], waiting: Callable[[int], None]
    ) -> bool:
        assert barrier == 10 * self.barriers
        for key, value in self._readings.pop(0):
            each(key, value)
        return True

    async def input_bounds(self, partition: int) -> tuple[int, int]:
        return self._earliest, 100


async def restored(changelog: Any) -> Task:
    task = Task(3, TallyFold, 4, "1.0", "mine")
    await Restorer(changelog, Observer(), "changelog", "input").restore(task, Barrier("one", 1))
    return task


async def test_what_compaction_took_from_under_a_long_restore_is_read_up_to_a_new_barrier() -> None:
    """Its successor stands behind the first barrier, written by whoever has the partition now."""
    task = await restored(changelog := Changelog([STATE], [STATE, PROGRESS]))
    assert changelog.barriers == 2
    assert (task.position, task.changelog_next) == (7, 21)
    assert isinstance(task.fold, TallyFold)
    assert list(task.fold.sessions) == [b"a"]


async def test_input_that_others_processed_before_it_went_is_not_lost() -> None:
    ahead = (PROGRESS_KEY, encode_progress(Progress(FORMAT, "1.0", 4, 60)))
    task = await restored(Changelog([PROGRESS], [PROGRESS, ahead], earliest=50))
    assert task.position == 60


async def test_input_that_nobody_processed_is_lost() -> None:
    with pytest.raises(InputLost, match=r"lost 7\.\.49"):
        await restored(Changelog([PROGRESS], [PROGRESS], earliest=50))


async def test_what_is_missing_twice_is_refused() -> None:
    with pytest.raises(Refused, match="no progress record"):
        await restored(Changelog([STATE], [STATE]))


async def test_what_is_whole_is_read_once() -> None:
    task = await restored(changelog := Changelog([STATE, PROGRESS]))
    assert (changelog.barriers, task.changelog_next) == (1, 11)
