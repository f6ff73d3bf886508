"""An event loop whose clock jumps to the next timer, and processes in it that can be paused and killed.

Nothing ever sleeps, nothing outside is touched, and callbacks run in the order in which they became due: what a run
does is a function of its seed alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar, copy_context
from typing import Any, TypeVar, TypeVarTuple, Unpack
from weakref import WeakKeyDictionary

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class Killed(BaseException):
    """Raised from every call into the outside by a process that is dead: its code only unwinds."""


class Process:
    """What runs in its context belongs to it, as if it were a process of the operating system."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.killed = False
        self.paused = False
        self.watched = False  # paused, or steps are counted
        self.held: list[asyncio.Handle] = []
        self.tasks: WeakKeyDictionary[asyncio.Task[Any], None] = WeakKeyDictionary()  # in order
        self._steps = 0
        self._blow: Callable[[], None] | None = None
        self.context = copy_context()
        self.context.run(_PROCESS.set, self)

    def check(self) -> None:
        """Raises `Killed` in a dead process."""
        if self.killed:
            raise Killed(self.name)

    def pause(self) -> None:
        """Nothing of it runs until `resume`; time goes on."""
        self.paused = self.watched = True

    def strike_after(self, steps: int, blow: Callable[[], None]) -> None:
        """Let the blow fall when so many steps more (from an await to the next) are due, before the last one."""
        self._steps, self._blow = steps, blow
        self.watched = True

    def due(self, handle: asyncio.Handle) -> bool:
        """A step of a watched process is due; true where it must wait."""
        if self._blow is not None:
            self._steps -= 1
            if self._steps <= 0:
                blow, self._blow = self._blow, None
                blow()
        self.watched = self.paused or self._blow is not None
        if self.paused:
            self.held.append(handle)
        return self.paused

    def resume(self) -> None:
        """Everything that became due meanwhile runs, in order."""
        self.paused = False
        self.watched = self._blow is not None
        held, self.held = self.held, []
        for handle in held:
            handle._loop._ready.append(handle)  # type: ignore[attr-defined]

    def kill(self) -> None:
        """At whatever await it stands: nothing of it has any further effect outside."""
        self.killed = True
        for task in list(self.tasks):
            task.cancel()
        self.resume()


_PROCESS: ContextVar[Process | None] = ContextVar("process", default=None)


class _Clock:
    """Stands where the selector would: waiting is moving the clock."""

    def __init__(self) -> None:
        self.now = 0.0

    def select(self, timeout: float | None) -> list[Any]:
        if timeout is None:
            raise RuntimeError("deadlock: nothing is due and nothing is scheduled")
        self.now += timeout
        return []


class VirtualLoop(asyncio.BaseEventLoop):
    """Run it with `run`; ``time()`` is virtual seconds from 0."""

    def __init__(self) -> None:
        super().__init__()
        self._clock = _Clock()
        self._selector = self._clock
        self.unhandled: list[str] = []
        self.set_task_factory(_owned_task)
        self.set_exception_handler(self._collect_unhandled)

    def time(self) -> float:
        """Virtual seconds."""
        return self._clock.now

    def call_soon(
        self, callback: Callable[[Unpack[Ts]], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        """In order; what belongs to a paused process waits for its resumption."""
        if context is None:
            context = copy_context()
        handle = asyncio.Handle(callback, args, self, context)
        process = context.get(_PROCESS)
        if process is None or not process.watched or not process.due(handle):
            self._ready.append(handle)  # type: ignore[attr-defined]
        return handle

    def _process_events(self, event_list: list[Any]) -> None:
        """There are none."""

    def _write_to_self(self) -> None:
        """Nobody calls from another thread."""

    def _collect_unhandled(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if not isinstance(error, Killed):
            self.unhandled.append(f"{context['message']}: {error!r}")


def _owned_task(loop: asyncio.AbstractEventLoop, coro: Any, context: Context | None = None) -> asyncio.Task[Any]:
    task: asyncio.Task[Any] = asyncio.Task(coro, loop=loop, context=context)
    process = _PROCESS.get() if context is None else context.get(_PROCESS)
    if process is not None:
        process.tasks[task] = None
    return task


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end in a `VirtualLoop` of its own.

    Raises ``AssertionError`` where a task failed and nobody looked.
    """
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        result = runner.run(main)
        loop = runner.get_loop()
        assert isinstance(loop, VirtualLoop)
        unhandled = loop.unhandled
    assert not unhandled, unhandled
    return result
