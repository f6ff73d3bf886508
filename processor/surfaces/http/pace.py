"""Answers that are costly to make: how much of a core they may take."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final, TypeVar

PAUSES: Final = 4.0  # times what an answer took: a fifth of one core is what all of them get

T = TypeVar("T")


class Pace:
    """One answer at a time, and behind each a pause that grows with what it cost.

    The thread that makes them holds the interpreter lock which the processor's thread needs. Who asks alone never
    waits; in a flood of questions the last ones are late, and told so by their connection's deadline.
    """

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._due = float("-inf")

    async def made(self, make: Callable[[], T]) -> T:
        """What ``make`` returns, when it is its turn."""
        async with self._turn:
            await asyncio.sleep(max(0.0, self._due - time.monotonic()))
            began = time.thread_time()
            try:
                return make()
            finally:
                self._due = time.monotonic() + PAUSES * (time.thread_time() - began)
