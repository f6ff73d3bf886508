"""Pace: size and interval of transactions, isolation of what is refused."""

from __future__ import annotations

import pytest

from processor.engine.tuning import BUSY_RECORDS, HALT_AFTER, ISOLATE_AFTER, Pace, Tuning
from processor.errors import InDoubt, ProducerFenced, Rejected, TimedOut

TUNING = Tuning("i0", "mine", 4, "1", "changelog", "input", max_batch_records=1_000, max_batch_bytes=500)


def refused(partition: int = 2, too_large: bool = False) -> Rejected:
    return Rejected(partition, "actions", "no", too_large=too_large)


def test_room_is_what_the_limit_leaves() -> None:
    pace = Pace(TUNING)
    assert pace.room(0, 0) == 1_000
    assert pace.room(400, 499) == 600
    assert pace.room(1_000, 0) == 0
    assert pace.room(1, 500) == 0


def test_the_interval_grows_under_load_and_shrinks_without_within_its_bounds() -> None:
    pace = Pace(TUNING)
    for _ in range(20):
        pace.started(0.0, BUSY_RECORDS + 1)
    assert pace.interval_s == TUNING.max_commit_interval_s
    for _ in range(20):
        pace.started(0.0, 1)
    assert pace.interval_s == TUNING.commit_interval_s


@pytest.mark.parametrize("doubt", [InDoubt("?"), ProducerFenced("?"), refused()], ids=repr)
def test_a_failed_batch_is_halved_down_to_one_record_and_grows_again(doubt: InDoubt) -> None:
    pace = Pace(TUNING)
    limits = [pace.limit]
    for _ in range(12):
        pace.failed(doubt)
        limits.append(pace.limit)
    assert limits[:4] == [1_000, 500, 250, 125]
    assert limits[-1] == 1
    for _ in range(12):
        pace.succeeded([0])
    assert pace.limit == 1_000


def test_after_a_time_out_the_batch_is_half_of_what_was_sent_and_grows_with_care() -> None:
    pace = Pace(TUNING)
    pace.started(0.0, 400)
    pace.failed(TimedOut("?"))
    assert pace.limit == 200
    pace.succeeded([0])
    assert pace.limit == 221  # a tenth more, not twice as much
    pace.failed(InDoubt("?"))  # says nothing about the size: back to the proven size in one step
    pace.succeeded([0])
    assert pace.limit == 220
    for _ in range(20):
        pace.succeeded([0])
    assert pace.limit == 1_000


def test_a_partition_goes_alone_after_refusals_in_a_row() -> None:
    pace = Pace(TUNING)
    for _ in range(ISOLATE_AFTER - 1):
        assert pace.failed(refused()) is None
    assert pace.alone is None
    assert pace.failed(refused()) is None
    assert pace.alone == 2


def test_a_success_between_two_refusals_isolates_nobody() -> None:
    pace = Pace(TUNING)
    for _ in range(5):
        pace.failed(refused())
        pace.succeeded([2])
    assert pace.alone is None


def test_a_doubt_isolates_nobody() -> None:
    pace = Pace(TUNING)
    for _ in range(10):
        assert pace.failed(InDoubt("?")) is None
    assert pace.alone is None


def isolated() -> Pace:
    pace = Pace(TUNING)
    for _ in range(ISOLATE_AFTER):
        pace.failed(refused())
    return pace


def test_alone_and_refused_three_times_it_halts_and_the_others_may_go_on() -> None:
    pace = isolated()
    assert [pace.failed(refused()) for _ in range(HALT_AFTER)] == [None, None, 2]
    assert pace.alone is None


def test_alone_and_accepted_it_is_one_of_many_again() -> None:
    pace = isolated()
    pace.failed(refused())
    pace.succeeded([2])
    assert pace.alone is None


def test_the_success_of_others_does_not_free_it() -> None:
    pace = isolated()
    pace.succeeded([0, 1])
    assert pace.alone == 2


def test_a_batch_too_large_halts_only_as_a_single_record() -> None:
    pace = isolated()
    halted = None
    while halted is None:
        halted = pace.failed(refused(too_large=True))
    assert (halted, pace.limit) == (2, 1)
