"""The event loop of the commands: uvloop where it exists, asyncio's own elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, TypeVar

T = TypeVar("T")


async def cancelled(task: asyncio.Task[None]) -> None:
    """Cancel a task and wait until it has ended; its failure, if it had failed before, is raised."""
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


def run_async(work: Coroutine[Any, Any, T]) -> T:
    """Run to the end and return the result."""
    try:
        from uvloop import new_event_loop
    except ImportError:  # there is none on Windows
        return asyncio.run(work)
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(work)
