"""A selector as a user may write one; an event can make it strain the process that it runs in, once.

The event's state names a file (`strain`) that holds a word and a number.  Who finds the file takes it away and does
what the word says, so that a replay, and whoever computes the event again, finds nothing and selects as always.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from tests.faults.load import Load

SELECTOR = f"{__name__}:choose"
MIB = 1024 * 1024


def choose(signals: Mapping[str, Any]) -> str:
    """The profile, after whatever the file asks for."""
    named = signals.get("strain")
    if isinstance(named, str) and Path(named).exists():
        word, amount = Path(named).read_text().split()
        Path(named).unlink()
        STRAINS[word](float(amount))
    return "constant"


def block(seconds: float) -> None:
    """Nothing else runs in this process meanwhile: no heartbeat, no commit, no signal handler."""
    time.sleep(seconds)


def jump(seconds: float) -> None:
    """From now on the wall clock of this process is wrong by so much; the monotonic one never is."""
    now, now_ns = time.time, time.time_ns
    time.time = lambda: now() + seconds
    time.time_ns = lambda: now_ns() + int(seconds * 1e9)


def exhaust(megabytes: float) -> None:
    """This process may not grow by more than so much, and now it wants to."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + int(megabytes * MIB), hard))
    wanted = []
    while True:
        wanted.append(bytearray(MIB))


STRAINS = {"block": block, "jump": jump, "exhaust": exhaust}


async def send_strain(load: Load, folder: Path, name: str, partition: int, word: str, amount: float) -> Path:
    """Write the event of a session of its own; returns the file, which is gone once the strain is there."""
    file = folder / name
    file.write_text(f"{word} {amount}")
    state = {"novelty": 0.5, "force_inject": True, "strain": str(file)}
    await load.send_raw(partition, name.encode(), msgspec.json.encode({"session_id": name, "state": state}))
    return file
