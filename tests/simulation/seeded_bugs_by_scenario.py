"""Bugs that no random run is needed for: the rule's own scenario fails with them.

Most of them stop something for ever, or begin something that must never begin; a scenario says so at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import pytest

import processor.engine.restoring as restoring_module
import processor.engine.transactions as transactions_module
import processor.engine.tuning as tuning_module
from processor.engine.commit import Batch, commit
from processor.engine.computing import Computing
from processor.engine.lifecycle import TaskState
from processor.engine.partitions import Partitions
from processor.engine.ports import Cluster, FoldFactory
from processor.engine.runner import Runner
from processor.engine.standing import Standing
from processor.engine.task import Task
from processor.engine.transactions import Transactions
from processor.engine.tuning import Pace, Tuning
from processor.errors import InDoubt
from schemas.progress import FORMAT, Progress, decode_progress, encode_progress
from tests.simulation.broker import ACTIONS
from tests.simulation.seeded_bugs import Patch
from tests.unit.engine import test_rules as scenarios

NEVER_S = 1e9


@dataclass(frozen=True)
class ScenarioBug:
    """With ``patch``, ``scenario(*arguments)`` ends with ``fails``; without it, it is a test of its own."""

    name: str
    rule: str
    patch: Patch
    scenario: Callable[..., None]
    arguments: tuple[Any, ...] = ()
    fails: type[BaseException] = TimeoutError


def _limit_not_halved(patch: pytest.MonkeyPatch) -> None:
    original = Pace.failed

    def wrong(self: Pace, doubt: InDoubt) -> int | None:
        limit = self.limit
        culprit = original(self, doubt)
        self.limit = limit
        return culprit

    patch.setattr(Pace, "failed", wrong)


class _AlwaysEqual(bytes):
    def __ne__(self, other: object) -> bool:
        return False

    __hash__ = bytes.__hash__


def _with_tuning(**seconds: float) -> Patch:
    """The engine has other deadlines than it is told."""

    def patch_it(patch: pytest.MonkeyPatch) -> None:
        original = Runner.__init__

        def wrong(self: Runner, cluster: Cluster, factory: FoldFactory, tuning: Tuning, *arguments: Any) -> None:
            original(self, cluster, factory, replace(tuning, **seconds), *arguments)  # type: ignore[arg-type]

        patch.setattr(Runner, "__init__", wrong)

    return patch_it


def _transaction_without_deadline(patch: pytest.MonkeyPatch) -> None:
    async def wrong(batch: Batch, timeout_s: float) -> None:
        await commit(batch, NEVER_S)

    patch.setattr(transactions_module, "commit", wrong)


def _progress_changed(change: Callable[[Task, Progress | None], Progress | None]) -> Patch:
    """Whatever is restored, its progress record says something else."""

    def patch_it(patch: pytest.MonkeyPatch) -> None:
        original = Task.end_restore

        def wrong(self: Task, barrier: int, topic: str) -> Progress:
            found = None if self._progress is None else decode_progress(self._progress)
            changed = change(self, found)
            self._progress = None if changed is None else encode_progress(changed)
            return original(self, barrier, topic)

        patch.setattr(Task, "end_restore", wrong)

    return patch_it


def _first_start(task: Task, found: Progress | None) -> Progress:
    return found or Progress(FORMAT, task._version, task._partition_count, 0)


def _any_partition_count(task: Task, found: Progress | None) -> Progress | None:
    return None if found is None else msgspec.structs.replace(found, partition_count=task._partition_count)


def _any_application(task: Task, found: Progress | None) -> Progress | None:
    return None if found is None else msgspec.structs.replace(found, application_id=task._application_id)


def _halt_of_one_halts_all(patch: pytest.MonkeyPatch) -> None:
    original = Partitions.collect

    def wrong(self: Partitions, reader: Any) -> None:
        original(self, reader)
        halted = [task.cause for task in self.tasks.values() if task.state is TaskState.HALTED]
        if halted:
            raise RuntimeError(halted[0])

    patch.setattr(Partitions, "collect", wrong)


def _restores_in_a_row(patch: pytest.MonkeyPatch) -> None:
    """One partition after the other, and no work before all are there."""
    original = Computing.slice

    def wrong(self: Computing, reader: Any) -> bool:
        return not self._partitions.restores and original(self, reader)

    patch.setattr(Computing, "slice", wrong)


def _restore_beside_the_own_transaction(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Transactions, "_carries", lambda *_: False)


SCENARIO_BUGS = [
    ScenarioBug(
        "a restore does not wait for the own transaction",
        "R4",
        _restore_beside_the_own_transaction,
        scenarios.test_a_restore_waits_for_the_transaction_that_its_own_instance_has_under_way,
        fails=AssertionError,
    ),
    ScenarioBug(
        "other partitions wait for a restore",
        "R4",
        _restores_in_a_row,
        scenarios.test_a_restore_waits_for_an_open_transaction_and_the_other_partitions_work,
    ),
    ScenarioBug(
        "the batch limit is never halved",
        "R7",
        _limit_not_halved,
        scenarios.test_a_batch_too_large_is_halved_until_it_fits,
    ),
    ScenarioBug(
        "a full batch waits for the interval",
        "R7",
        lambda patch: patch.setattr(Pace, "room", lambda self, records, size: self.limit),
        scenarios.test_a_full_batch_does_not_wait_for_the_interval,
        fails=AssertionError,
    ),
    ScenarioBug(
        "a poisoned batch is never isolated",
        "R10",
        lambda patch: patch.setattr(tuning_module, "ISOLATE_AFTER", 1 << 60),
        scenarios.test_a_partition_that_is_refused_is_isolated_then_halted_and_the_others_go_on,
        (ACTIONS,),
    ),
    ScenarioBug(
        "a partition that halts takes the others with it",
        "R10",
        _halt_of_one_halts_all,
        scenarios.test_a_step_that_raises_halts_its_partition_at_that_record_and_no_other,
    ),
    ScenarioBug(
        "the anchor is not compared",
        "R10",
        lambda patch: patch.setattr(restoring_module, "anchor_hash", lambda _: _AlwaysEqual()),
        scenarios.test_a_changelog_that_cannot_be_the_truth_is_refused_before_anything_is_written,
        (scenarios._progress(position=3, anchor=b"another record"), "is not the record that was processed"),
    ),
    ScenarioBug(
        "a missing progress record is taken for a first start",
        "R10",
        _progress_changed(_first_start),
        scenarios.test_a_changelog_that_cannot_be_the_truth_is_refused_before_anything_is_written,
        (None, "no progress record"),
    ),
    ScenarioBug(
        "the partition count is not compared",
        "R10",
        _progress_changed(_any_partition_count),
        scenarios.test_a_changelog_that_cannot_be_the_truth_is_refused_before_anything_is_written,
        (scenarios._progress(partitions=8), "written for 8 partitions"),
    ),
    ScenarioBug(
        "the application is not compared",
        "R10",
        _progress_changed(_any_application),
        scenarios.test_a_changelog_that_cannot_be_the_truth_is_refused_before_anything_is_written,
        (scenarios._progress(application_id="another"), "belongs to application 'another', this is 'simulation'"),
    ),
    ScenarioBug(
        "a partition that stands is never noticed",
        "R13",
        lambda patch: patch.setattr(Standing, "check", lambda *_: None),
        scenarios.test_a_partition_that_stands_all_the_same_ends_the_process,
    ),
    ScenarioBug(
        "an instance without any success is never noticed",
        "R13",
        _with_tuning(stuck_timeout_s=NEVER_S),
        scenarios.test_without_any_success_for_the_stuck_time_out_the_instance_ends,
    ),
    ScenarioBug(
        "a transaction has no deadline",
        "R14",
        _transaction_without_deadline,
        scenarios.test_a_transaction_that_is_not_answered_becomes_a_doubt,
    ),
    ScenarioBug(
        "a revocation waits for its transaction without a deadline",
        "R14",
        _with_tuning(revoke_timeout_s=NEVER_S),
        scenarios.test_a_revocation_ends_within_its_deadline_though_the_commit_hangs,
        fails=AssertionError,
    ),
    ScenarioBug(
        "a stop waits without a deadline",
        "R14",
        _with_tuning(shutdown_timeout_s=NEVER_S),
        scenarios.test_stop_ends_within_the_grace_though_nobody_answers,
        ("end",),
    ),
]
