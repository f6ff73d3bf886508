"""Connections to the cluster, and one place where the client's errors become ours."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable
from typing import Any

from aiokafka.client import ConnectionGroup, CoordinationType
from aiokafka.errors import KafkaConnectionError, KafkaError, NodeNotReadyError, StaleMetadata, for_code

from processor.backends.kafka.secured import SecuredClient
from processor.config import KafkaConfig
from processor.errors import InDoubt, Refused, Unreachable

# A transaction begun right after another meets its markers still being written: wait a moment, not the client's 100 ms.
RETRY_S = 0.002
MAX_RETRY_S = 0.1
METADATA_AGE_MS = 60_000  # after which a change that no error told, such as added partitions, is noticed

# https://kafka.apache.org/protocol.html#protocol_error_codes: definite replies after which the same request may be
# sent again, by what else they ask for.
COORDINATOR_MOVED = frozenset({15, 16})  # COORDINATOR_NOT_AVAILABLE, NOT_COORDINATOR
LEADER_MOVED = frozenset({3, 5, 6, 8, 9, 13, 56, 72, 74, 75, 76, 78, 100, 103})
TRY_AGAIN = frozenset({7, 14, 19, 20, 51})  # REQUEST_TIMED_OUT, LOADING, NOT_ENOUGH_REPLICAS*, CONCURRENT_TRANSACTIONS
UNKNOWN_SERVER_ERROR = -1  # the broker is in trouble and says nothing about the request: a full disk, for one
TRY_HARMLESS_AGAIN = TRY_AGAIN | {UNKNOWN_SERVER_ERROR}  # of a request that may take effect twice
FENCED_INSTANCE_ID = 82
FENCED_GROUP = frozenset({22, 25, 27, FENCED_INSTANCE_ID, 110, 113})  # generation, member, rebalance, member epochs
FENCED_PRODUCER = frozenset({47, 90})  # INVALID_PRODUCER_EPOCH, PRODUCER_FENCED
UNAUTHORIZED = frozenset({29, 30, 31, 53})  # topic, group, cluster, transactional id

GRANT = "grant it with kafka-acls.sh, as `creative-feedback topics acls` prints it"


def error_name(code: int) -> str:
    """The broker's name of an error code, with the code."""
    known = {FENCED_INSTANCE_ID: "FENCED_INSTANCE_ID", 90: "PRODUCER_FENCED", 74: "FENCED_LEADER_EPOCH"}
    name = known.get(code)
    return f"{name or for_code(code).__name__} ({code})"


def missing_acl(kafka: KafkaConfig, operation: str, resource: str) -> Refused:
    """The error that an operation on a resource (``topic NAME``, ``group NAME``) needs an ACL that nobody gave."""
    return Refused(f"missing ACL{_grantee(kafka)}: {operation} on {resource}; {GRANT}")


def missing_acls(kafka: KafkaConfig, missing: Iterable[object]) -> Refused:
    """The same for several at once."""
    return Refused(f"missing ACLs{_grantee(kafka)}: {'; '.join(map(str, missing))}; {GRANT}")


def _grantee(kafka: KafkaConfig) -> str:
    return f" for User:{kafka.sasl_username}" if kafka.sasl_username is not None else ""


class NotSent(Exception):
    """The request never left: it may be sent again."""


