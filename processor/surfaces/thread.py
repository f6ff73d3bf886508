"""Work in an event loop of its own, in a thread beside the engine's."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

log = logging.getLogger(__name__)

Work = Callable[[asyncio.Event], Awaitable[None]]
"""What runs there, until the event is set or shortly after."""


@asynccontextmanager
async def beside(name: str, work: Work, grace_s: float) -> AsyncIterator[None]:
    """Run ``work`` while the context lasts; it gets so many seconds to end, then the process goes on without it.

    What fails there is logged and harms nobody here.
    """
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    left = threading.Event()
    there: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def main() -> None:
        stop = asyncio.Event()
        there.append((asyncio.get_running_loop(), stop))
        if left.is_set():
            stop.set()
        await work(stop)

    def run() -> None:
        try:
            asyncio.run(main())
        except Exception:
            log.exception("%s has ended; everything else goes on", name)
        finally:
            with suppress(RuntimeError):  # nobody waits any more
                loop.call_soon_threadsafe(ended.set)

    # A daemon: the interpreter does not wait for one that hangs.
    threading.Thread(target=run, name=name, daemon=True).start()
    try:
        yield
    finally:
        left.set()
        for other, stop in there:
            with suppress(RuntimeError):  # it has ended by itself
                other.call_soon_threadsafe(stop.set)
        with suppress(TimeoutError):
            async with asyncio.timeout(grace_s):
                await ended.wait()
