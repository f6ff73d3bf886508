"""Two clusters behind one face: the model and Apache Kafka, with what a test needs to set the scene."""

from __future__ import annotations

import abc
import asyncio
import secrets
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any, NamedTuple

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.structs import TopicPartition

from processor.backends.kafka import apply, connected, observe
from processor.backends.kafka.cluster import KafkaCluster
from processor.backends.kafka.protocol import SetTopicConfigs
from processor.config import Settings, declared_topology, load_settings
from processor.engine.ports import Cluster, Token
from tests.kafka.locked import as_party
from tests.simulation import broker as model
from tests.simulation.client import ModelCluster
from tests.simulation.log import NewRecord
from tests.simulation.virtual_time import Process
from topology import plan

PARTITIONS = 2
MAX_BATCH_BYTES = 100_000
WAIT_S = 20.0

Pair = tuple[bytes | None, bytes | None]
ROLES = ("actions", "metrics", "dead_letters", "changelog")


class Listening(NamedTuple):
    """A listener that keeps what it hears."""

    tokens: list[Token]
    revocations: list[int]

    async def revoked(self) -> None:
        self.revocations.append(len(self.tokens))

    def assigned(self, token: Token) -> None:
        self.tokens.append(token)


async def until(condition: Callable[[], object]) -> None:
    """Wait for a state; both clusters only tell by doing."""
    async with asyncio.timeout(WAIT_S):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


class World(abc.ABC):
    """Topics by role (``actions`` …); everything made here is closed by `close`."""

    @abc.abstractmethod
    async def cluster(self, instance_id: str) -> Cluster:
        """A client of its own."""

    @abc.abstractmethod
    async def feed(self, partition: int, pairs: Sequence[Pair]) -> None:
        """Append plain records to the input."""

    @abc.abstractmethod
    async def feed_transaction(self, partition: int, pairs: Sequence[Pair], *, committed: bool) -> None:
        """Append a transaction of another producer to the input."""

    @abc.abstractmethod
    async def remove_input(self, partition: int, before: int) -> None:
        """Retention takes everything below the offset."""

    @abc.abstractmethod
    async def committed(self, role: str, partition: int) -> list[Pair]:
        """What a read_committed reader sees now."""

    @abc.abstractmethod
    async def group_offset(self, partition: int) -> int | None:
        """What the group has committed."""

    @abc.abstractmethod
    async def close(self) -> None:
        """End all clients."""


class ModelWorld(World):
    """The model broker, in real time here."""

    def __init__(self) -> None:
        self.broker = model.ModelKafka(PARTITIONS, Random(1), max_batch_bytes=MAX_BATCH_BYTES)
        self._processes: list[Process] = []

    async def cluster(self, instance_id: str) -> Cluster:
        process = Process(instance_id)
        self._processes.append(process)
        return ModelCluster(self.broker, process, instance_id, 10.0)

    async def feed(self, partition: int, pairs: Sequence[Pair]) -> None:
        self.broker.logs[model.INPUT, partition].append([NewRecord(key, value) for key, value in pairs])

    async def feed_transaction(self, partition: int, pairs: Sequence[Pair], *, committed: bool) -> None:
        log = self.broker.logs[model.INPUT, partition]
        log.append_open(900, log.end, 0, [NewRecord(key, value) for key, value in pairs])
        log.mark(900, committed)

    async def remove_input(self, partition: int, before: int) -> None:
        self.broker.logs[model.INPUT, partition].trim(before)

    async def committed(self, role: str, partition: int) -> list[Pair]:
        log = self.broker.logs[role.replace("_", "-"), partition]
        entries, _ = log.read(log.start, 1_000_000)
        return [(entry.key, entry.value) for entry in entries]

    async def group_offset(self, partition: int) -> int | None:
        return self.broker.group.offsets.get(partition)

    async def close(self) -> None:
        for process in self._processes:
            self.broker.kill(process)


