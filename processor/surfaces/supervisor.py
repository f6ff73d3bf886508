"""Several worker processes on one machine: started, restarted when they crash, stopped together.

A worker that ends with a code of `LASTING` would end the same way again (wrong configuration, unfit cluster, halted on
purpose): the others are stopped and the supervisor ends with that code.  Any other end is a crash: the worker is
started again after a pause that doubles with every crash in a row, and begins anew once a worker has stayed up.
"""

from __future__ import annotations

import asyncio
import signal
from asyncio.subprocess import Process
from collections.abc import Callable, Sequence
from contextlib import suppress
from time import monotonic

from msgspec import Struct

SUCCESS = 0
FAILURE = 1
LASTING = frozenset({2, 3})


class BackOff(Struct, frozen=True):
    """Pauses before restarts, in seconds: ``first``, doubled per crash in a row up to ``longest``.

    A worker that was up for ``steady`` seconds starts counting afresh.
    """

    first: float = 0.5
    longest: float = 30.0
    steady: float = 60.0

    def pause(self, crashes: int) -> float:
        """Before the restart after the given number of crashes in a row, from 1."""
        return float(min(self.longest, self.first * 2.0 ** min(crashes - 1, 30)))


class Worker(Struct, frozen=True):
    """One process to keep alive: its instance id and its command line."""

    instance_id: str
    command: Sequence[str]


Tell = Callable[[str], None]


class Supervisor:
    """Runs workers until told to stop or until one of them must not be restarted."""

    def __init__(
        self, workers: Sequence[Worker], tell: Tell, *, back_off: BackOff | None = None, grace_s: float = 25.0
    ) -> None:
        self._workers = workers
        self._tell = tell
        self._back_off = back_off or BackOff()
        self._grace_s = grace_s
        self._processes: dict[str, Process] = {}
        self._verdict: int | None = None
        self._stopping = asyncio.Event()

    async def run(self, stop: asyncio.Event) -> int:
        """Returns the exit code: 0 where every worker ended well after ``stop``, 1 where one did not or was killed."""
        following = asyncio.create_task(self._follow(stop))
        try:
            codes = await asyncio.gather(*(self._keep(worker) for worker in self._workers))
        finally:
            following.cancel()
            self.kill()
        if self._verdict is not None:
            return self._verdict
        return FAILURE if any(codes) else SUCCESS

    def kill(self) -> None:
        """End every worker at once: what they had not committed is computed again by whoever comes next."""
        for process in self._processes.values():
            _signal(process, signal.SIGKILL)

    def kill_one(self, instance_id: str, why: str) -> None:
        """End one worker that cannot end itself; it is started again like one that crashed."""
        self._tell(f"worker {instance_id} is {why}; killed")
        if (process := self._processes.get(instance_id)) is not None:
            _signal(process, signal.SIGKILL)

    async def _follow(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self._stop_all()

    def _stop_all(self) -> None:
        self._stopping.set()
        for process in self._processes.values():
            _signal(process, signal.SIGTERM)

    async def _keep(self, worker: Worker) -> int:
        """Keep one worker alive; returns its last exit code."""
        crashes = 0
        while not self._stopping.is_set():
            started = monotonic()
            code = await self._run_once(worker)
            if self._stopping.is_set():
                # Ended by the signal itself: it came before the worker could hear it, so nothing had begun.
                return SUCCESS if code == -signal.SIGTERM else code
            if code in LASTING or code == SUCCESS:
                # An end without crash that nobody asked for: the others cannot do better.
                self._verdict = code
                self._stop_all()
                return code
            crashes = 1 if monotonic() - started >= self._back_off.steady else crashes + 1
            pause = self._back_off.pause(crashes)
            self._tell(f"worker {worker.instance_id} {_ended(code)}; restart in {pause:g} s")
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause)
        return SUCCESS

    async def _run_once(self, worker: Worker) -> int:
        # A session of its own: a Ctrl-C of the terminal reaches the supervisor alone, which passes it on once.
        # A pipe as stdin: it closes with the supervisor, however that ends, and tells the worker to stop.
        process = await asyncio.create_subprocess_exec(
            *worker.command, start_new_session=True, stdin=asyncio.subprocess.PIPE
        )
        self._processes[worker.instance_id] = process
        if self._stopping.is_set():
            _signal(process, signal.SIGTERM)
        waiting = asyncio.ensure_future(process.wait())
        stopping = asyncio.ensure_future(self._stopping.wait())
        await asyncio.wait({waiting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        try:
            return await asyncio.wait_for(asyncio.shield(waiting), self._grace_s if not waiting.done() else None)
        except TimeoutError:
            self._tell(f"worker {worker.instance_id} did not stop within {self._grace_s:g} s; killed")
            _signal(process, signal.SIGKILL)
            return await waiting


def _signal(process: Process, number: signal.Signals) -> None:
    if process.returncode is None:
        with suppress(ProcessLookupError):
            process.send_signal(number)


def _ended(code: int) -> str:
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
