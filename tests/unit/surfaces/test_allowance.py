"""How much may be done: `processor.surfaces.allowance`."""

from __future__ import annotations

from processor.surfaces.allowance import Allowance


def test_it_begins_full_and_gives_what_it_has() -> None:
    allowance = Allowance(10, 30, 100.0)
    assert [allowance.take(wanted, 100.0) for wanted in (20, 20, 20)] == [20, 10, 0]


def test_it_is_refilled_as_time_goes_on() -> None:
    allowance = Allowance(10, 30, 100.0)
    allowance.take(30, 100.0)
    assert [allowance.take(5, now) for now in (100.09, 100.21, 100.5, 100.5)] == [0, 2, 3, 0]


def test_parts_of_one_add_up() -> None:
    allowance = Allowance(10, 10, 0.0)
    allowance.take(10, 0.0)
    assert sum(allowance.take(1, step / 64) for step in range(1, 65)) == 10


def test_what_nobody_takes_is_lost_beyond_the_most() -> None:
    allowance = Allowance(10, 30, 0.0)
    allowance.take(30, 0.0)
    assert allowance.take(1_000, 3_600.0) == 30


def test_of_nothing_wanted_nothing_is_gone() -> None:
    allowance = Allowance(10, 30, 0.0)
    assert [allowance.take(wanted, 0.0) for wanted in (0, 30)] == [0, 30]
