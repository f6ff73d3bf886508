"""noida-db in Kafka's place: for a demo on a machine that cannot reach Maven Central, never as proof.

It speaks enough of the protocol (transactions, read_committed, offsets in transactions) but does not check
group generations, so a zombie is not fenced.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import tempfile
import time
from importlib import metadata
from pathlib import Path
from typing import Self

from processor.backends.embedded.errors import INSTALL_EXTRA, NotInstalled, NotStarted
from processor.backends.embedded.ports import HOST, free_ports, require_free
from processor.backends.embedded.probe import cluster_view
from processor.backends.embedded.watchdog import Watchdog


class StandInBroker:
    """One noida-db process with only its Kafka service; the same small interface as `EmbeddedKafka`."""

    def __init__(self, why: str, *, port: int | None = None, folder: Path | None = None) -> None:
        self.why_fallback: str | None = why
        self._port = port or free_ports(1)[0]
        self._folder = folder
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._watchdog: Watchdog | None = None

    @property
    def kind(self) -> str:
        return f"noida-db {metadata.version('noida-db')}"

    @property
    def bootstrap_servers(self) -> str:
        return f"{HOST}:{self._port}"

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self, timeout_s: float = 30.0) -> Self:
        """Returns when it answers. Raises `NotInstalled` or `NotStarted`."""
        program = _program()
        require_free([self._port])
        if self._folder is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="creative-feedback-broker-")
        home = self._folder or Path(self._temporary.name)  # type: ignore[union-attr]
        home.mkdir(parents=True, exist_ok=True)
        self._watchdog = Watchdog(self._temporary.name if self._temporary is not None else None)
        log_file = home / "server.log"
        options = ["--host", HOST, "--kafka-port", str(self._port), "--data-dir", str(home / "stand-in")]
        with log_file.open("ab") as log:
            self._process = subprocess.Popen(
                [program, "start", "--only", "kafka", *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._watchdog.watch(self._process.pid)
        deadline = time.monotonic() + timeout_s
        while not self._answers():
            if not self.alive or time.monotonic() > deadline:
                self.stop()
                raise NotStarted(
                    f"noida-db does not start (log: {log_file}); {INSTALL_EXTRA} on a machine with network"
                )
            time.sleep(0.03)
        return self

    def stop(self, timeout_s: float = 5.0) -> None:
        """SIGTERM, then SIGKILL; a temporary folder is removed."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            if self._watchdog is not None:
                self._watchdog.forget(self._process.pid)
            self._process = None
        if self._watchdog is not None:
            self._watchdog.close()
            self._watchdog = None
        if self._temporary is not None:
            self._temporary.cleanup()
            self._temporary = None

    def __enter__(self) -> Self:
        return self if self._process is not None else self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _answers(self) -> bool:
        try:
            cluster_view(HOST, self._port)
        except OSError:
            return False
        return True


def _program() -> Path:
    """The binary beside its Python wrapper: started directly, so that signals reach the broker itself."""
    try:
        import noida_db
    except ImportError as error:
        raise NotInstalled(f"the stand-in broker needs noida-db: {INSTALL_EXTRA}") from error
    binary = Path(noida_db.__file__).parent / ("noida-db.exe" if sys.platform == "win32" else "noida-db")
    found = shutil.which(binary)
    if found is None:
        binary.chmod(0o755)  # pip keeps no executable bit on a file it takes for data
    return binary