class Connection:
    """One client with its own sockets, opened and closed within deadlines.

    aiokafka's own ``start`` and ``stop`` know no deadline (rule R14); every request here ends within
    ``request_timeout_ms`` by the client's own timer.
    """

    def __init__(self, kafka: KafkaConfig, name: str) -> None:
        self.kafka = kafka
        self.timeout_s = kafka.request_timeout_ms / 1000
        self.client = SecuredClient(kafka, name, retry_backoff_ms=20, metadata_max_age_ms=METADATA_AGE_MS)

    async def open(self, topics: frozenset[str] = frozenset()) -> None:
        """Connect and learn the topics. Raises `Unreachable`."""
        where = self.kafka.bootstrap_servers
        detail = ""
        try:
            async with asyncio.timeout(self.kafka.connect_timeout_ms / 1000):
                await self.client.bootstrap()
                if topics:
                    await self.client.set_topics(topics)
                # The bootstrap servers let us in; the addresses that they advertise may not.
                if await self._any_node():
                    return
        except (KafkaError, OSError, TimeoutError) as error:
            detail = f" ({error})" if str(error) else ""
        await self.close()
        if self.client.refused is not None:
            raise Unreachable(self.client.refused)
        raise Unreachable(f"no Kafka broker answers at {where}{detail}: start it, or correct kafka.bootstrap_servers")

    async def _any_node(self) -> bool:
        """Whether some broker takes us; true, too, while the cluster knows none or none refuses us by name."""
        if self.client.connected:
            return True
        for node in [broker.nodeId for broker in self.client.cluster.brokers()]:
            if await self.client.ready(node):
                return True
        return self.client.refused is None

    async def close(self) -> None:
        """Close all sockets; gives up after the request time-out."""
        with contextlib.suppress(TimeoutError, KafkaError, OSError):
            async with asyncio.timeout(self.timeout_s):
                await self.client.close()

    async def send(self, node: int, request: Any, *, coordination: bool = False) -> Any:
        """One request, one reply. Raises `NotSent` or, once written, `InDoubt`."""
        group = ConnectionGroup.COORDINATION if coordination else ConnectionGroup.DEFAULT
        try:
            return await self.client.send(node, request, group=group)
        except (NodeNotReadyError, StaleMetadata) as error:
            raise NotSent(str(error)) from None
        except KafkaError as error:
            if isinstance(error, KafkaConnectionError) and "No connection to broker" in str(error):
                raise NotSent(str(error)) from None
            raise InDoubt(f"{type(request).__name__}: no reply from node {node}: {error!r}") from None

    def require(self, operation: str, topics: Iterable[str]) -> None:
        """Raise `Refused` for the first topic of those opened with that we may not see, or that does not exist."""
        for topic in topics:
            if topic in self.client.cluster.unauthorized_topics:
                raise missing_acl(self.kafka, operation, f"topic {topic}")
            if not self.client.cluster.partitions_for_topic(topic):
                raise Refused(f"missing topic: {topic}; create it with `creative-feedback topics apply`")

    def leader(self, topic: str, partition: int) -> int | None:
        """Node id of the leader, None while unknown."""
        from aiokafka.structs import TopicPartition

        leader = self.client.cluster.leader_for_partition(TopicPartition(topic, partition))
        return None if leader is None or leader == -1 else int(leader)

    async def refresh(self) -> None:
        """Fresh metadata, or at least a try within the request time-out."""
        with contextlib.suppress(TimeoutError, KafkaError):
            async with asyncio.timeout(self.timeout_s):
                await self.client.force_metadata_update()

    async def coordinator(self, kind: str, key: str, operation: str | None = None) -> int:
        """Node id of the ``"group"`` or ``"transaction"`` coordinator; retries while the cluster is looking for it.

        ``operation`` is what is meant to be done there, for the error where even the question is not allowed; by
        default what the processor does.
        """
        which = CoordinationType.GROUP if kind == "group" else CoordinationType.TRANSACTION
        async for _ in retries():
            try:
                return int(await self.client.coordinator_lookup(which, key))
            except KafkaError as error:
                if getattr(error, "errno", None) in UNAUTHORIZED:
                    usual, resource = ("Read", "group") if kind == "group" else ("Write", "transactional-id")
                    raise missing_acl(self.kafka, operation or usual, f"{resource} {key}") from None
                await self.refresh()
        raise AssertionError("retries() does not end")


async def retries(deadline_s: float | None = None) -> AsyncIterator[int]:
    """Attempts with a growing pause: at once, then from 2 ms to 100 ms; ends after ``deadline_s``."""
    loop = asyncio.get_running_loop()
    end = None if deadline_s is None else loop.time() + deadline_s
    pause, attempt = RETRY_S, 0
    while end is None or loop.time() < end:
        yield attempt
        attempt += 1
        await asyncio.sleep(pause)
        pause = min(pause * 1.5, MAX_RETRY_S)
