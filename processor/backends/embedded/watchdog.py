"""A small process that ends the brokers when ours dies, however it dies.

Asking the kernel (PR_SET_PDEATHSIG) is no answer: that signal comes when the *thread* that forked ends,
and brokers are started from worker threads too. So a watchdog holds a list of process ids told to it over a
pipe; at the pipe's end, or when its parent has changed, it kills what is still on the list, and then removes
the temporary folder those processes worked in.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys

# Runs isolated (-I -S), so it starts in some 15 ms and needs nothing but the standard library.
_PROGRAM = """
import os, select, shutil, signal, sys, time
parent, watched, closed, rest = int(sys.argv[1]), set(), False, b""
while not closed:
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
        if line == b"close":
            closed = True
        else:
            (watched.add if line[:1] == b"+" else watched.discard)(int(line[1:]))
deadline = time.monotonic() + 10
for pid in watched:
    try:
        os.kill(pid, signal.SIGKILL)
        while not closed and time.monotonic() < deadline:  # orphans: there is no other way to await their end
            os.kill(pid, 0)
            time.sleep(0.02)
    except ProcessLookupError:
        pass
if not closed and len(sys.argv) > 2:
    shutil.rmtree(sys.argv[2], ignore_errors=True)
"""


class Watchdog:
    """Kills the processes it watches when this process ends without `close()`.

    `temporary` is a folder of theirs to remove then.
    """

    def __init__(self, temporary: str | None = None) -> None:
        arguments = [str(os.getpid()), *([temporary] if temporary is not None else [])]
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _PROGRAM, *arguments],
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
        """End the watchdog; what it still watches is killed, folders are the caller's."""
        assert self._process.stdin is not None
        self._tell("close\n")
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait()

    def _tell(self, line: str) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # somebody ended the watchdog: brokers work on without it
            self._process.stdin.write(line.encode())
