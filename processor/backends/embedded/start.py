"""The broker of a demo: Apache Kafka where possible, a stand-in where not, and it says which."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Protocol, Self

from processor.backends.embedded.errors import NotFetched
from processor.backends.embedded.jars import Progress
from processor.backends.embedded.kafka import EmbeddedKafka
from processor.backends.embedded.standin import StandInBroker


class Broker(Protocol):
    """A running broker of our own; a context manager that stops it at the end."""

    @property
    def bootstrap_servers(self) -> str:
        """`host:port`, comma-separated."""

    @property
    def kind(self) -> str:
        """Product and version, for people: `apache-kafka 4.2.0` or `noida-db 0.2.3`."""

    @property
    def why_fallback(self) -> str | None:
        """Why this is not Apache Kafka, in one line; None when it is."""

    @property
    def alive(self) -> bool:
        """All its processes run."""

    def stop(self) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


def start_broker(
    prefer: Literal["kafka", "stand-in"] = "kafka",
    *,
    nodes: int = 1,
    port: int | None = None,
    folder: Path | None = None,
    properties: Mapping[str, str] | None = None,
    progress: Progress | None = None,
) -> Broker:
    """Start Apache Kafka and return when it is ready; the stand-in when Kafka's jars are out of reach.

    `port` is the first node's, further nodes take the next ones; free ports when None.
    Only `NotFetched` leads to the stand-in (one node, settings ignored); every other `BrokerError` is raised.
    The handle is running: use it as a context manager, or call `stop`.
    """
    ports = None if port is None else range(port, port + nodes)
    if prefer == "stand-in":
        return StandInBroker("it was asked for", port=port, folder=folder).start()
    try:
        return EmbeddedKafka(nodes, ports=ports, folder=folder, properties=properties, progress=progress).start()
    except NotFetched as error:
        return StandInBroker(str(error), port=port, folder=folder).start()
