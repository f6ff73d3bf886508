"""The processor as the demo runs it: the same command an operator would use, in processes of its own."""

from __future__ import annotations

import asyncio
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from processor.errors import Refused
from processor.surfaces.demo.outcome import Durations
from processor.surfaces.report import Report

PREFIX = "demo"  # of the instance ids

_decoder = msgspec.json.Decoder(Report)


class Crew:
    """``creative-feedback run --workers N --json`` and what it reports."""

    def __init__(self, process: Process, log: Path) -> None:
        self._process = process
        self._log = log
        self.commits = Durations()
        self.latest: dict[str, Report] = {}
        self.doubts = 0
        self.address: str | None = None
        self._reported = asyncio.Event()

    @classmethod
    async def start(cls, count: int, options: Sequence[str], log: Path) -> Crew:
        """Start the workers; ``options`` are passed on to ``run``, what they log goes to the file."""
        command = (sys.executable, "-m", "processor.app", "run", "--workers", str(count), "--json")
        with log.open("ab") as sink:
            process = await asyncio.create_subprocess_exec(
                *command,
                "--instance",
                PREFIX,
                "--stop-when-stdin-closes",
                *options,
                stdin=PIPE,
                stdout=PIPE,
                stderr=sink,
                # The terminal's Ctrl-C is for the demo, which first drains and then stops the workers.
                start_new_session=True,
            )
        return cls(process, log)

    async def listen(self) -> None:
        """Take the reports in until the workers end; raises `Refused` where nobody asked them to."""
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            report = _decoder.decode(line)
            if report.address is not None:
                self.address = report.address
            if report.instance == PREFIX:
                self._reported.set()
                continue  # the supervisor's, which has no partitions
            self.latest[report.instance] = report
            self.doubts += report.doubts
            self._reported.set()
            for duration_ms in report.commits_ms:
                self.commits.add(duration_ms)
        await self._process.wait()
        raise Refused(f"the workers ended with code {self._process.returncode}: {self._last_words()}")

    async def addressed(self) -> str:
        """Wait for the dashboard's address."""
        while self.address is None:
            self._reported.clear()
            await self._reported.wait()
        return self.address

    @property
    def running(self) -> int:
        """Partitions that are being processed."""
        return sum(len(report.running) for report in self.latest.values())

    async def all_running(self, partitions: int) -> None:
        """Wait until that many partitions are being processed."""
        while self.running < partitions:
            self._reported.clear()
            await self._reported.wait()

    async def stop(self, grace_s: float) -> None:
        """SIGTERM, and SIGKILL after the grace; a worker notices the end of its supervisor by itself."""
        with suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(self._process.wait(), grace_s)
        except TimeoutError:
            # A second SIGTERM makes the supervisor kill its workers before it leaves.
            with suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGTERM)
            await self._process.wait()

    def _last_words(self) -> str:
        lines = self._log.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "they said nothing"
