"""Apache Kafka, one or three nodes on this machine, under our control."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from processor.backends.embedded.errors import NotStarted
from processor.backends.embedded.jars import KAFKA_VERSION, Progress, kafka_jars
from processor.backends.embedded.java import Jvm
from processor.backends.embedded.node import KafkaNode, new_id
from processor.backends.embedded.ports import HOST, free_ports, require_free
from processor.backends.embedded.settings import broker_properties
from processor.backends.embedded.watchdog import Watchdog

_HEAP_MB = {1: 512, 3: 384}
_POLL_S = 0.05
_LAST_NODE_S = 2.0


class EmbeddedKafka:
    """A cluster of `nodes` (1 or 3) real Kafka processes.

    `ports`       one broker port per node; free ones are chosen when not given
    `folder`      where data, settings and logs are kept; without one a temporary folder, removed by `stop`
    `properties`  broker settings that replace the ones of `broker_properties`
    `format_arguments`  further arguments of Kafka's `format` of a new folder, such as `--add-scram`

    All methods block; in asynchronous code use `async with` or `asyncio.to_thread`. A stopped cluster can be
    started again with the same ports, and with the same data if it has a folder.
    """

    def __init__(
        self,
        nodes: int = 1,
        *,
        ports: Sequence[int] | None = None,
        folder: Path | None = None,
        properties: Mapping[str, str] | None = None,
        format_arguments: Sequence[str] = (),
        progress: Progress | None = None,
        start_timeout_s: float = 90.0,
    ) -> None:
        if nodes not in _HEAP_MB:
            raise NotStarted(f"a cluster of {nodes} nodes is not offered: choose 1 or 3")
        if ports is not None and len(ports) != nodes:
            raise NotStarted(f"{nodes} nodes need {nodes} ports, given are {len(ports)}")
        self._count = nodes
        self._ports = list(ports) if ports is not None else free_ports(nodes)
        self._controller_ports = free_ports(nodes, frozenset(self._ports))
        self._folder = folder
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self._lock: IO[str] | None = None
        self._properties = dict(properties or {})
        self._format_arguments = tuple(format_arguments)
        self._progress = progress
        self._start_timeout_s = start_timeout_s
        self._watchdog: Watchdog | None = None
        self.nodes: tuple[KafkaNode, ...] = ()

    kind = f"apache-kafka {KAFKA_VERSION}"
    why_fallback: str | None = None

    @property
    def bootstrap_servers(self) -> str:
        """`host:port`, comma-separated over all nodes; the same before, during and after a run."""
        return ",".join(f"{HOST}:{port}" for port in self._ports)

    @property
    def alive(self) -> bool:
        """Every node's process runs."""
        return bool(self.nodes) and all(node.alive for node in self.nodes)

    def start(self) -> Self:
        """Fetch what is missing, format once, start all nodes, return when every one is ready.

        Raises `BrokerError` (its subclasses name the remedy); nothing is left running then.
        As a context manager a cluster starts unless it runs already.
        """
        assert not self.nodes, "the cluster is running"
        require_free([*self._ports, *self._controller_ports])
        jars = tuple(kafka_jars(self._progress))
        jvm = Jvm(jars, _HEAP_MB[self._count])
        kept = Path(jars[0]).with_name("bootstrap.checkpoint")  # beside the jars of this version
        home = self._claim_folder()
        self._watchdog = Watchdog(self._temporary.name if self._temporary is not None else None)
        try:
            self.nodes = tuple(
                KafkaNode(
                    number,
                    ports=(port, controller_port),
                    folder=home / f"node-{number}",
                    properties=self._node_properties(number),
                    jvm=jvm,
                    watchdog=self._watchdog,
                )
                for number, port, controller_port in zip(
                    range(1, self._count + 1), self._ports, self._controller_ports, strict=True
                )
            )
            cluster_id = _cluster_id(home / "cluster-id")
            with ThreadPoolExecutor(self._count) as pool:
                list(pool.map(lambda node: node.format(cluster_id, self._format_arguments, kept), self.nodes))
            for node in self.nodes:
                node.launch()
            self._await_ready(self.nodes)
        except BaseException as error:
            for node in self.nodes:
                node.kill()
            self._release()
            if isinstance(error, OSError):
                raise _folder_refused(home, error) from error
            raise
        return self

    def stop(self, timeout_s: float = 20.0) -> None:
        """SIGTERM to all, SIGKILL to what is left after the time-out; a temporary folder is removed."""
        for node in self.nodes:
            node.ask_to_stop()
        deadline = time.monotonic() + timeout_s
        remaining = list(self.nodes)
        while remaining and time.monotonic() < deadline:
            remaining = [node for node in remaining if not node.await_stopped(_POLL_S)]
            if len(remaining) == 1 < self._count:
                # The last one left wants a controller to agree to its leaving, and there is no quorum any
                # more. Its data is safe either way, so it is not given long.
                deadline = min(deadline, time.monotonic() + _LAST_NODE_S)
        for node in remaining:
            node.kill()
        self._release()

    def kill(self, number: int) -> None:
        """SIGKILL node `number` (from 1)."""
        self._node(number).kill()

    def restart(self, number: int) -> None:
        """Start node `number` again after `kill` (or after a stop of its own), and wait until it serves."""
        node = self._node(number)
        node.launch()
        self._await_ready([node])

    def pause(self, number: int) -> None:
        """SIGSTOP node `number`: connections stay, answers stop."""
        self._node(number).pause()

    def resume(self, number: int) -> None:
        """SIGCONT node `number`."""
        self._node(number).resume()

    def __enter__(self) -> Self:
        return self if self.nodes else self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        return await asyncio.to_thread(self.__enter__)

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.stop)

    def _node(self, number: int) -> KafkaNode:
        return self.nodes[number - 1]

    def _await_ready(self, nodes: Sequence[KafkaNode]) -> None:
        deadline = time.monotonic() + self._start_timeout_s
        for node in nodes:
            node.await_ready(deadline)

    def _claim_folder(self) -> Path:
        """The folder, locked for this process so that two clusters never share data."""
        import fcntl  # POSIX only, and so is everything that starts processes here

        if self._folder is None:
            self._temporary = self._temporary or tempfile.TemporaryDirectory(prefix="creative-feedback-kafka-")
        home = self._folder or Path(self._temporary.name)  # type: ignore[union-attr]
        try:
            home.mkdir(parents=True, exist_ok=True)
            lock = (home / "in-use.lock").open("w")
        except OSError as error:
            raise _folder_refused(home, error) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.close()
            raise NotStarted(f"folder {home} belongs to a running broker: stop that one or choose another") from error
        self._lock = lock
        return home.resolve()

    def _release(self) -> None:
        self.nodes = ()
        if self._watchdog is not None:
            self._watchdog.close()
            self._watchdog = None
        if self._lock is not None:
            self._lock.close()
            self._lock = None
        if self._temporary is not None:
            self._temporary.cleanup()
            self._temporary = None

    def _node_properties(self, number: int) -> dict[str, str]:
        return broker_properties(number, self._ports, self._controller_ports) | self._properties


def _folder_refused(home: Path, error: OSError) -> NotStarted:
    reason = error.strerror or str(error)
    return NotStarted(f"folder {home} cannot be used: {reason}; free it or choose another with --folder")


def _cluster_id(file: Path) -> str:
    """The id this folder was formatted with, or a new one."""
    if not file.exists():
        file.write_text(new_id())
    return file.read_text()
