"""`creative-feedback run` as a process whose probes are asked again and again."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic
from typing import Any

import aiohttp
import msgspec
from msgspec import Struct

from processor.config import Settings
from tests.faults.fork_server import ROOT
from tests.faults.health.sighting import Sighting
from tests.integration.command import environment_of
from tests.kafka.locked import as_party

WAIT_S = 45.0  # on a busy machine
ASK_S = 0.05  # between two questions
TOLD_LINES = 15


class Reason(Struct):
    """As in the answer."""

    what: str
    where: str
    message: str
    since_s: float


class Told(Struct):
    """The body of a probe's answer."""

    status: str
    reasons: list[Reason]
    instances: int


class Answers(Struct):
    """Both probes at about one moment: the HTTP status of each, and what they named."""

    live: int
    ready: int
    instances: int
    reasons: list[Reason]  # of ready
    unlive: list[Reason]  # of live, where that failed

    def named(self, what: str, where: str | None = None) -> Reason | None:
        """The reason of this kind."""
        return next((r for r in self.reasons if r.what == what and where in (None, r.where)), None)

    @property
    def well(self) -> bool:
        """Nothing to tell."""
        return self.live == self.ready == 200 and not self.reasons


class Command:
    """The process; ``sightings`` are what `seen` has waited for."""

    def __init__(
        self, process: asyncio.subprocess.Process, settings: Settings, log_file: Path, http: aiohttp.ClientSession
    ) -> None:
        self.process = process
        self.url = ""
        self.sightings: list[Sighting] = []
        self._prefix = f"{settings.engine.application_id}."  # of the topics' names, which differ each time
        self._log_file = log_file
        self._http = http
        self._last: Answers | None = None

    async def ask(self) -> Answers:
        """Both probes, live first: what fails it has been told by ready."""
        live_code, live = await self._probe("live")
        ready_code, ready = await self._probe("ready")
        self._last = Answers(
            live_code, ready_code, ready.instances, ready.reasons, live.reasons if live_code != 200 else []
        )
        return self._last

    async def until(self, what: str, holds: Callable[[Answers], Any]) -> Answers:
        """Ask until the answers are as wanted."""
        try:
            async with asyncio.timeout(WAIT_S):
                while not holds(answers := await self.ask()):  # noqa: ASYNC110 -- nobody tells when they change
                    await asyncio.sleep(ASK_S)
        except TimeoutError:
            raise AssertionError(f"not {what} in {WAIT_S:g} s: {self._last}\n{self.told()}") from None
        return answers

    async def well(self) -> None:
        """Wait until both probes answer 200 and name nothing; completes the last sighting."""
        began = monotonic()
        await self.until("well", lambda answers: answers.well)
        if self.sightings:
            self.sightings[-1].well_s = monotonic() - began

    async def seen(self, cause: str, what: str, *, where: str | None = None, live: bool, since: float) -> Sighting:
        """Wait until ready fails and names it; with ``live`` False until live fails over it, too.

        ``since`` is the moment of the failure by `time.monotonic`.
        """
        await self.until("unready", lambda answers: answers.ready == 503)
        unready_s, unlive_s = monotonic() - since, None
        answers = await self.until(
            f"named {what}, with live {200 if live else 503}",
            lambda answers: answers.named(what, where) and answers.live == (200 if live else 503),
        )
        if not live:
            unlive_s = monotonic() - since
            assert any(reason.what == what for reason in answers.unlive), f"{answers.unlive}\n{self.told()}"
        reason = answers.named(what, where)
        assert reason is not None
        place = reason.where.removeprefix(self._prefix)
        self.sightings.append(Sighting(cause, what, place, reason.message, unready_s, unlive_s))
        return self.sightings[-1]

    async def wait(self) -> int:
        """The exit code."""
        async with asyncio.timeout(WAIT_S):
            return await self.process.wait()

    def told(self) -> str:
        """The end of its log."""
        return "\n".join(self._log_file.read_text(errors="replace").splitlines()[-TOLD_LINES:])

    async def find_address(self) -> None:
        """Wait until its log says where it listens."""
        try:
            async with asyncio.timeout(WAIT_S):
                while not self.url:
                    assert self.process.returncode is None, self.told()
                    for line in self._log_file.read_bytes().splitlines(keepends=True):
                        if b'"http_listening"' in line and line.endswith(b"\n"):
                            self.url = msgspec.json.decode(line)["url"]
                    await asyncio.sleep(ASK_S)
        except TimeoutError:
            raise AssertionError(f"no address in {WAIT_S:g} s\n{self.told()}") from None

    async def _probe(self, which: str) -> tuple[int, Told]:
        async with self._http.get(f"{self.url}/health/{which}") as reply:
            return reply.status, msgspec.json.decode(await reply.read(), type=Told)


@asynccontextmanager
async def command(
    settings: Settings, folder: Path, *arguments: str, environment: Mapping[str, str] | None = None
) -> AsyncIterator[Command]:
    """Start it with these settings; its address is known, its work may not have begun. Killed at the end."""
    settings = await as_party(settings, "processor")
    log_file = folder / f"run-{settings.engine.application_id}.log"
    with log_file.open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "processor.app", "run", *arguments,
            stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log, cwd=ROOT, start_new_session=True,
            env={**os.environ, **environment_of(settings), **(environment or {})},
        )  # fmt: skip
    try:
        async with aiohttp.ClientSession() as http:
            started = Command(process, settings, log_file, http)
            await started.find_address()
            yield started
    finally:
        if process.returncode is None:
            for pid in [*workers(process.pid), process.pid]:
                os.kill(pid, signal.SIGKILL)
        await process.wait()


def workers(pid: int) -> list[int]:
    """The supervisor's children, in the order of their start."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
