"""A small process that ends the brokers when ours dies, however it dies.

Asking the kernel (PR_SET_PDEATHSIG) is no answer: that signal comes when the *thread* that forked ends,
and brokers are started from worker threads too. So a watchdog holds a list of process ids told to it over a
pipe; at the pipe's end, or when its parent has changed, it kills what is still on the list.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys

# Runs isolated (-I -S), so it starts in some 15 ms and needs nothing but the standard library.
_PROGRAM = """
import os, select, signal, sys
parent, alive, rest = int(sys.argv[1]), set(), b""
while True:
    orphaned = os.getppid() != parent  # a forked child of the parent may keep the pipe open
    if not select.select([0], [], [], 0.0 if orphaned else 0.5)[0]:
        if orphaned:
            break
        continue
    piece = os.read(0, 4096)
    if not piece:
        break
    *lines, rest = (rest + piece).split(b"\\n")
    for line in lines:
        (alive.add if line[:1] == b"+" else alive.discard)(int(line[1:]))
for pid in alive:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
"""


class Watchdog:
    """Kills the processes given to it when this process ends without `close()`; `close()` lets them be."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _PROGRAM, str(os.getpid())],
            stdin=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,  # Ctrl-C in the terminal must not take the watchdog first
        )

    def watch(self, pid: int) -> None:
        self._tell(f"+{pid}\n")

    def forget(self, pid: int) -> None:
        """The process has been waited for: its id may soon belong to somebody else."""
        self._tell(f"-{pid}\n")

    def close(self) -> None:
        """End the watchdog; what it still watches is killed."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait()

    def _tell(self, line: str) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # somebody ended the watchdog: brokers work on without it
            self._process.stdin.write(line.encode())
