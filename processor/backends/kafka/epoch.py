"""One epoch of the transactional producer.

The client's own producer repeats requests of unknown fate silently in the same epoch, accepts a rejected batch as part
of a committed transaction, and sends no generation with the offsets (rules R1 and R3).  So the transaction protocol is
driven here, request by request, over the client's connections: what was definitely refused for the moment is
repeated, everything else is a doubt, and a doubt ends the epoch.

Protocol: KIP-98 (transactions), KIP-447 (offsets fenced by generation), KIP-360 (epochs).
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from aiokafka.protocol.produce import ProduceRequest
from aiokafka.protocol.transaction import (
    AddOffsetsToTxnRequest,
    AddPartitionsToTxnRequest,
    EndTxnRequest,
    InitProducerIdRequest,
)

from processor.backends.kafka.buffer import BatchList, PartitionBuffer
from processor.backends.kafka.connection import (
    COORDINATOR_MOVED,
    FENCED_GROUP,
    FENCED_INSTANCE_ID,
    FENCED_PRODUCER,
    LEADER_MOVED,
    MAX_RETRY_S,
    RETRY_S,
    TRY_AGAIN,
    TRY_HARMLESS_AGAIN,
    UNAUTHORIZED,
    UNKNOWN_SERVER_ERROR,
    Connection,
    NotSent,
    error_name,
    missing_acl,
    retries,
)
from processor.backends.kafka.protocol import FencedTxnOffsetCommit
from processor.config import Settings
from processor.engine.ports import Buffer, Token
from processor.errors import Fenced, InDoubt, InstanceFenced, ProcessorError, ProducerFenced, Refused, Rejected

DUPLICATE_SEQUENCE = 46
TOO_LARGE = frozenset({10, 18})
# Sequence, transaction state, producer id, abortable, or the broker itself: what is wrong is not the batch.
OUT_OF_STEP = frozenset({45, 48, 49, 59, 120, UNKNOWN_SERVER_ERROR})
RETRIABLE_COORDINATION = COORDINATOR_MOVED | TRY_AGAIN | {3}
BATCH_BYTES = 900 * 1024  # below Kafka's default max.message.bytes of 1 MiB


@dataclass
class _Queue:
    """The batches of one topic partition that are still to be acknowledged, in order."""

    topic: str
    partition: int
    batches: list[tuple[Any, int]]
    next_offset: int = -1
    encoded: bytes | None = None


@dataclass
class Lineage:
    """What the epochs of one transactional id leave to the next.

    ``limits`` (topic to bytes): a topic that refused a batch as too large gets smaller ones from then on.
    ``unanswered``: InitProducerId requests of unknown fate; each of them may still arrive, and then fences whatever
    epoch we have by that time, which says nothing about another process with our id.
    """

    limits: dict[str, int] = field(default_factory=dict)
    unanswered: int = 0


class TransactionalEpoch:
    """Implements the engine's `Epoch`."""

    def __init__(self, settings: Settings, transactional_id: str, lineage: Lineage) -> None:
        self._settings = settings
        self._topics = settings.topics
        self._id = transactional_id
        self._lineage = lineage
        self._connection = Connection(settings.kafka, f"{transactional_id}-producer")
        self._coordinators: dict[str, int] = {}
        self._producer_id = -1
        self._producer_epoch = -1
        self._sequences: dict[tuple[str, int], int] = defaultdict(int)
        self._ending = False
        self._fenced_by_us: bool | None = None  # by an InitProducerId of our own that came late; None: not fenced

    async def open(self) -> None:
        """Take a new epoch: aborts what an older one left open, waits for what is decided, fences what is late."""
        topics = self._topics
        await self._connection.open(frozenset({topics.actions, topics.metrics, topics.dead_letters, topics.changelog}))
        request = InitProducerIdRequest(self._id, self._settings.engine.transaction_timeout_ms)
        async for _ in retries():
            try:
                reply = await self._coordinate("transaction", request)
            except (NotSent, InDoubt) as error:
                # A repeated InitProducerId only takes one epoch more.
                self._lineage.unanswered += isinstance(error, InDoubt)
                await self._connection.refresh()
                continue
            code = reply.error_code
            if code == 0:
                self._producer_id, self._producer_epoch = reply.producer_id, reply.producer_epoch
                return
            if code in UNAUTHORIZED:
                raise missing_acl(self._settings.kafka, "Write", f"transactional-id {self._id}")
            if code == 50:
                raise Refused(
                    f"engine.transaction_timeout_ms = {self._settings.engine.transaction_timeout_ms} is above the "
                    "broker's transaction.max.timeout.ms: lower it"
                )
            if code in COORDINATOR_MOVED:
                self._coordinators.clear()
            elif code not in TRY_HARMLESS_AGAIN and code not in FENCED_PRODUCER:
                raise Refused(f"InitProducerId for {self._id!r}: {error_name(code)}")

    async def close(self) -> None:
        """Close the sockets; the broker needs no word."""
        await self._connection.close()

    def buffer(self, partition: int) -> Buffer:
        """An empty buffer for one partition."""
        topics = self._topics
        return cast(
            Buffer,
            PartitionBuffer(
                self._list(topics.actions),
                self._list(topics.metrics),
                self._list(topics.dead_letters),
                self._list(topics.changelog),
            ),
        )

    def _list(self, topic: str) -> BatchList:
        return BatchList(topic, self._lineage.limits.get(topic, BATCH_BYTES))

    # Steps of a transaction ----------------------------------------------------------------------------------

    async def add_partitions(self, buffers: Mapping[int, Buffer]) -> None:
        """AddPartitionsToTxn for every topic partition with records."""
        by_topic: dict[str, list[int]] = defaultdict(list)
        for partition, buffer in sorted(buffers.items()):
            for part in cast(PartitionBuffer, buffer).lists:
                if part.count:
                    by_topic[part.topic].append(partition)
        request = AddPartitionsToTxnRequest(self._id, self._producer_id, self._producer_epoch, list(by_topic.items()))
        async for _ in retries():
            try:
                reply = await self._coordinate("transaction", request)
            except NotSent:
                continue
            forbidden = [topic for topic, errors in reply.errors for _, code in errors if code in UNAUTHORIZED]
            if forbidden:
                raise InDoubt(str(missing_acl(self._settings.kafka, "Write", f"topic {forbidden[0]}")))
            codes = {code for _, errors in reply.errors for _, code in errors} - {0, 55}
            if not codes:
                return
            self._judge("AddPartitionsToTxn", codes)

    async def add_offsets(self) -> None:
        """AddOffsetsToTxn for the application's group."""
        group = self._settings.engine.application_id
        request = AddOffsetsToTxnRequest(self._id, self._producer_id, self._producer_epoch, group)
        async for _ in retries():
            try:
                reply = await self._coordinate("transaction", request)
            except NotSent:
                continue
            if reply.error_code == 0:
                return
            self._judge("AddOffsetsToTxn", {reply.error_code})

    async def commit_offsets(self, token: Token, positions: Mapping[int, int]) -> None:
        """TxnOffsetCommit v3, with the values of the token and no others."""
        request = FencedTxnOffsetCommit(
            self._id,
            self._settings.engine.application_id,
            self._producer_id,
            self._producer_epoch,
            token,
            self._topics.state,
            dict(positions),
        )
        async for _ in retries():
            try:
                reply = await self._coordinate("group", request)
            except NotSent:
                continue
            codes = {code for _, partitions, _ in reply.topics for _, code, _ in partitions} - {0}
            if not codes:
                return
            if codes & FENCED_GROUP:
                names = ", ".join(error_name(code) for code in sorted(codes))
                kind = InstanceFenced if FENCED_INSTANCE_ID in codes else Fenced
                raise kind(f"the group refused generation {token.generation}: {names}")
            self._judge("TxnOffsetCommit", codes, group=True)

    async def end(self) -> None:
        """EndTxn(commit). Whatever is not a success leaves the fate open: it is never repeated."""
        assert not self._ending, "EndTxn of this transaction was sent before"
        self._ending = True
        request = EndTxnRequest(self._id, self._producer_id, self._producer_epoch, True)
        try:
            reply = await self._coordinate("transaction", request)
        except NotSent as error:
            raise InDoubt(f"EndTxn: {error}") from None
        if reply.error_code in FENCED_PRODUCER:
            raise self._fenced(f"EndTxn: {error_name(reply.error_code)}")
        if reply.error_code != 0:
            raise InDoubt(f"EndTxn: {error_name(reply.error_code)}")
        self._ending = False

    def _judge(self, what: str, codes: set[int], *, group: bool = False) -> None:
        """Return where the request may be repeated, raise where it may not."""
        if codes & FENCED_PRODUCER:
            raise self._fenced(f"{what}: the transactional id {self._id!r} has a newer epoch")
        if not codes <= RETRIABLE_COORDINATION:
            raise InDoubt(f"{what}: {', '.join(error_name(code) for code in sorted(codes))}")
        if codes & COORDINATOR_MOVED:
            self._coordinators.pop("group" if group else "transaction", None)

    def _fenced(self, message: str) -> InDoubt:
        """The error for a broker's word that there is a newer epoch; several brokers may say so of the same one."""
        if self._fenced_by_us is None:
            self._fenced_by_us = self._lineage.unanswered > 0
            self._lineage.unanswered -= self._fenced_by_us
        if self._fenced_by_us:
            return InDoubt(f"{message}; an InitProducerId of our own was not answered before")
        return ProducerFenced(message)

    async def _coordinate(self, kind: str, request: Any) -> Any:
        node = self._coordinators.get(kind)
        if node is None:
            key = self._id if kind == "transaction" else self._settings.engine.application_id
            node = self._coordinators[kind] = await self._connection.coordinator(kind, key)
        try:
            return await self._connection.send(node, request, coordination=True)
        except ProcessorError:
            self._coordinators.pop(kind, None)
            raise
        except NotSent:
            self._coordinators.pop(kind, None)
            await self._connection.refresh()
            raise

    # Produce -------------------------------------------------------------------------------------------------

    async def produce(self, buffers: Mapping[int, Buffer]) -> dict[int, int]:
        """Send every batch and await every acknowledgement; batches of one partition go in order."""
        queues: list[_Queue] = []
        changelog: dict[int, _Queue] = {}
        for partition, buffer in buffers.items():
            for part in cast(PartitionBuffer, buffer).lists:
                if part.count:
                    queue = _Queue(part.topic, partition, list(part.finish()))
                    queues.append(queue)
                    if part.topic == self._topics.changelog:
                        changelog[partition] = queue
        open_queues = queues
        async for _ in retries():
            by_leader: dict[int, list[_Queue]] = defaultdict(list)
            for queue in open_queues:
                leader = self._connection.leader(queue.topic, queue.partition)
                if leader is not None:
                    by_leader[leader].append(queue)
            results = await asyncio.gather(
                *(self._produce_to(node, group) for node, group in by_leader.items()), return_exceptions=True
            )
            for result in results:
                if isinstance(result, BaseException):
                    raise result
            open_queues = [queue for queue in open_queues if queue.batches]
            if not open_queues:
                break
            await self._connection.refresh()
        return {partition: queue.next_offset for partition, queue in changelog.items()}

    async def _produce_to(self, node: int, queues: list[_Queue]) -> None:
        """Send batch after batch to one leader until all are acknowledged or its metadata is stale."""
        pause_s = RETRY_S
        while True:
            by_topic: dict[str, list[tuple[int, bytes]]] = defaultdict(list)
            for queue in queues:
                by_topic[queue.topic].append((queue.partition, self._encode(queue)))
            request = ProduceRequest(
                transactional_id=self._id,
                required_acks=-1,
                timeout=self._settings.kafka.request_timeout_ms,
                topics=list(by_topic.items()),
            )
            try:
                reply = await self._connection.send(node, request)
            except (NotSent, InDoubt):
                # The caller sends the same bytes again: their sequence numbers make that harmless.
                return
            replies = {(topic, part[0]): (part[1], part[2]) for topic, parts in reply.topics for part in parts}
            moved = False
            for queue in queues:
                moved |= self._acknowledge(queue, *replies[queue.topic, queue.partition])
            queues = [queue for queue in queues if queue.batches]
            if moved or not queues:
                return
            if any(queue.encoded is not None for queue in queues):
                # Somebody was told to try again; the next batch of the others needs no pause.
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 1.5, MAX_RETRY_S)

    def _encode(self, queue: _Queue) -> bytes:
        if queue.encoded is None:
            builder, _ = queue.batches[0]
            sequence = self._sequences[queue.topic, queue.partition]
            builder.set_producer_state(self._producer_id, self._producer_epoch, sequence)
            queue.encoded = bytes(builder.build())
        return queue.encoded

    def _acknowledge(self, queue: _Queue, code: int, base_offset: int) -> bool:
        """Take one reply; true where the leader must be looked up anew."""
        if code in LEADER_MOVED:
            return True
        if code in TRY_AGAIN:
            return False
        if code in (0, DUPLICATE_SEQUENCE):
            _, count = queue.batches.pop(0)
            queue.encoded = None
            key = (queue.topic, queue.partition)
            self._sequences[key] = (self._sequences[key] + count) % 2**31
            queue.next_offset = base_offset + count if code == 0 and base_offset >= 0 else -1
            return False
        if code in UNAUTHORIZED:
            # No fault of this batch: once the ACL is granted again, the same records are taken.
            raise InDoubt(str(missing_acl(self._settings.kafka, "Write", f"topic {queue.topic}")))
        message = f"Produce to {queue.topic}-{queue.partition}: {error_name(code)}"
        if code in FENCED_PRODUCER:
            raise self._fenced(message)
        if code in OUT_OF_STEP:
            raise InDoubt(message)
        if code in TOO_LARGE:
            limit = self._lineage.limits.get(queue.topic, BATCH_BYTES)
            self._lineage.limits[queue.topic] = max(limit // 2, 1)
        raise Rejected(queue.partition, queue.topic, message, too_large=code in TOO_LARGE)
