"""Metrics to callbacks in process: plain functions at once, coroutines through a bounded queue.

A callback is somebody else's code: its errors are logged, never raised into the loop, and a slow coroutine
loses metrics instead of holding the loop up.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import structlog

MetricCallback = Callable[[dict[str, Any]], Awaitable[None] | None]

Job = Callable[[], Awaitable[None] | None]

QUEUE_METRICS = 1000

_log = structlog.stdlib.get_logger("creative_feedback")


class MetricSubscription:
    """One callback with its interval in steps (0: none) and its own stream sequence."""

    def __init__(self, callback: MetricCallback, interval_steps: int) -> None:
        if interval_steps < 0:
            raise ValueError(f"interval_steps is {interval_steps}; it must be 0 (off) or more")
        self.callback = callback
        self.interval_steps = interval_steps
        self.stream_sequence = 0
        self._delivery = CoroutineDelivery()
        self._is_coroutine_function = inspect.iscoroutinefunction(callback) or inspect.iscoroutinefunction(
            getattr(callback, "__call__", None)  # noqa: B004  # the method itself is asked for
        )

    def push(self, metric: dict[str, Any], step: int, event: bool) -> None:
        """Hand `metric` over where one is due at `step`; `event` metrics always are."""
        if not self.interval_steps or not (event or step % self.interval_steps == 0):
            return
        own = {**metric, "stream_sequence": self.stream_sequence}
        self.stream_sequence += 1
        if self._is_coroutine_function:
            self._delivery.put(partial(self.callback, own))
            return
        try:
            result = self.callback(own)
        except Exception:
            _log.exception("creative_metric_callback_failed")
            return
        if inspect.isawaitable(result):
            self._delivery.put(lambda: result)

    async def delivered(self) -> None:
        """Wait until everything pushed so far has been handed to the callback."""
        await self._delivery.delivered()

    def close(self) -> None:
        """Give up what is queued and stop the thread, where one was started."""
        self._delivery.close()


class CoroutineDelivery:
    """Runs what returns an awaitable, one after another, in the event loop that put the first.

    Where no event loop runs, a thread of its own does it.
    """

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._queue: asyncio.Queue[Job] | None = None
        self._worker: asyncio.Task[None] | None = None
        self._thread: threading.Thread | None = None

    def put(self, job: Job) -> None:
        """Queue `job`, or drop it where the queue is full; never waits."""
        if self._loop is None or self._loop.is_closed():
            self._start()
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._enqueue, job)

    async def delivered(self) -> None:
        """Wait until the queue is empty and its last metric handled."""
        loop = self._loop
        if loop is None or loop.is_closed():
            return
        if loop is asyncio.get_running_loop():
            await self._drained()
        else:
            await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._drained(), loop))

    def close(self) -> None:
        """Drop what is queued; ends the thread if there is one."""
        loop = self._loop
        if loop is None or loop.is_closed():
            return
        loop.call_soon_threadsafe(self._stop)
        if self._thread is not None:
            self._thread.join()

    @staticmethod
    def _run(loop: asyncio.AbstractEventLoop) -> None:
        try:
            loop.run_forever()
        finally:
            loop.close()

    def _stop(self) -> None:
        worker, thread = self._worker, self._thread
        if worker is not None:
            worker.cancel()
            if thread is not None:
                worker.add_done_callback(lambda _: asyncio.get_running_loop().stop())
        elif thread is not None:
            asyncio.get_running_loop().stop()

    def _start(self) -> None:
        try:
            self._loop = asyncio.get_running_loop()
        except RuntimeError:
            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(target=self._run, args=(self._loop,), name="creative-metrics", daemon=True)
            self._thread.start()
        self._queue = None

    def _enqueue(self, job: Job) -> None:
        if self._queue is None:
            self._queue = asyncio.Queue(QUEUE_METRICS)
            self._worker = asyncio.get_running_loop().create_task(self._work(self._queue))
        try:
            self._queue.put_nowait(job)
        except asyncio.QueueFull:
            _log.warning("creative_metric_dropped", queue_metrics=QUEUE_METRICS)

    async def _work(self, queue: asyncio.Queue[Job]) -> None:
        while True:
            job = await queue.get()
            try:
                result = job()
                if result is not None:
                    await result
            except Exception:
                _log.exception("creative_metric_callback_failed")
            finally:
                queue.task_done()

    async def _drained(self) -> None:
        # What was pushed before this call is in the queue once the loop has turned.
        await asyncio.sleep(0)
        if self._queue is not None:
            await self._queue.join()
