"""A supervisor ends workers that cannot end themselves."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import pytest

from processor.config import Settings
from processor.surfaces.showing import end_frozen
from processor.surfaces.watch.beat import Beat
from processor.surfaces.watch.picture import Picture

LIMIT_S = 60.0


@pytest.fixture
def picture() -> Picture:
    """Of two workers that were heard of just now."""
    picture = Picture(Settings())
    for name in ("a", "b"):
        picture.hear(Beat(name, 0, 1.0, 1.0, "working"))
    return picture


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("processor.surfaces.showing.LOOK_S", 0.01)


async def ended(picture: Picture, between_looks: Callable[[], None] = lambda: None) -> list[tuple[str, str]]:
    """Who is ended in a few looks; each is gone at once, as a killed process is."""
    told: list[tuple[str, str]] = []

    def end(name: str, why: str) -> None:
        told.append((name, why))
        picture.lost(name, "killed")

    watching = asyncio.create_task(end_frozen(picture, LIMIT_S, end))
    await asyncio.sleep(0)
    between_looks()
    await asyncio.sleep(0.1)
    watching.cancel()
    return told


async def test_whoever_speaks_lives(picture: Picture) -> None:
    assert await ended(picture) == []


async def test_a_silent_worker_is_ended_once_and_no_other(picture: Picture) -> None:
    picture.instances["a"].heard_at = time.monotonic() - LIMIT_S - 5
    assert await ended(picture) == [("a", "silent for 65 s")]


async def test_a_worker_whose_event_loop_stands_is_ended(picture: Picture) -> None:
    picture.hear(Beat("b", 1, 1.0, 1.0, "working", stalled_s=LIMIT_S + 1))
    assert await ended(picture) == [("b", "stalled for 61 s")]


async def test_who_was_frozen_together_with_the_supervisor_is_not(picture: Picture) -> None:
    for known in picture.instances.values():
        known.heard_at = time.monotonic() - LIMIT_S - 5

    def speak() -> None:
        for name in ("a", "b"):
            picture.hear(Beat(name, 1, 1.0, 1.0, "working"))

    assert await ended(picture, speak) == []
