"""Neighbours of the processor: who writes the input, and who reads what is committed."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any, NamedTuple, Self

from aiokafka.errors import KafkaError, TopicAuthorizationFailedError

from processor.backends.kafka.connection import Connection, missing_acl
from processor.backends.kafka.reader import EARLIEST, LATEST, Reader, list_offset
from processor.backends.kafka.secured import SecuredProducer
from processor.config import Settings
from processor.errors import Refused, Unreachable
from topology import partition_of_key

MOST_UNACKNOWLEDGED = 20_000


class EventProducer:
    """Idempotent producer to the input topic; a key goes where Kafka's Java client would send it, a null key in turn.

    ``acknowledged`` counts the events that every in-sync replica has.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._topic = settings.topics.state
        self._partitions = settings.topics.partitions
        self._waiting: set[asyncio.Future[Any]] = set()
        self._turn = 0
        self._failure: BaseException | None = None
        self._connection = Connection(settings.kafka, f"{settings.engine.application_id}-events")
        self._producer: SecuredProducer
        self.acknowledged = 0

    async def __aenter__(self) -> Self:
        kafka = self._settings.kafka
        await self._connection.open(frozenset({self._topic}))
        self._producer = SecuredProducer(
            self._connection.client,
            request_timeout_ms=kafka.request_timeout_ms,
            enable_idempotence=True,
            acks="all",
            linger_ms=5,
            max_batch_size=256 * 1024,
            max_request_size=16 * 1024 * 1024,
        )
        try:
            self._connection.require("Write", [self._topic])
            async with asyncio.timeout(kafka.connect_timeout_ms / 1000):
                await self._producer.start()
        except (KafkaError, TimeoutError, OSError) as error:
            await self._stop()
            raise Unreachable(
                f"no Kafka broker at {kafka.bootstrap_servers} gives a producer id ({error!r}): check the brokers"
            ) from None
        except Refused:
            await self._stop()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stop()

    async def _stop(self) -> None:
        with contextlib.suppress(TimeoutError, KafkaError):
            async with asyncio.timeout(self._settings.kafka.request_timeout_ms / 1000):
                await self._producer.stop()

    async def send(self, events: Sequence[tuple[bytes | None, bytes]]) -> None:
        """Hand (key, value) pairs over in order; waits while too many are on their way."""
        for key, value in events:
            if key is None:
                self._turn += 1
                partition = self._turn % self._partitions
            else:
                partition = partition_of_key(key, self._partitions)
            future = await self._producer.send(self._topic, value, key, partition)
            self._waiting.add(future)
            future.add_done_callback(self._acknowledged)
        while len(self._waiting) > MOST_UNACKNOWLEDGED:
            await asyncio.wait(self._waiting, return_when=asyncio.FIRST_COMPLETED)
        self._check()

    async def flush(self) -> None:
        """Wait until everything handed over is acknowledged. Raises `Refused` where the broker would not take it."""
        if self._waiting:
            await asyncio.wait(self._waiting)
        self._check()

    def _acknowledged(self, future: asyncio.Future[Any]) -> None:
        self._waiting.discard(future)
        if future.cancelled():
            return
        error = future.exception()
        if error is None:
            self.acknowledged += 1
        else:
            self._failure = error

    def _check(self) -> None:
        if isinstance(self._failure, TopicAuthorizationFailedError):
            raise missing_acl(self._settings.kafka, "Write", f"topic {self._topic}")
        if self._failure is not None:
            raise Refused(f"write to {self._topic}: {self._failure!r}")


class CommittedRecord(NamedTuple):
    """A record that a read_committed consumer sees; ``timestamp`` is Kafka's, in milliseconds."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


class CommittedReader:
    """Reads whole topics read_committed, outside any group: from the beginning, or from the end with ``latest``."""

    def __init__(self, settings: Settings, topics: Sequence[str], *, latest: bool = False) -> None:
        self._settings = settings
        self._topics = tuple(topics)
        self._latest = latest
        self._connection = Connection(settings.kafka, "creative-feedback-reader")
        self._readers: dict[str, Reader] = {}
        self._arrived = asyncio.Event()
        self._lost: list[str] = []

    async def __aenter__(self) -> Self:
        await self._connection.open(frozenset(self._topics))
        try:
            self._connection.require("Read", self._topics)
            await self._begin()
        except BaseException:
            await self._close()
            raise
        return self

    async def _begin(self) -> None:
        which = LATEST if self._latest else EARLIEST
        for topic in self._topics:
            reader = Reader(self._connection, topic, self._arrived.set, lambda _, why: self._lost.append(why))
            self._readers[topic] = reader
            for partition in sorted(self._connection.client.cluster.partitions_for_topic(topic) or ()):
                reader.seek(partition, await list_offset(self._connection, topic, partition, which))

    async def __aexit__(self, *_: object) -> None:
        await self._close()

    async def _close(self) -> None:
        for reader in self._readers.values():
            await reader.close()
        await self._connection.close()

    async def read(self, timeout_s: float) -> Sequence[CommittedRecord]:
        """What has arrived, in order per partition; empty after ``timeout_s`` without anything."""
        loop = asyncio.get_running_loop()
        end = loop.time() + timeout_s
        while True:
            self._arrived.clear()
            if self._lost:
                raise Refused(self._lost[0])
            found = [
                CommittedRecord(topic, partition, r.offset, r.timestamp, r.key, r.value, r.headers)
                for topic, reader in self._readers.items()
                for partition, records, _ in reader.take(10_000)
                for r in records
            ]
            if found or loop.time() >= end:
                return found
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(end):
                    await self._arrived.wait()
