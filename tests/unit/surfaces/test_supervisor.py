"""Supervision of worker processes; the workers are small scripts that say when they are up."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from processor.surfaces.supervisor import BackOff, Supervisor, Worker

AT_ONCE = BackOff(first=0.01, longest=0.05, steady=60.0)

# Appends its process id to the file, then lives until SIGTERM, which it answers with exit code 0.
OBEDIENT = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
with open(sys.argv[1], "a") as starts:
    starts.write(f"{os.getpid()}\\n")
while True:
    time.sleep(60)
"""
# Hears of the signal only by being ended, as a worker does that still imports.
NEWBORN = OBEDIENT.replace("signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))", "")
STUBBORN = OBEDIENT.replace("lambda *_: sys.exit(0)", "signal.SIG_IGN")
# Ends when its stdin does, as `run --stop-when-stdin-closes` does.
WATCHFUL = OBEDIENT.replace("while True:\n    time.sleep(60)", "sys.stdin.read()")
ENDS = """
import sys
with open(sys.argv[1], "a") as starts:
    starts.write("0\\n")
sys.exit(int(sys.argv[2]))
"""


def worker(name: str, script: str, starts: Path, *arguments: str) -> Worker:
    return Worker(name, (sys.executable, "-c", script, str(starts), *arguments))


def pids(starts: Path) -> list[int]:
    return [int(line) for line in starts.read_text().split()] if starts.exists() else []


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)  # what other processes do raises no event here


@asynccontextmanager
async def supervised(supervisor: Supervisor, stop: asyncio.Event) -> AsyncIterator[asyncio.Task[int]]:
    running = asyncio.create_task(supervisor.run(stop))
    try:
        yield running
    finally:
        supervisor.kill()
        running.cancel()
        await asyncio.wait({running})


@pytest.mark.parametrize("script", [OBEDIENT, NEWBORN], ids=["obedient", "newborn"])
async def test_stop_ends_every_worker_and_the_code_is_zero(script: str, tmp_path: Path) -> None:
    stop, starts = asyncio.Event(), tmp_path / "starts"
    crew = [worker(f"w-{n}", script, starts) for n in range(2)]
    async with supervised(Supervisor(crew, print), stop) as running:
        await until(lambda: len(pids(starts)) == 2)
        stop.set()
        assert await asyncio.wait_for(running, 10) == 0
    for pid in pids(starts):
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


async def test_killed_worker_is_restarted_and_the_other_left_alone(tmp_path: Path) -> None:
    stop, told = asyncio.Event(), list[str]()
    victim, witness = tmp_path / "victim", tmp_path / "witness"
    crew = [worker("w-0", OBEDIENT, victim), worker("w-1", OBEDIENT, witness)]
    async with supervised(Supervisor(crew, told.append, back_off=AT_ONCE), stop) as running:
        await until(lambda: bool(pids(victim) and pids(witness)))
        os.kill(pids(victim)[0], signal.SIGKILL)
        await until(lambda: len(pids(victim)) == 2)
        stop.set()
        assert await asyncio.wait_for(running, 10) == 0
    assert len(pids(witness)) == 1
    assert told == ["worker w-0 was ended by SIGKILL; restart in 0.01 s"]


async def test_crashing_worker_is_started_again_and_again(tmp_path: Path) -> None:
    stop, told, starts = asyncio.Event(), list[str](), tmp_path / "starts"
    supervisor = Supervisor([worker("w-0", ENDS, starts, "1")], told.append, back_off=AT_ONCE)
    async with supervised(supervisor, stop) as running:
        await until(lambda: len(pids(starts)) >= 4)
        stop.set()
        await asyncio.wait_for(running, 10)
    assert told[:3] == [f"worker w-0 ended with code 1; restart in {pause} s" for pause in (0.01, 0.02, 0.04)]


@pytest.mark.parametrize("code", [2, 3])
async def test_wrong_configuration_or_unfit_cluster_ends_everything_at_once(code: int, tmp_path: Path) -> None:
    refused, other = tmp_path / "refused", tmp_path / "other"
    crew = [worker("w-0", ENDS, refused, str(code)), worker("w-1", OBEDIENT, other)]
    supervisor = Supervisor(crew, print, back_off=AT_ONCE)
    assert await asyncio.wait_for(supervisor.run(asyncio.Event()), 10) == code
    assert len(pids(refused)) == 1


async def test_worker_that_does_not_stop_is_killed_after_the_grace(tmp_path: Path) -> None:
    stop, told, starts = asyncio.Event(), list[str](), tmp_path / "starts"
    supervisor = Supervisor([worker("w-0", STUBBORN, starts)], told.append, grace_s=0.2)
    async with supervised(supervisor, stop) as running:
        await until(lambda: bool(pids(starts)))
        stop.set()
        assert await asyncio.wait_for(running, 10) == 1
    assert told == ["worker w-0 did not stop within 0.2 s; killed"]


async def test_workers_notice_the_death_of_their_supervisor(tmp_path: Path) -> None:
    """Its pipes close with it, however it ended."""
    starts = tmp_path / "starts"
    script = (
        "import asyncio, sys; from processor.surfaces.supervisor import *;"
        f"asyncio.run(Supervisor([Worker('w-0', (sys.executable, '-c', {WATCHFUL!r}, {str(starts)!r}))], print)"
        ".run(asyncio.Event()))"
    )
    supervisor = await asyncio.create_subprocess_exec(sys.executable, "-c", script)
    await until(lambda: bool(pids(starts)))
    supervisor.kill()
    await supervisor.wait()

    def gone() -> bool:
        try:
            os.kill(pids(starts)[0], 0)
        except ProcessLookupError:
            return True
        # An orphan without a reaper stays as a zombie; it has ended all the same.
        status = Path(f"/proc/{pids(starts)[0]}/stat")
        return status.exists() and status.read_text().rpartition(")")[2].split()[0] == "Z"

    await until(gone)


def test_pauses_double_up_to_the_longest() -> None:
    back_off = BackOff(first=0.5, longest=30.0)
    assert [back_off.pause(n) for n in (1, 2, 3, 7, 8, 1000)] == [0.5, 1.0, 2.0, 30.0, 30.0, 30.0]
