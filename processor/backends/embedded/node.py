"""One Kafka process: its folder, its settings, its signals."""

from __future__ import annotations

import base64
import signal
import subprocess
import time
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from processor.backends.embedded.errors import NotStarted
from processor.backends.embedded.java import Jvm, java_environment
from processor.backends.embedded.ports import HOST, require_free
from processor.backends.embedded.probe import cluster_view
from processor.backends.embedded.watchdog import Watchdog

_POLL_S = 0.03


class KafkaNode:
    """A broker and controller in one process, on 127.0.0.1, with all its files in one folder.

    `folder` holds `server.properties`, `server.log` (standard output and error, appended) and `data/`.
    """

    def __init__(
        self,
        node_id: int,
        *,
        ports: tuple[int, int],
        folder: Path,
        properties: Mapping[str, str],
        jvm: Jvm,
        watchdog: Watchdog,
    ) -> None:
        self.node_id = node_id
        self.port, self.controller_port = ports
        self.folder = folder
        self.log_file = folder / "server.log"
        self._properties = dict(properties)
        self._jvm = jvm
        self._watchdog = watchdog
        self._process: subprocess.Popen[bytes] | None = None
        self._log_start = 0

    @property
    def pid(self) -> int | None:
        """Process id while the node runs (paused counts as running)."""
        return self._process.pid if self._process is not None and self.alive else None

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def address(self) -> str:
        return f"{HOST}:{self.port}"

    def format(self, cluster_id: str, more: Sequence[str] = (), kept: Path | None = None) -> None:
        """Write the settings and, once in its life, lay out the data folder.

        Kafka's tool does it, which is a Java process of seconds.  What it writes beside the ids, the features of this
        version (KIP-778), is the same for every folder without ``more`` arguments: it is kept in the file ``kept`` for
        the next ones. Raises `NotStarted` with Kafka's own words.
        """
        data = self.folder / "data"
        data.mkdir(parents=True, exist_ok=True)
        lines = {"log.dirs": str(data), **self._properties}
        text = "".join(f"{name}={_escaped(value)}\n" for name, value in lines.items())
        settings = self.folder / "server.properties"
        settings.write_text(text)
        if (data / "meta.properties").exists():
            return
        features = data / "bootstrap.checkpoint"
        plain = not more and not any(name.startswith("unstable.") for name in self._properties)
        if plain and kept is not None and kept.exists():
            features.write_bytes(kept.read_bytes())
            # Last: a folder with this file counts as formatted.
            (data / "meta.properties").write_text(
                f"version=1\ncluster.id={cluster_id}\nnode.id={self.node_id}\ndirectory.id={new_id()}\n"
            )
            return
        # One word: an id may begin with a hyphen, and would be taken for an option of its own.
        arguments = ["format", f"--cluster-id={cluster_id}", "-c", str(settings), *more]
        if self._java("kafka.tools.StorageTool", arguments, heap_mb=64).wait() != 0:
            raise NotStarted(f"cannot format {data} for Kafka: {self._last_words()}")
        if plain and kept is not None:
            _keep(features, kept)

    def launch(self) -> None:
        """Start the process without waiting for it. Raises `NotStarted` when a port is taken."""
        assert not self.alive, f"node {self.node_id} is running"
        require_free([self.port, self.controller_port])
        arguments = [str(self.folder / "server.properties")]
        self._process = self._java("kafka.Kafka", arguments)
        self._watchdog.watch(self._process.pid)

    def await_ready(self, deadline: float) -> None:
        """Return when the node serves all its partitions; `deadline` is on `time.monotonic()`'s clock.

        Raises `NotStarted` when the process ends or the deadline passes.
        """
        while True:
            if not self.alive:
                raise NotStarted(f"Kafka node {self.node_id} ended while starting: {self._last_words()}")
            try:
                if cluster_view(HOST, self.port).serves(self.node_id):
                    return
            except OSError:
                pass  # not listening yet
            if time.monotonic() > deadline:
                raise NotStarted(f"Kafka node {self.node_id} is not ready in time: {self._last_words()}")
            time.sleep(_POLL_S)

    def kill(self) -> None:
        """SIGKILL, and wait until the process is gone. Does nothing when it is not running."""
        self._signal(signal.SIGKILL)
        self._reap(None)

    def pause(self) -> None:
        """SIGSTOP: the process keeps its connections and answers nothing."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        self._signal(signal.SIGCONT)

    def ask_to_stop(self) -> None:
        """SIGTERM (to a paused process too)."""
        self._signal(signal.SIGTERM)
        self._signal(signal.SIGCONT)

    def await_stopped(self, timeout_s: float) -> bool:
        """Wait for the end of `ask_to_stop`; False when it has not come in time."""
        return self._reap(timeout_s)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self.alive:
            self._process.send_signal(number)

    def _reap(self, timeout_s: float | None) -> bool:
        if self._process is None:
            return True
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return False
        self._watchdog.forget(self._process.pid)
        self._process = None
        return True

    def _java(self, main_class: str, arguments: Sequence[str], heap_mb: int | None = None) -> subprocess.Popen[bytes]:
        command = self._jvm.command(main_class, arguments, heap_mb)
        with self.log_file.open("ab") as log:
            self._log_start = log.tell()
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=java_environment(),
                cwd=self.folder,
                start_new_session=True,  # Ctrl-C is ours to handle: it must not stop the broker under us
            )

    def _last_words(self) -> str:
        """The most telling line this process wrote (its last error, else its last line), and where to read on."""
        with self.log_file.open("rb") as log:
            log.seek(self._log_start)
            lines = log.read().decode(errors="replace").splitlines()
        told = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("at ")]
        telling = [line for line in told if "ERROR" in line or "Exception" in line]
        return f"{(telling or told or ['it said nothing'])[-1][:300]} (log: {self.log_file})"


def new_id() -> str:
    """16 random bytes as Kafka writes its ids; without a hyphen in front, as Kafka's own."""
    while (made := base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")).startswith("-"):
        pass
    return made


def _keep(features: Path, kept: Path) -> None:
    """In one step: several nodes may do so at the same time. A cache that cannot be written is none."""
    with suppress(OSError):
        scratch = kept.with_name(f"{kept.name}.{uuid.uuid4().hex}")
        scratch.write_bytes(features.read_bytes())
        scratch.replace(kept)


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\")
