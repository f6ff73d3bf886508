"""What the surfaces ask of Kafka and of an embedded broker; ``app`` binds the backends.

Every method raises `Unreachable` where no broker answers and `Refused` where the cluster is not fit for
the work, in one line with the remedy.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from pathlib import Path
from typing import NamedTuple, Protocol

from processor.config import Settings
from processor.engine.observer import Observer
from processor.engine.ports import FoldFactory, InputRecord
from topology import ObservedCluster, Plan

Event = tuple[bytes | None, bytes]
"""Key and value of an input record."""


class Chunk(NamedTuple):
    """Records of one partition, in its order, as a read_committed consumer sees them."""

    topic: str
    partition: int
    records: Sequence[InputRecord]


class Producer(Protocol):
    """A plain idempotent producer to the input topic, partitioned like Kafka's Java client."""

    async def send(self, events: Sequence[Event]) -> None:
        """Hand events over in order; waits while too much is on its way."""

    async def flush(self) -> None:
        """Wait until everything handed over is acknowledged."""

    @property
    def acknowledged(self) -> int:
        """Events that the cluster has acknowledged."""


class Reader(Protocol):
    """A read_committed reader of whole topics, outside any group."""

    async def read(self, timeout_s: float) -> Sequence[Chunk]:
        """What has arrived; empty after ``timeout_s`` without anything."""


class Bounds(NamedTuple):
    """Of one partition: the earliest offset it holds, the last stable offset and the high watermark."""

    first: int
    stable_end: int
    end: int


class Logs(Protocol):
    """Committed records of single partitions, read outside any group."""

    async def bounds(self, topic: str, partition: int) -> Bounds: ...

    def records(self, topic: str, partition: int, start: int, end: int) -> AsyncGenerator[Sequence[InputRecord], None]:
        """In order, those from ``start`` up to ``end`` (exclusive); waits where they are not decided yet."""


class Place(NamedTuple):
    """Where one partition stands: its progress, and the earliest and the end offset of its input."""

    partition: int
    next_offset: int
    first: int
    end: int


class Move(NamedTuple):
    """A partition's progress from one input offset to another."""

    partition: int
    previous: int
    following: int


class ProgressAdmin(Protocol):
    """Looks at the progress of partitions and moves it."""

    async def members(self) -> Sequence[str]:
        """Who is in the group now, each by client id and host."""

    async def place(self, partition: int) -> Place:
        """As the changelog says it; waits for transactions that are open there."""

    async def offset_at(self, partition: int, timestamp_ms: int) -> int | None:
        """The first input offset whose record is not older (Kafka's time), None where there is none."""

    async def move(self, moves: Sequence[Move]) -> None:
        """All of them in one transaction, or none; raises `Refused` while others are in the group, and where a
        partition is no longer at ``previous``."""


class Standing(NamedTuple):
    """What is left of one partition.

    ``own``: the engine's own records in its changelog by key (barriers left out); ``committed``: the input offset that
    the group has committed, None where it has none.
    """

    partition: int
    own: Mapping[bytes, bytes]
    committed: int | None


class RebuiltState(NamedTuple):
    """What a partition's changelog shall hold: state records by key, and the progress record up to ``next_offset``.

    ``standing``: what was left when this was worked out.
    """

    standing: Standing
    next_offset: int
    state: Mapping[bytes, bytes]
    progress: bytes


class ChangelogAdmin(Protocol):
    """Looks at changelogs that lost their state, and makes them anew."""

    async def members(self) -> Sequence[str]:
        """Who is in the group now, each by client id and host."""

    async def standing(self, partition: int, each: Callable[[bytes, bytes | None], None]) -> Standing:
        """As it is now; waits for transactions that are open there.  ``each`` sees the fold's records, as a restore
        will, and refuses what it cannot read."""

    async def write(self, states: Sequence[RebuiltState]) -> None:
        """All of them, or none that a processor would use; raises `Refused` while others are in the group, and where
        a partition no longer stands as it was seen."""


class TopicAdmin(Protocol):
    """Looks at topics and changes them."""

    async def observe(self) -> ObservedCluster:
        """What the cluster has of the declared topics."""

    async def apply(self, plan: Plan) -> None:
        """Carry a plan without refusals out; then see to it that every changelog partition that is still
        empty gets its first progress record, also where the plan had nothing to do."""


class Broker(Protocol):
    """A broker running beside this process."""

    @property
    def bootstrap_servers(self) -> str: ...
    @property
    def kind(self) -> str:
        """Name and version."""

    @property
    def why_fallback(self) -> str | None:
        """Why it is not Apache Kafka, where it is not."""

    @property
    def alive(self) -> bool:
        """It has not ended by itself."""


FetchProgress = Callable[[int, int], None]
"""Bytes present and bytes in all, while a broker's files are being fetched."""


class GroupMember(NamedTuple):
    """A member of the consumer group, and where its HTTP address is known, that."""

    instance: str
    url: str | None


class Kafka(Protocol):
    """The ways to a cluster that commands take."""

    async def run(self, settings: Settings, folds: FoldFactory, observer: Observer, stop: asyncio.Event) -> None:
        """Process until ``stop`` is set, then commit, leave the group and return."""

    async def owners(self, settings: Settings) -> Mapping[int, GroupMember]:
        """Who in the group has which partition now."""

    async def take_out(self, settings: Settings, instances: Sequence[str]) -> Mapping[str, bool]:
        """Let static members leave the group for good; false for whoever is none."""

    def topics(self, settings: Settings) -> AbstractAsyncContextManager[TopicAdmin]: ...

    def producer(self, settings: Settings) -> AbstractAsyncContextManager[Producer]: ...

    def reader(
        self, settings: Settings, topics: Sequence[str], *, latest: bool = False
    ) -> AbstractAsyncContextManager[Reader]:
        """From the beginning, or with ``latest`` from the end at the time of the call."""

    def logs(self, settings: Settings) -> AbstractAsyncContextManager[Logs]: ...

    def progress(self, settings: Settings) -> AbstractAsyncContextManager[ProgressAdmin]: ...

    def changelogs(self, settings: Settings) -> AbstractAsyncContextManager[ChangelogAdmin]: ...

    def start_broker(
        self,
        *,
        nodes: int,
        port: int | None,
        folder: Path | None,
        properties: Mapping[str, str],
        progress: FetchProgress,
    ) -> AbstractContextManager[Broker]:
        """A broker on this machine, ready; on free ports where none is given."""
