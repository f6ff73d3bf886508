"""What a worker shows of itself, and a supervisor of workers that cannot end themselves."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from typing import cast

import pytest

from processor.config import Settings
from processor.surfaces.ports import Kafka
from processor.surfaces.showing import end_frozen, shown_alone
from processor.surfaces.watch.beat import Beat
from processor.surfaces.watch.picture import Picture
from processor.surfaces.watch.watch import Watch
from tests.unit.surfaces.cli.commands import NoKafka

LIMIT_S = 60.0


@pytest.fixture
def picture() -> Picture:
    """Of two workers that were heard of just now."""
    picture = Picture(Settings())
    for name in ("a", "b"):
        picture.hear(Beat(name, 0, 1.0, 1.0, "working"))
    return picture


class Looks:
    """Stands for the pauses between looks: they take no time, and end after so many."""

    def __init__(self, count: int, between: Callable[[], None]) -> None:
        self._left = count
        self._between = between

    async def pause(self, seconds: float) -> None:
        self._left -= 1
        if self._left == 0:
            raise asyncio.CancelledError
        self._between()


async def ended(
    monkeypatch: pytest.MonkeyPatch, picture: Picture, between_looks: Callable[[], None] = lambda: None
) -> list[tuple[str, str]]:
    """Who is ended in five looks; each is gone at once, as a killed process is."""
    told: list[tuple[str, str]] = []

    def end(name: str, why: str) -> None:
        told.append((name, why))
        picture.lost(name, "killed")

    with monkeypatch.context() as patch, suppress(asyncio.CancelledError):
        patch.setattr("processor.surfaces.showing.asyncio.sleep", Looks(5, between_looks).pause)
        await end_frozen(picture, LIMIT_S, end)
    return told


async def test_whoever_speaks_lives(picture: Picture, monkeypatch: pytest.MonkeyPatch) -> None:
    assert await ended(monkeypatch, picture) == []


async def test_a_silent_worker_is_ended_once_and_no_other(picture: Picture, monkeypatch: pytest.MonkeyPatch) -> None:
    picture.instances["a"].heard_at = time.monotonic() - LIMIT_S - 5
    assert await ended(monkeypatch, picture) == [("a", "silent for 65 s")]


async def test_a_worker_whose_event_loop_stands_is_ended(picture: Picture, monkeypatch: pytest.MonkeyPatch) -> None:
    picture.hear(Beat("b", 1, 1.0, 1.0, "working", stalled_s=LIMIT_S + 1))
    assert await ended(monkeypatch, picture) == [("b", "stalled for 61 s")]


async def test_who_was_frozen_together_with_the_supervisor_is_not(
    picture: Picture, monkeypatch: pytest.MonkeyPatch
) -> None:
    for known in picture.instances.values():
        known.heard_at = time.monotonic() - LIMIT_S - 5

    def speak() -> None:
        for name in ("a", "b"):
            picture.hear(Beat(name, 1, 1.0, 1.0, "working"))

    assert await ended(monkeypatch, picture, speak) == []


async def test_a_window_that_cannot_be_opened_says_so_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: Settings) -> Picture:
        raise ValueError("a defect")

    monkeypatch.setattr("processor.surfaces.showing.Picture", broken)
    with pytest.raises(ValueError, match="a defect"):
        async with asyncio.timeout(10), shown_alone(Settings(), Watch("w"), cast(Kafka, NoKafka())):
            pytest.fail("there is no window")
