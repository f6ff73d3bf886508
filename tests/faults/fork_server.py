"""Workers without the price of their imports: one process has imported everything and forks each worker.

A new Python needs most of a second of CPU to import what a worker needs, a fork some milliseconds.  A worker is a
process of its own all the same: signals reach it alone, and its memory ends with it.

    fork_worker(plan_file, stdin, stdout, stderr, status)    from the test; starts the server at the first call
    python -m tests.faults.fork_server FD                    the server, on an inherited socket

Protocol: one datagram per worker, the path of its plan, with four descriptors.  The server writes two lines to the
last of them: the worker's pid at once, and in the end its exit code as `subprocess` tells it.  The server holds no
event loop and no thread, so that a fork copies nothing half done; it ends with the process that started it.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import gc
import importlib
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import traceback
from pathlib import Path
from typing import NoReturn

from tests.faults.worker import run

ROOT = Path(__file__).resolve().parents[2]
MOST_PATH_BYTES = 4096
DESCRIPTORS = 4


def fork_worker(plan_file: Path, stdin: int, stdout: int, stderr: int, status: int) -> None:
    """Ask for a worker on these descriptors; the caller keeps its own copies and closes them."""
    socket.send_fds(_server(), [os.fsencode(plan_file)], [stdin, stdout, stderr, status])


@functools.cache
def _server() -> socket.socket:
    """The connection to this process's fork server."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        # Numerical libraries start no threads in a process that forks.
        environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "tests.faults.fork_server", str(theirs.fileno())]
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, cwd=ROOT, env=environment, pass_fds=[theirs.fileno()]
        )

    def end() -> None:
        ours.close()
        process.wait()

    atexit.register(end)
    return ours


class ForkServer:
    """The server's side; see the module."""

    def __init__(self, requests: socket.socket) -> None:
        self._requests = requests
        # A signal between two looks at the descriptors must not be missed: it is one of them.
        self._wake, self._waker = socket.socketpair()
        for end in (self._wake, self._waker):
            end.setblocking(False)
        self._statuses: dict[int, int] = {}  # where to tell what became of a worker

    def serve(self) -> None:
        """Fork workers until the other end is closed."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the test's to handle; we end with it
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        signal.set_wakeup_fd(self._waker.fileno())
        while True:
            ready, _, _ = select.select([self._requests, self._wake], [], [])
            if self._wake in ready:
                self._wake.recv(MOST_PATH_BYTES)
                self._reap()
            if self._requests in ready:
                path, descriptors, _, _ = socket.recv_fds(self._requests, MOST_PATH_BYTES, DESCRIPTORS)
                if not path:
                    return
                self._fork(Path(os.fsdecode(path)), *descriptors)

    def _fork(self, plan_file: Path, stdin: int, stdout: int, stderr: int, status: int) -> None:
        pid = os.fork()
        if pid == 0:
            self._forget()
            os.close(status)
            become_worker(plan_file, (stdin, stdout, stderr))
        for copied in (stdin, stdout, stderr):
            os.close(copied)
        self._statuses[pid] = status
        _tell(status, pid)

    def _forget(self) -> None:
        """In the child: nothing of the server is left."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for connection in (self._requests, self._wake, self._waker):
            connection.close()
        for status in self._statuses.values():
            os.close(status)

    def _reap(self) -> None:
        """Tell the exit code of every worker that has ended."""
        while self._statuses:
            pid, wait_status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            status = self._statuses.pop(pid)
            _tell(status, os.waitstatus_to_exitcode(wait_status))
            os.close(status)


def become_worker(plan_file: Path, standard: tuple[int, int, int]) -> NoReturn:
    """The forked process from here to its end; never returns into the server's code."""
    code = 1
    try:
        for number, descriptor in enumerate(standard):
            os.dup2(descriptor, number)
            os.close(descriptor)
        code = run(plan_file)
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError):
            sys.stderr.flush()
        os._exit(code)


def _tell(status: int, number: int) -> None:
    with contextlib.suppress(BrokenPipeError):  # nobody asks any more
        os.write(status, b"%d\n" % number)


def main(arguments: list[str]) -> None:
    """The program."""
    [descriptor] = arguments
    importlib.import_module("uvloop")  # the event loop asks for it when a worker runs
    assert threading.active_count() == 1, "importing a worker starts a thread: a fork would lose it"
    gc.collect()
    gc.freeze()  # what was imported stays memory that all workers share
    with socket.socket(fileno=int(descriptor)) as requests:
        ForkServer(requests).serve()


if __name__ == "__main__":
    main(sys.argv[1:])
