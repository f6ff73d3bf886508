"""One worker process, seen from outside."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from processor.config import Settings
from tests.faults.fork_server import fork_worker
from tests.faults.points import Fault

WAIT_S = 40.0
TOLD_LINES = 25
MOST_LINE_BYTES = 1024 * 1024

Line = dict[str, Any]


class Instance:
    """A worker process and its journal; `start` it, and in the end `kill` it or let it end.

    ``changed`` is notified of every journal line and of the end.
    """

    def __init__(
        self,
        settings: Settings,
        faults: Sequence[Fault],
        folder: Path,
        name: str,
        changed: asyncio.Condition,
        patience_s: float | None = None,
        version: str | None = None,
    ) -> None:
        self.name = name
        self.journal: list[Line] = []
        self._plan = folder / f"{name}.plan.json"
        plan = {"settings": settings, "faults": list(faults), "patience_s": patience_s, "version": version}
        self._plan.write_bytes(msgspec.json.encode(plan))
        self.log_file = folder / f"{name}.log"
        self._pid = 0  # not started
        self._code: int | None = None
        self._stdin = -1
        self._reading: asyncio.Task[None]
        self._dying: asyncio.Task[None]
        self._works: set[int] = set()
        self._positions: dict[int, int] = {}
        self._changed = changed
        self._over = False  # the journal is read to its end

    async def start(self) -> None:
        """Start the process; its journal is read from now on."""
        stdin, self._stdin = os.pipe()
        journal, stdout = os.pipe()
        told, status = os.pipe()
        stderr = os.open(self.log_file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        try:
            fork_worker(self._plan, stdin, stdout, stderr, status)
        finally:
            for theirs in (stdin, stdout, stderr, status):
                os.close(theirs)
        life = await _reader(told)
        self._reading = asyncio.create_task(self._read(await _reader(journal)))
        async with asyncio.timeout(WAIT_S):
            self._pid = int(await life.readline())
        self._dying = asyncio.create_task(self._await_end(life))

    @property
    def pid(self) -> int:
        """The process id."""
        return self._pid

    @property
    def ended(self) -> bool:
        """The process is gone."""
        return self._code is not None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, unless the process has gone."""
        if self._pid and not self.ended:  # 0 would mean ourselves
            os.kill(self._pid, number)

    def plan(self, fault: Fault) -> None:
        """Plan one fault more, counted from when the instance reads this."""
        self._say(msgspec.json.encode(fault))

    def go(self) -> None:
        """Let a held point go on."""
        self._say(b"go")

    def _say(self, line: bytes) -> None:
        if self._stdin >= 0:
            with contextlib.suppress(BrokenPipeError):  # it has gone; whoever waits for the effect is told so
                os.write(self._stdin, line + b"\n")

    async def wait(self) -> int:
        """The exit code, once the process has ended and its journal is read."""
        async with asyncio.timeout(WAIT_S):
            await self._reading
            await self._dying
        self.hang_up()
        assert self._code is not None
        return self._code

    async def kill(self) -> None:
        """SIGKILL, whatever state it is in; nothing where it never started."""
        if self._pid:
            self.signal(signal.SIGKILL)
            await self.wait()

    def hang_up(self) -> None:
        """Close its standard input: it ends, if it has not."""
        if self._stdin >= 0:
            os.close(self._stdin)
            self._stdin = -1

    async def line(self, what: str, where: Callable[[Line], bool] = lambda _: True, *, after: int = 0) -> Line:
        """The first journal line from index ``after`` on that fits; waits for it."""

        def fitting() -> Line | None:
            return next((line for line in self.journal[after:] if line["what"] == what and where(line)), None)

        try:
            async with asyncio.timeout(WAIT_S), self._changed:
                await self._changed.wait_for(lambda: fitting() is not None or self._over)
        except TimeoutError:
            raise AssertionError(f"{self.name}: no {what!r} in {WAIT_S:g} s\n{self.told()}") from None
        found = fitting()
        assert found is not None, f"{self.name} ended without {what!r}\n{self.told()}"
        return found

    def works_on(self) -> set[int]:
        """The partitions it has restored under its present assignment and not lost since."""
        return self._works if not self.ended else set()

    def positions(self) -> dict[int, int]:
        """Per partition the furthest input offset this instance knows to be committed."""
        return self._positions

    def lines(self, what: str) -> list[Line]:
        """All lines of a kind so far."""
        return [line for line in self.journal if line["what"] == what]

    def told(self) -> str:
        """The end of journal and log, for a failure's message."""
        lines = [msgspec.json.encode(line).decode() for line in self.journal[-TOLD_LINES:]]
        log = self.log_file.read_text(errors="replace").splitlines()[-TOLD_LINES:]
        return "\n".join([f"--- {self.name}: journal", *lines, f"--- {self.name}: log", *log])

    def save(self) -> None:
        """Write the whole journal beside the log."""
        self.log_file.with_suffix(".journal").write_bytes(b"\n".join(map(msgspec.json.encode, self.journal)))

    async def _read(self, journal: asyncio.StreamReader) -> None:
        async for line in journal:
            async with self._changed:
                self._learn(msgspec.json.decode(line))
                self._changed.notify_all()
        async with self._changed:
            self._over = True
            self._changed.notify_all()

    def _learn(self, line: Line) -> None:
        # Once a line, not once a question: whoever waits asks at every line of every instance.
        self.journal.append(line)
        match line["what"]:
            case "assigned" | "revoked" | "ended":
                self._works.clear()
            case "restoring" | "halted":
                self._works.discard(line["partition"])
            case "running":
                self._works.add(line["partition"])
                self._reach(line["partition"], line["position"])
            case "committed":
                for partition, position in line["positions"].items():
                    self._reach(int(partition), position)

    def _reach(self, partition: int, position: int) -> None:
        self._positions[partition] = max(position, self._positions.get(partition, 0))

    async def _await_end(self, life: asyncio.StreamReader) -> None:
        self._code = int(await life.readline())
        async with self._changed:
            self._changed.notify_all()
        await life.read()  # up to its end, which closes it: the event loop may end before that otherwise


async def _reader(descriptor: int) -> asyncio.StreamReader:
    """The reading end of a pipe; closed when the other end is."""
    reader = asyncio.StreamReader(limit=MOST_LINE_BYTES)
    pipe = os.fdopen(descriptor, "rb", buffering=0)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
    return reader
