"""Who is let in, and who has to go."""

from __future__ import annotations

from processor.surfaces.http.door import RESERVED, Door


class Visitor:
    """A connection that keeps what was done to it."""

    def __init__(self, *, idle: bool = True) -> None:
        self.idle = idle
        self.turned_away = False

    def turn_away(self) -> None:
        self.turned_away = True


def full(limit: int) -> tuple[Door, list[Visitor]]:
    door = Door(limit)
    inside = [Visitor() for _ in range(limit)]
    for visitor in inside:
        door.enter(visitor)
    return door, inside


def test_up_to_the_limit_everybody_may_ask() -> None:
    door, inside = full(3)
    assert all(door.admits(visitor) for visitor in inside)
    late = Visitor()
    door.enter(late)
    assert not door.admits(late)
    assert not late.turned_away
    assert door.connections == 4


def test_who_waited_longest_in_silence_goes_first_and_never_one_inside() -> None:
    door, inside = full(2)
    reserve = [Visitor(idle=n != 0) for n in range(RESERVED)]
    for visitor in reserve:
        door.enter(visitor)
    assert not any(visitor.turned_away for visitor in reserve)
    for _ in range(3):
        door.enter(Visitor())
    assert [n for n, visitor in enumerate(reserve) if visitor.turned_away] == [1, 2, 3]
    assert not any(visitor.turned_away for visitor in inside)
    assert (door.connections, door.turned_away) == (2 + RESERVED, 3)


def test_where_everybody_is_being_answered_the_newcomer_goes() -> None:
    door, _ = full(1)
    for _ in range(RESERVED):
        door.enter(Visitor(idle=False))
    busy = Visitor(idle=False)
    door.enter(busy)
    assert busy.turned_away
    assert door.connections == 1 + RESERVED


def test_a_free_place_is_for_who_asks_first() -> None:
    door, inside = full(1)
    first, second = Visitor(), Visitor()
    door.enter(first)
    door.enter(second)
    door.leave(inside[0])
    assert door.admits(second)
    assert not door.admits(first)
    door.leave(second)
    door.leave(second)
    assert door.admits(first)
    assert door.connections == 1
