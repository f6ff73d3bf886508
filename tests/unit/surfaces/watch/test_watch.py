"""What a worker tells about itself."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
import time
import weakref
from collections.abc import Mapping
from functools import partial
from typing import Any

import pytest

from processor.config import Settings
from processor.engine.observer import Committed
from processor.loop.partition import PartitionFold
from processor.surfaces.watch.watch import MAX_HAPPENED, MAX_METRICS, Watch, line_of


@pytest.fixture
def watch() -> Watch:
    """With partitions 0 and 1 running."""
    watch = Watch("i")
    watch.epoch_opened()
    watch.assigned(frozenset({0, 1}), 7)
    watch.running(0, 10, False, 0.5, {"gain": 1.0})
    watch.running(1, 20, True, 0.0, {"gain": 2.0})
    watch.take()
    return watch


def commit(
    watch: Watch,
    positions: Mapping[int, int],
    *,
    metrics: int = 0,
    happened: int = 0,
    first_ms: int | None = None,
) -> None:
    [partition] = positions
    first = int(time.time() * 1000) if first_ms is None else first_ms
    watch.committed(
        Committed(
            0.01,
            3,
            positions,
            {partition: {"events": 3}},
            {partition: [("k", {"session": str(n)}) for n in range(happened)]},
            {partition: {"gain": 5.0}},
            {partition: (first, first)},
            {partition: [b"%d" % n for n in range(metrics)]},
        )
    )


def test_a_beat_has_what_there_was_since_the_last_one_and_how_things_stand(watch: Watch) -> None:
    commit(watch, {0: 13}, metrics=2, happened=1)
    commit(watch, {0: 16})
    beat = watch.take()
    assert (beat.instance, beat.sequence, beat.phase, beat.generation) == ("i", 1, "working", 7)
    assert beat.tally == {"events": 6}
    assert (beat.commits_s, beat.batches) == ([0.01, 0.01], [3, 3])
    assert beat.metrics == [b"0", b"1"]
    assert beat.happened == [("k", {"session": "0"})]
    assert [(p, part.phase, part.position, part.figures) for p, part in beat.partitions.items()] == [
        (0, "running", 16, {"gain": 5.0}),
        (1, "running", 20, {"gain": 2.0}),
    ]
    later = watch.take()
    assert (later.sequence, later.tally, later.metrics, later.happened) == (2, {}, [], [])
    assert later.partitions[0].position == 16


def test_latency_is_the_age_of_a_transactions_first_record(watch: Watch) -> None:
    commit(watch, {0: 13}, first_ms=int(time.time() * 1000) - 2_000)
    commit(watch, {0: 14}, first_ms=-1)
    [latency_s] = watch.take().latencies_s
    assert 2.0 <= latency_s < 3.0


def test_what_nobody_takes_is_thinned_and_counted_but_no_count_is_lost(watch: Watch) -> None:
    for position in range(100):
        commit(watch, {0: position}, metrics=300, happened=300)
    beat = watch.take()
    assert beat.tally == {"events": 300}
    assert MAX_METRICS / 2 <= len(beat.metrics) <= MAX_METRICS
    assert len(beat.metrics) + beat.metrics_left_out == 30_000
    assert len(beat.happened) == MAX_HAPPENED
    assert beat.happened_left_out == 30_000 - MAX_HAPPENED


def test_lag_and_age_are_of_the_running_partitions(watch: Watch) -> None:
    commit(watch, {0: 13}, first_ms=int(time.time() * 1000) - 5_000)
    watch.standing({0: 3.0}, {0: 4})
    parts = watch.take().partitions
    assert (parts[0].lag, parts[0].standing_s, parts[0].phase) == (4, 3.0, "running")
    assert 5.0 <= parts[0].lag_s < 6.0
    assert (parts[1].lag, parts[1].standing_s) == (0, 0.0)


def test_a_partition_that_is_restored_after_a_doubt_does_not_run(watch: Watch) -> None:
    watch.standing({0: 3.0}, {0: 4, 1: 0})
    watch.restore_began(0)
    part = watch.take().partitions[0]
    assert (part.phase, part.standing_s) == ("restoring", 0.0)
    watch.restore_began(5)  # not ours any more
    watch.running(0, 13, False, 0.1, {})
    assert watch.take().partitions[0].phase == "running"


def test_a_doubt_lasts_until_a_commit(watch: Watch) -> None:
    watch.doubted("no answer")
    watch.epoch_opened()
    watch.doubted("no answer again")
    beat = watch.take()
    assert (beat.phase, beat.doubt, beat.doubts) == ("recovering", "no answer again", 2)
    commit(watch, {0: 13})
    beat = watch.take()
    assert (beat.phase, beat.doubt, beat.doubt_s) == ("working", None, 0.0)


def test_a_doubt_ends_where_nothing_is_left_to_commit(watch: Watch) -> None:
    watch.doubted("no answer")
    watch.epoch_opened()
    watch.settled()
    beat = watch.take()
    assert (beat.phase, beat.doubt) == ("working", None)


def test_a_transaction_that_is_not_answered_is_a_doubt_from_its_beginning(
    watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now)
    watch.committing()
    now += 1.0
    assert watch.take().doubt is None
    now += 2.0
    beat = watch.take()
    assert beat.doubt == "a transaction is not answered"
    assert beat.doubt_s == pytest.approx(3.0)
    watch.doubted("EndTxn: no reply")
    now += 1.0
    beat = watch.take()
    assert beat.doubt == "EndTxn: no reply"
    assert beat.doubt_s == pytest.approx(4.0)
    commit(watch, {0: 13})
    now += 60.0
    assert watch.take().doubt is None


def test_a_doubt_ends_with_the_partitions_it_was_about(watch: Watch) -> None:
    watch.doubted("fenced")
    watch.epoch_opened()
    watch.revoked(frozenset({0, 1}))
    beat = watch.take()
    assert (beat.phase, beat.doubt, beat.partitions) == ("working", None, {})


def test_a_doubt_outlasts_its_partitions_while_there_is_no_producer(watch: Watch) -> None:
    watch.doubted("no answer")
    watch.revoked(frozenset({0, 1}))
    beat = watch.take()
    assert (beat.phase, beat.doubt, beat.partitions) == ("recovering", "no answer", {})


def test_waiting_for_the_group_counts_from_the_start_and_from_every_revocation(monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now)
    watch = Watch("i")
    watch.epoch_opened()
    now += 3.0
    assert watch.take().unassigned_s == pytest.approx(3.0)
    watch.assigned(frozenset(), 7)
    assert watch.take().unassigned_s == 0.0
    watch.revoked(frozenset())
    now += 2.0
    assert watch.take().unassigned_s == pytest.approx(2.0)


def test_an_engine_that_looks_no_more_at_its_partitions_moves_none(
    watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now)
    watch.restore_began(1)
    watch.standing({}, {0: 0})
    now += 2.0
    watch._turned = now
    assert watch.take().partitions[0].standing_s == 0.0
    now += 10.0
    watch._turned = now
    parts = watch.take().partitions
    assert parts[0].standing_s == pytest.approx(12.0)
    assert parts[1].standing_s == 0.0
    watch.doubted("this is why")
    assert watch.take().partitions[0].standing_s == 0.0


def test_a_halted_partition_says_why(watch: Watch) -> None:
    watch.halted(1, "no such state")
    part = watch.take().partitions[1]
    assert (part.phase, part.cause, part.position) == ("halted", "no such state", 20)


def test_a_failed_restore_leaves_no_position(watch: Watch) -> None:
    watch.restore_began(1)
    watch.halted(1, "no progress record")
    part = watch.take().partitions[1]
    assert (part.phase, part.cause, part.position) == ("halted", "no progress record", -1)


def test_a_restore_that_reads_on_waits_no_more(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    watch.restoring(1, 40, 44)
    later = time.monotonic() + 6.0
    monkeypatch.setattr("processor.surfaces.watch.watch.time.monotonic", lambda: later)
    part = watch.take().partitions[1]
    assert (part.phase, part.waiting) == ("restoring", None)
    watch.restoring(1, 42, 44)
    assert watch.take().partitions[1].waiting == (42, 44)
    watch.restore_began(1)
    assert watch.take().partitions[1].waiting is None


def test_a_restore_that_waits_says_where(watch: Watch) -> None:
    watch.restoring(1, 40, 44)
    part = watch.take().partitions[1]
    assert (part.phase, part.waiting) == ("restoring", (40, 44))
    watch.running(1, 21, False, 1.0, {})
    part = watch.take().partitions[1]
    assert (part.phase, part.waiting, part.position) == ("running", None, 21)


async def test_a_stalled_event_loop_is_told_with_the_line_that_holds_it_up() -> None:
    watch = Watch("i")
    turning = asyncio.create_task(watch.turn())
    await asyncio.sleep(0)
    beats = [watch.take()]
    given_up_s = time.monotonic() + 30.0

    def look() -> None:
        while beats[-1].stalled_where is None and time.monotonic() < given_up_s:
            beats.append(watch.take())
            time.sleep(0.05)

    looking = asyncio.get_running_loop().run_in_executor(None, look)
    while beats[-1].stalled_where is None and time.monotonic() < given_up_s:
        time.sleep(0.05)  # noqa: ASYNC251  # this is the stall
    await looking
    turning.cancel()
    assert beats[0].stalled_s == 0.0
    assert beats[-1].stalled_s >= 1.0
    assert beats[-1].stalled_where is not None
    assert "test_watch.py" in beats[-1].stalled_where
    assert "in test_a_stalled_event_loop" in beats[-1].stalled_where


async def test_waiting_for_a_commit_ends_with_it_or_with_the_partition(watch: Watch) -> None:
    waiting = asyncio.create_task(watch.past(0, 12, 10.0))
    other = asyncio.create_task(watch.past(1, 25, 10.0))
    await asyncio.sleep(0)
    commit(watch, {0: 12})
    await asyncio.sleep(0)
    assert not waiting.done()
    commit(watch, {0: 13})
    assert await waiting
    watch.revoked(frozenset({1}))
    assert not await other
    assert not await watch.past(0, 13, 0.01)


def test_a_stall_in_a_library_also_names_the_function_of_somebody_else_that_we_called() -> None:
    ours: dict[str, Any] = {"__name__": "processor.made_up"}
    exec(compile("def call(selector): selector()", "made_up.py", "exec"), ours)
    theirs: dict[str, Any] = {"__name__": "mine"}
    exec(compile("def choose(wait):\n    wait()", "mine.py", "exec"), theirs)
    answer = threading.Event()
    stalled = threading.Thread(target=partial(ours["call"], partial(theirs["choose"], answer.wait)))
    stalled.start()
    try:
        where = ""
        while " in wait, called by " not in where:
            assert stalled.ident is not None
            where = line_of(sys._current_frames().get(stalled.ident)) or ""
    finally:
        answer.set()
        stalled.join()
    assert where.startswith("threading.py:")
    assert where.endswith("called by mine.py:2 in choose")


def test_a_stall_of_our_own_or_of_the_event_loop_is_one_line() -> None:
    assert line_of(None) is None
    here = line_of(sys._getframe())
    assert here is not None
    assert here.startswith("test_watch.py:")
    assert here.endswith(" in test_a_stall_of_our_own_or_of_the_event_loop_is_one_line")


def test_the_memory_of_a_partition_that_moved_away_is_given_back() -> None:
    watch = Watch("i")
    watch.assigned(frozenset({0, 1}), 1)
    for partition in (0, 1):
        watch.made(partition, PartitionFold(Settings(), "states", partition))
    gone, stays = weakref.ref(watch.folds[0]), watch.folds[1]
    watch.revoked(frozenset({0, 1}))
    watch.assigned(frozenset({1, 2}), 2)
    gc.collect()
    assert gone() is None
    assert watch.folds == {1: stays}  # it may be kept as it is
