"""The live reader's check sees what a reader that comes late cannot."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.oracle.committed import Log, LoggedRecord
from tests.oracle.live import unlike

TOPIC = "actions"
COUNT = 50
Sequence = list[LoggedRecord]


def record(offset: int) -> LoggedRecord:
    return LoggedRecord(offset, 1_700_000_000_000, b"session", b"action %d" % offset, (("source.offset", b"1"),))


def committed() -> Log:
    # Every tenth offset is a marker.
    records = [record(offset) for offset in range(COUNT) if offset % 10 != 9]
    return Log(TOPIC, {0: records}, {0: COUNT}, {0: COUNT})


def shown_aborted(seen: Sequence) -> None:
    seen.insert(9, record(9))


def shown_twice(seen: Sequence) -> None:
    seen.insert(21, seen[20])


def shown_again_from_an_earlier_offset(seen: Sequence) -> None:
    seen[30:30] = seen[20:30]


def skipped(seen: Sequence) -> None:
    del seen[5]


def last_one_missing(seen: Sequence) -> None:
    del seen[-1]


def out_of_order(seen: Sequence) -> None:
    seen[3], seen[4] = seen[4], seen[3]


def other_value(seen: Sequence) -> None:
    seen[7] = seen[7]._replace(value=b"action of another attempt")


def other_headers(seen: Sequence) -> None:
    seen[7] = seen[7]._replace(headers=())


def nothing_seen(seen: Sequence) -> None:
    seen.clear()


def test_the_final_sequence_is_right() -> None:
    log = committed()

    assert unlike({(TOPIC, 0): list(log.records[0])}, {TOPIC: log}) == []


def test_what_was_seen_behind_the_compared_end_is_not_judged() -> None:
    log = committed()

    assert unlike({(TOPIC, 0): [*log.records[0], record(COUNT)]}, {TOPIC: log}) == []


@pytest.mark.parametrize(
    ("damage", "index"),
    [
        (shown_aborted, 9),
        (shown_twice, 21),
        (shown_again_from_an_earlier_offset, 30),
        (skipped, 5),
        (last_one_missing, 44),
        (out_of_order, 3),
        (other_value, 7),
        (other_headers, 7),
        (nothing_seen, 0),
    ],
)
def test_every_other_sequence_is_named_with_its_first_difference(
    damage: Callable[[Sequence], None], index: int
) -> None:
    log = committed()
    seen = list(log.records[0])

    damage(seen)

    [found] = unlike({(TOPIC, 0): seen}, {TOPIC: log})
    assert (found.check, found.topic, found.partition, found.where) == ("O6", TOPIC, 0, f"record {index}")