class KafkaWorld(World):
    """Fresh topics and a fresh group on a real broker."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._clusters: list[KafkaCluster] = []

    @classmethod
    async def make(cls, bootstrap_servers: str) -> KafkaWorld:
        """Create the topics."""
        name = f"contract-{secrets.token_hex(4)}"
        flags: Mapping[str, Any] = {
            **{f"topics.{role}": f"{name}.{role.replace('_', '-')}" for role in ("state", *ROLES)},
            "topics.partitions": PARTITIONS,
            "topics.replication_factor": 1,
            "kafka.bootstrap_servers": bootstrap_servers,
            "kafka.request_timeout_ms": 5_000,
            "engine.application_id": name,
            # A slow machine is no reason for the broker to end anything: no test here waits for that.
            "engine.session_timeout_ms": 30_000,
            "engine.transaction_timeout_ms": 30_000,
            "engine.rebalance_timeout_ms": 3_000,
        }
        settings = load_settings(None, {}, flags)
        declared = declared_topology(settings)
        async with connected(await as_party(settings, "topics"), "topics") as connection:
            await apply(connection, settings, plan(declared, await observe(connection, declared)), declared)
            smaller = SetTopicConfigs({settings.topics.metrics: {"max.message.bytes": str(MAX_BATCH_BYTES)}})
            await connection.send(connection.client.get_random_node(), smaller)
        return cls(settings)

    async def cluster(self, instance_id: str) -> Cluster:
        cluster = KafkaCluster(await as_party(self.settings, "processor"), instance_id)
        await cluster.open()
        self._clusters.append(cluster)
        return cluster

    async def feed(self, partition: int, pairs: Sequence[Pair]) -> None:
        async with self._producer() as producer:
            for key, value in pairs:
                await producer.send_and_wait(self.settings.topics.state, value, key, partition)

    async def feed_transaction(self, partition: int, pairs: Sequence[Pair], *, committed: bool) -> None:
        async with self._producer(transactional_id=f"upstream-{secrets.token_hex(4)}") as producer:
            await producer.begin_transaction()
            for key, value in pairs:
                await producer.send_and_wait(self.settings.topics.state, value, key, partition)
            if committed:
                await producer.commit_transaction()
            else:
                await producer.abort_transaction()

    async def remove_input(self, partition: int, before: int) -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=self.settings.kafka.bootstrap_servers)
        await admin.start()
        try:
            where = TopicPartition(self.settings.topics.state, partition)
            await admin.delete_records({where: RecordsToDelete(before)})
        finally:
            await admin.close()

    async def committed(self, role: str, partition: int) -> list[Pair]:
        where = TopicPartition(getattr(self.settings.topics, role), partition)
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.settings.kafka.bootstrap_servers,
            isolation_level="read_committed",
            enable_auto_commit=False,
        )
        found: list[Pair] = []
        await consumer.start()
        try:
            consumer.assign([where])
            await consumer.seek_to_beginning(where)
            end = (await consumer.end_offsets([where]))[where]
            async with asyncio.timeout(WAIT_S):
                while await consumer.position(where) < end:
                    for records in (await consumer.getmany(timeout_ms=200)).values():
                        found += [(record.key, record.value) for record in records]
                    stable = consumer.last_stable_offset(where)
                    if stable is not None and await consumer.position(where) >= stable:
                        break
        finally:
            await consumer.stop()
        return found

    async def group_offset(self, partition: int) -> int | None:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.settings.kafka.bootstrap_servers,
            group_id=self.settings.engine.application_id,
            enable_auto_commit=False,
        )
        await consumer.start()
        try:
            where = TopicPartition(self.settings.topics.state, partition)
            consumer.assign([where])
            offset: int | None = await consumer.committed(where)
        finally:
            await consumer.stop()
        return offset

    async def close(self) -> None:
        for cluster in self._clusters:
            await cluster.close()

    def _producer(self, **more: Any) -> AIOKafkaProducer:
        return AIOKafkaProducer(bootstrap_servers=self.settings.kafka.bootstrap_servers, acks="all", **more)
