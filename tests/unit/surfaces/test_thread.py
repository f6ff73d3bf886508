"""Work in a thread beside an event loop."""

from __future__ import annotations

import asyncio
import logging
import threading
import time

import pytest

from processor.surfaces.thread import beside


async def test_it_runs_in_a_thread_of_its_own_and_is_told_to_stop() -> None:
    threads: list[int] = []
    began = threading.Event()

    async def work(stop: asyncio.Event) -> None:
        threads.append(threading.get_ident())
        began.set()
        await stop.wait()
        threads.append(threading.get_ident())

    async with beside("work", work, 10.0):
        await asyncio.to_thread(began.wait)
    assert threads == [threads[0]] * 2
    assert threads[0] != threading.get_ident()


async def test_who_leaves_before_it_has_begun_does_not_wait_for_the_grace() -> None:
    async def work(stop: asyncio.Event) -> None:
        await stop.wait()

    began = time.monotonic()
    for _ in range(20):
        async with beside("work", work, 30.0):
            pass
    assert time.monotonic() - began < 30


async def test_what_fails_there_is_told_and_harms_nobody_here(caplog: pytest.LogCaptureFixture) -> None:
    async def work(stop: asyncio.Event) -> None:
        raise ValueError("a defect")

    with caplog.at_level(logging.ERROR):
        async with beside("work", work, 10.0):
            await asyncio.sleep(0)
    assert "work has ended; everything else goes on" in caplog.text


async def test_what_does_not_end_is_left_behind() -> None:
    free = threading.Event()

    async def work(stop: asyncio.Event) -> None:
        await asyncio.to_thread(free.wait)

    async with beside("work", work, 0.05):
        pass
    free.set()
