"""The rig on Apache Kafka: every request is written as it is, nothing is repeated but what the broker asks for."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, NamedTuple

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.protocol.api import Request
from aiokafka.protocol.commit import OffsetFetchRequest
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.protocol.group import HeartbeatRequest, JoinGroupRequest_v2, LeaveGroupRequest, SyncGroupRequest
from aiokafka.protocol.offset import OffsetRequest
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.protocol.transaction import (
    AddOffsetsToTxnRequest,
    AddPartitionsToTxnRequest,
    EndTxnRequest,
    InitProducerIdRequest,
)
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.structs import TopicPartition

from processor.backends.kafka.buffer import BatchList
from processor.backends.kafka.connection import Connection, error_name
from processor.backends.kafka.protocol import FencedTxnOffsetCommit
from processor.backends.kafka.reader import RawRecords
from processor.backends.kafka.records import produce_plain
from processor.config import load_settings
from processor.engine.ports import Token
from tests.contract.operations import MEMBERS, PARTITIONS
from tests.contract.rigs import GENERATION, MEMBER, OK, PRODUCER_FENCED, SEQUENCE, TRANSACTION_STATE, Rig, Seen

REBALANCE_IN_PROGRESS = 27
CONCURRENT = 51
LOADING = frozenset({14, 15, 16, CONCURRENT})
ANSWERS = {
    0: OK,
    22: GENERATION,
    25: MEMBER,
    45: SEQUENCE,
    47: PRODUCER_FENCED,
    48: TRANSACTION_STATE,
    90: PRODUCER_FENCED,
    120: TRANSACTION_STATE,
}
UNCOMMITTED, COMMITTED = 0, 1  # isolation levels
LONG_MS = 600_000  # no session and no transaction ends by time here


class ProducerEpoch(NamedTuple):
    producer_id: int
    epoch: int


class JoinV2(Request[JoinGroupRequest_v2]):
    """The last version in which a new member gets its id at once."""

    API_KEY = 11

    def __init__(self, group: str, member_id: str) -> None:
        # Something new to say makes every join begin a rebalance.
        self._fields = (group, LONG_MS, LONG_MS, member_id, "consumer", [("any", secrets.token_bytes(4))])

    def build(self, request_struct_class: type[JoinGroupRequest_v2]) -> JoinGroupRequest_v2:
        return request_struct_class(*self._fields)


class AnyOffsetCommit(FencedTxnOffsetCommit):
    """With tokens that the processor never sends."""

    def __init__(
        self, name: str, group: str, epoch: ProducerEpoch, token: Token, topic: str, at: Mapping[int, int]
    ) -> None:
        super().__init__(name, group, *epoch, token._replace(generation=0, member_id="?"), topic, dict(at))
        self._fields = (*self._fields[:4], token.generation, token.member_id, *self._fields[6:])


class KafkaRig(Rig):
    """Its topic serves sequence after sequence: `begin` takes new names and counts offsets from what is there."""

    def __init__(self, bootstrap_servers: str) -> None:
        settings = load_settings(
            None, {}, {"kafka.bootstrap_servers": bootstrap_servers, "kafka.request_timeout_ms": 20_000}
        )
        self._servers = bootstrap_servers
        self._topic = f"sequences-{secrets.token_hex(4)}"
        self._connection = Connection(settings.kafka, "sequences")
        # A request that waits holds its connection.
        self._members = [Connection(settings.kafka, f"sequences-{number}") for number in range(MEMBERS)]
        self._name = ""
        self._generation = -1
        self._begins = [0] * PARTITIONS
        self._names: set[str] = set()
        self._node = -1

    async def open(self) -> None:
        """Create the topic and find the one node."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self._servers)
        await admin.start()
        try:
            await admin.create_topics([NewTopic(self._topic, PARTITIONS, 1)])
        finally:
            await admin.close()
        await self._connection.open(frozenset({self._topic}))
        for connection in self._members:
            await connection.open()
        self._node = await self._connection.coordinator("transaction", "sequences")
        await self._connection.coordinator("group", "sequences")
        async with asyncio.timeout(30):
            while self._connection.leader(self._topic, 0) is None:
                await self._connection.refresh()

    async def begin(self) -> None:
        """A new sequence."""
        self._name = f"s{secrets.token_hex(6)}"
        self._names = set()
        self._begins = [0] * PARTITIONS
        self._begins = [seen.end for seen in await self._bounds()]

    async def _send(self, request: Any, *, member: int | None = None) -> Any:
        connection = self._connection if member is None else self._members[member]
        return await connection.send(self._node, request, coordination=True)

    async def _insist(self, ask: Callable[[], Awaitable[int]]) -> int:
        while (code := await ask()) in LOADING:  # noqa: ASYNC110 -- the broker tells only when asked
            await asyncio.sleep(0.002)
        return code

    async def _answer(self, ask: Callable[[], Awaitable[int]]) -> str:
        code = await self._insist(ask)
        return ANSWERS.get(code) or error_name(code)

    def _id(self, name: str) -> str:
        self._names.add(name)
        return f"{self._name}-{name}"

    async def init(self, name: str) -> Any:
        request = InitProducerIdRequest(self._id(name), LONG_MS)
        while (reply := await self._send(request)).error_code in LOADING:  # noqa: ASYNC110
            await asyncio.sleep(0.002)
        assert reply.error_code == 0, error_name(reply.error_code)
        return ProducerEpoch(reply.producer_id, reply.producer_epoch)

    async def add(self, name: str, epoch: ProducerEpoch, partitions: Sequence[int]) -> str:
        request = AddPartitionsToTxnRequest(
            self._id(name), epoch.producer_id, epoch.epoch, [(self._topic, list(partitions))]
        )

        async def ask() -> int:
            reply = await self._send(request)
            return max(int(code) for _, errors in reply.errors for _, code in errors)

        return await self._answer(ask)

    async def produce(
        self, name: str, epoch: ProducerEpoch, partition: int, sequence: int, values: Sequence[bytes]
    ) -> str:
        batch = BatchList(self._topic, 1 << 16)
        for value in values:
            batch.append(b"k", value, [])
        [(builder, _)] = batch.finish()
        builder.set_producer_state(*epoch, sequence)
        request = ProduceRequest(self._id(name), -1, 20_000, [(self._topic, [(partition, bytes(builder.build()))])])
        offset = -1

        async def ask() -> int:
            nonlocal offset
            [(_, [(_, code, offset, *_)])] = (await self._send(request)).topics
            # While markers are written the verification answers so.
            return CONCURRENT if code == 19 else int(code)

        answer = await self._answer(ask)
        return f"{OK} {offset - self._begins[partition]}" if answer == OK else answer

    async def plain(self, partition: int, value: bytes) -> str:
        batch = BatchList(self._topic, 1 << 16, transactional=False)
        batch.append(b"k", value, [])
        offset = await produce_plain(self._connection, self._topic, partition, batch)
        return f"{OK} {offset - self._begins[partition]}"

    async def add_offsets(self, name: str, epoch: ProducerEpoch) -> str:
        request = AddOffsetsToTxnRequest(self._id(name), epoch.producer_id, epoch.epoch, self._name)

        async def ask() -> int:
            return int((await self._send(request)).error_code)

        return await self._answer(ask)

    async def commit_offsets(self, name: str, epoch: ProducerEpoch, token: Token, positions: Mapping[int, int]) -> str:
        request = AnyOffsetCommit(self._id(name), self._name, epoch, token, self._topic, positions)

        async def ask() -> int:
            reply = await self._send(request)
            return max(int(code) for _, partitions, _ in reply.topics for _, code, _ in partitions)

        return await self._answer(ask)

    async def end(self, name: str, epoch: ProducerEpoch, committed: bool) -> str:
        request = EndTxnRequest(self._id(name), epoch.producer_id, epoch.epoch, committed)

        async def ask() -> int:
            return int((await self._send(request)).error_code)

        return await self._answer(ask)

    async def join(self, first: int, members: Mapping[int, str]) -> dict[int, Token]:
        async def join_one(number: int, member_id: str) -> tuple[int, Token]:
            if number != first:
                heartbeat = HeartbeatRequest(self._name, self._generation, member_id)
                while (await self._send(heartbeat, member=number)).error_code != REBALANCE_IN_PROGRESS:  # noqa: ASYNC110
                    await asyncio.sleep(0.002)
            join = JoinV2(self._name, member_id)
            while (reply := await self._send(join, member=number)).error_code in LOADING:  # noqa: ASYNC110
                await asyncio.sleep(0.002)
            assert reply.error_code == 0, error_name(reply.error_code)
            given = [(each, b"") for each, _ in reply.members]  # only the leader hears of the members
            sync = SyncGroupRequest(self._name, reply.generation_id, reply.member_id, None, given)  # type: ignore[arg-type]
            synced = await self._send(sync, member=number)
            assert synced.error_code == 0, error_name(synced.error_code)
            self._generation = reply.generation_id
            return number, Token(reply.generation_id, reply.member_id, None, frozenset())

        return dict(await asyncio.gather(*(join_one(*member) for member in members.items())))

    async def leave(self, number: int, member_id: str) -> str:
        async def ask() -> int:
            return int((await self._send(LeaveGroupRequest(self._name, member_id), member=number)).error_code)

        return await self._answer(ask)

    async def seen(self) -> list[Seen]:
        ends, stable = await self._list(UNCOMMITTED), await self._list(COMMITTED)
        committed, uncommitted = await self._fetch(COMMITTED), await self._fetch(UNCOMMITTED)
        return [Seen(*part) for part in zip(ends, stable, committed, uncommitted, strict=True)]

    async def _bounds(self) -> list[Seen]:
        while True:
            seen = await self.seen()
            if all(part.end == part.last_stable for part in seen):
                return seen
            await asyncio.sleep(0.005)

    async def _list(self, isolation: int) -> list[int]:
        latest = [(partition, -1) for partition in range(PARTITIONS)]
        [(_, parts)] = (await self._send(OffsetRequest(-1, isolation, [(self._topic, latest)]))).topics
        return [offset - self._begins[partition] for partition, _, *_, offset in sorted(parts)]

    async def _fetch(self, isolation: int) -> list[tuple[tuple[int, bytes], ...]]:
        where = [(partition, begin, 1 << 20) for partition, begin in enumerate(self._begins)]
        reply = await self._send(FetchRequest(0, 0, 1 << 24, isolation, [(self._topic, where)]))
        found: dict[int, tuple[tuple[int, bytes], ...]] = {}
        for partition, code, _, _, *rest in reply.topics[0][1]:
            assert code == 0, error_name(code)
            begin = self._begins[partition]
            aborted, data = rest[1] if len(rest) > 3 else rest[-2], rest[-1]
            records = RawRecords(  # type: ignore[no-untyped-call]
                TopicPartition(self._topic, partition),
                MemoryRecords(data),
                aborted or [],
                begin,
                None,
                None,
                True,
                isolation,
            ).read()
            found[partition] = tuple((record.offset - begin, record.value) for record in records)
        return [found[partition] for partition in range(PARTITIONS)]

    async def group_offsets(self) -> dict[int, int]:
        reply = await self._send(OffsetFetchRequest(self._name, [(self._topic, list(range(PARTITIONS)))]))
        return {partition: offset for _, parts in reply.topics for partition, offset, *_ in parts if offset >= 0}

    async def close(self) -> None:
        """End the sequence: nothing stays open."""
        for name in sorted(self._names):
            await self.init(name)

    async def shut(self) -> None:
        """Close the connections."""
        for connection in [self._connection, *self._members]:
            await connection.close()
