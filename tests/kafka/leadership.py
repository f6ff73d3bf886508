"""Three nodes under our control: who leads what, taking nodes away and back, and moving leadership without a fault."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

from processor.backends.embedded import EmbeddedKafka
from processor.backends.embedded.probe import ClusterView, cluster_view
from processor.backends.kafka.connection import Connection, NotSent, retries
from processor.config import load_settings
from processor.errors import InDoubt
from tests.kafka.quorum import DescribeQuorum, ElectPreferredLeaders, ReassignPartitions

HOST = "127.0.0.1"
POLL_S = 0.1
SETTLE_S = 90.0
STOP_S = 30.0
GROUPS, TRANSACTIONS = "__consumer_offsets", "__transaction_state"
DONE = frozenset({0, 84})  # ELECTION_NOT_NEEDED: it leads already

TopicPartition = tuple[str, int]


class Nodes:
    """Nodes are numbered from 1.  What is asked is answered by a node that is neither dead nor frozen."""

    def __init__(self, kafka: EmbeddedKafka, connection: Connection) -> None:
        self._kafka = kafka
        self._connection = connection
        self._frozen: set[int] = set()
        self.numbers = [node.node_id for node in kafka.nodes]

    @property
    def present(self) -> list[int]:
        """The nodes that run and are not frozen."""
        return [node.node_id for node in self._kafka.nodes if node.alive and node.node_id not in self._frozen]

    # Taking away and bringing back ------------------------------------------------------------------------------

    async def kill(self, node: int) -> None:
        """SIGKILL."""
        await asyncio.to_thread(self._kafka.kill, node)

    async def stop(self, node: int) -> None:
        """SIGTERM, and wait for its orderly end: it hands its leaderships over first."""
        process = self._kafka.nodes[node - 1]
        process.ask_to_stop()
        if not await asyncio.to_thread(process.await_stopped, STOP_S):
            await self.kill(node)

    async def restart(self, *nodes: int) -> None:
        """Start again what was killed or stopped, all at once: one of three alone would wait for a quorum."""
        await asyncio.gather(*(asyncio.to_thread(self._kafka.restart, node) for node in nodes))

    def freeze(self, node: int) -> None:
        """SIGSTOP: its connections stay open, and nobody answers."""
        self._frozen.add(node)
        self._kafka.pause(node)

    def thaw(self, node: int) -> None:
        """SIGCONT: it wakes in the belief that it leads what it led."""
        self._kafka.resume(node)
        self._frozen.discard(node)

    async def heal(self) -> None:
        """Whatever was done to it, make the cluster whole again."""
        for node in list(self._frozen):
            self.thaw(node)
        await self.restart(*(node.node_id for node in self._kafka.nodes if not node.alive))
        await self.whole()

    # Who leads --------------------------------------------------------------------------------------------------

    async def view(self) -> ClusterView:
        """What one of the present nodes knows."""
        return await asyncio.to_thread(cluster_view, HOST, self._kafka.nodes[random.choice(self.present) - 1].port)

    async def leaders(self) -> dict[TopicPartition, int]:
        """Leader of every partition of the cluster, -1 where there is none."""
        return {(p.topic, p.partition): p.leader for p in (await self.view()).partitions}

    async def leader(self, topic: str, partition: int) -> int:
        """The node that leads the partition; waits while nobody does."""
        leaders = await self.until(lambda view: _leader(view, topic, partition) > 0, f"a leader of {topic}-{partition}")
        return _leader(leaders, topic, partition)

    async def coordination(self, topic: str, key: str) -> TopicPartition:
        """The internal partition whose leader coordinates the group or the transactional id ``key``."""
        count = sum(p.topic == topic for p in (await self.view()).partitions)
        return topic, abs(_java_hash(key)) % count

    async def controller(self) -> int:
        """The node that leads the quorum of controllers."""
        async for _ in retries(SETTLE_S):
            try:
                reply = await self._connection.send(random.choice(self.present), DescribeQuorum())
            except (NotSent, InDoubt):
                continue
            [[_, [partition, *_], *_]] = reply.topics
            if partition[1] == 0:
                return int(partition[2])
        raise AssertionError(f"no controller in {SETTLE_S:g} s")

    async def led_without(self, node: int) -> None:
        """Wait until every partition has a leader, and none of them is this node."""
        await self.until(
            lambda view: all(p.leader not in (-1, node) for p in view.partitions), f"leaders other than node {node}"
        )

    async def whole(self) -> None:
        """Wait until all nodes take part and every partition has all its copies in sync."""
        await self.until(
            lambda view: (
                view.brokers == set(self.numbers)
                and all(p.leader > 0 and set(p.in_sync) == set(p.replicas) for p in view.partitions)
            ),
            "three nodes in sync",
        )

    async def until(self, holds: Callable[[ClusterView], bool], what: str) -> ClusterView:
        """Wait for something that all present nodes agree on; returns the last one's view."""
        deadline = asyncio.get_running_loop().time() + SETTLE_S
        while True:
            try:
                views = [
                    await asyncio.to_thread(cluster_view, HOST, self._kafka.nodes[node - 1].port)
                    for node in self.present
                ]
            except OSError:
                views = []
            if views and all(map(holds, views)):
                return views[-1]
            assert asyncio.get_running_loop().time() < deadline, f"not {what} in {SETTLE_S:g} s; seen last: {views}"
            await asyncio.sleep(POLL_S)

    # Moving leadership ------------------------------------------------------------------------------------------

    async def lead(self, wanted: Mapping[TopicPartition, int]) -> None:
        """Move the leadership of these partitions to these nodes, which hold copies of them, and wait until it is so.

        Makes each the first and so preferred replica, then elects the preferred leaders: no node is away meanwhile.
        """
        copies = {(p.topic, p.partition): p.replicas for p in (await self.view()).partitions}
        order = {tp: (node, *(n for n in copies[tp] if n != node)) for tp, node in wanted.items()}
        await self._ask(ReassignPartitions(order), lambda reply: [reply.error_code])
        await self._ask(
            ElectPreferredLeaders(list(wanted)),
            lambda reply: [code for _, results in reply.replica_election_results for _, code, _ in results],
        )
        await self.until(
            lambda view: all(_leader(view, *tp) == node for tp, node in wanted.items()), f"leaders as in {wanted}"
        )

    async def _ask(self, request: object, codes: Callable[..., list[int]]) -> None:
        last: object = None
        async for _ in retries(SETTLE_S):
            try:
                last = await self._connection.send(random.choice(self.present), request)
            except (NotSent, InDoubt) as error:
                last = error
                await self._connection.refresh()
                continue
            if DONE.issuperset(codes(last)):
                return
        raise AssertionError(f"{type(request).__name__} not done in {SETTLE_S:g} s: {last}")


@asynccontextmanager
async def nodes_of(kafka: EmbeddedKafka) -> AsyncIterator[Nodes]:
    """The nodes of a running cluster; whatever was done to them, all are back at the end."""
    settings = load_settings(
        None, {}, {"kafka.bootstrap_servers": kafka.bootstrap_servers, "kafka.request_timeout_ms": 3_000}
    )
    connection = Connection(settings.kafka, "leadership")
    await connection.open()
    nodes = Nodes(kafka, connection)
    try:
        yield nodes
    finally:
        await nodes.heal()
        await connection.close()


def _leader(view: ClusterView, topic: str, partition: int) -> int:
    return next((p.leader for p in view.partitions if (p.topic, p.partition) == (topic, partition)), -1)


def _java_hash(text: str) -> int:
    """`String.hashCode` of Java, by which Kafka spreads groups and transactional ids."""
    value = 0
    for unit in text:
        value = (31 * value + ord(unit)) & 0xFFFF_FFFF
    return value - 2**32 if value >= 2**31 else value
