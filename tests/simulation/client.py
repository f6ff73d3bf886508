"""What the engine sees of the model: its ports."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from typing import cast

from processor.engine.assignment import Owned
from processor.engine.ports import Buffer, Epoch, Fetched, Header, Input, InputRecord, Listener, Membership, Token
from processor.errors import Fenced, InDoubt, InputLost, InstanceIdInUse, ProcessorError
from schemas.progress import BARRIER_KEY
from tests.simulation.broker import ACTIONS, CHANGELOG, DEAD_LETTERS, INPUT, METRICS, ModelKafka
from tests.simulation.log import Entry, Log, NewRecord
from tests.simulation.transactions import TryAgain
from tests.simulation.virtual_time import Process

CHUNK_RECORDS = 200
STILL_S = 1.0


class ModelBuffer:
    """Records per topic."""

    def __init__(self) -> None:
        self.records: dict[str, list[NewRecord]] = {ACTIONS: [], METRICS: [], DEAD_LETTERS: [], CHANGELOG: []}
        self._actions = self.records[ACTIONS]  # most records by far
        self._bytes = 0

    def action(self, key: bytes | None, value: bytes, headers: list[Header]) -> None:
        self._actions.append(NewRecord(key, value, headers))
        self._bytes += 20 + len(value)

    def metric(self, key: bytes | None, value: bytes, headers: list[Header]) -> None:
        self._put(METRICS, key, value, headers)

    def dead_letter(self, key: bytes | None, value: bytes | None, headers: list[Header]) -> None:
        self._put(DEAD_LETTERS, key, value, headers)

    def change(self, key: bytes, value: bytes | None) -> None:
        self._put(CHANGELOG, key, value, [])

    def size(self) -> int:
        return self._bytes

    def _put(self, topic: str, key: bytes | None, value: bytes | None, headers: list[Header]) -> None:
        self.records[topic].append(NewRecord(key, value, headers))
        self._bytes += 20 + len(value or b"")


class ModelEpoch:
    """One epoch of a transactional id."""

    def __init__(self, broker: ModelKafka, process: Process, name: str, epoch: int) -> None:
        self.broker = broker
        self.process = process
        self.name = name
        self.epoch = epoch
        self._sequences: dict[Log, int] = {}

    def buffer(self, partition: int) -> Buffer:
        return ModelBuffer()

    async def add_partitions(self, buffers: Mapping[int, Buffer]) -> None:
        logs = {
            (topic, partition): self.broker.logs[topic, partition]
            for partition, buffer in buffers.items()
            for topic, records in cast(ModelBuffer, buffer).records.items()
            if records
        }
        await self._repeat("add_partitions", lambda: self.broker.transactions.add(self.name, self.epoch, logs))

    async def add_offsets(self) -> None:
        await self._repeat("add_offsets", lambda: self.broker.transactions.add(self.name, self.epoch, {}, group=True))

    async def produce(self, buffers: Mapping[int, Buffer]) -> dict[int, int]:
        self.process.check()
        by_topic: dict[str, list[tuple[Log, int, list[NewRecord]]]] = {}
        for partition, buffer in buffers.items():
            for topic, records in cast(ModelBuffer, buffer).records.items():
                if records:
                    log = self.broker.logs[topic, partition]
                    sequence = self._sequences.get(log, 0)
                    self._sequences[log] = sequence + len(records)
                    by_topic.setdefault(topic, []).append((log, sequence, records))
        waiting = len(by_topic)
        behind: dict[int, int] = {}
        everything: asyncio.Future[None] = self.broker.loop.create_future()

        def acknowledge(topic: str, reply: Mapping[int, int] | ProcessorError) -> None:
            nonlocal waiting
            if everything.done():
                return
            if isinstance(reply, ProcessorError):
                everything.set_exception(reply)
                everything.exception()
                return
            if topic == CHANGELOG:
                behind.update(reply)
            waiting -= 1
            if self.enough(waiting):
                everything.set_result(None)

        for topic, batches in by_topic.items():
            self.broker.produce(self.process, self.name, self.epoch, batches, partial(acknowledge, topic))
        await everything
        self.process.check()
        return {partition: behind.get(partition, -1) for partition in buffers}

    def enough(self, waiting: int) -> bool:
        """Whether the deliveries not answered may stay so: none may (a seeded bug says otherwise)."""
        return waiting == 0

    async def commit_offsets(self, token: Token, positions: Mapping[int, int]) -> None:
        broker = self.broker

        def commit() -> None:
            known = broker.transactions.verify(self.name, self.epoch, None)
            broker.group.commit_offsets(known.producer, token, positions)

        try:
            await self._repeat("commit_offsets", commit)
        except Fenced:
            broker.reached("stale generation fenced")
            raise

    async def end(self) -> None:
        # Whatever is no success is a doubt, a definite reply too.
        try:
            await self.broker.ask(self.process, "end", lambda: self.broker.transactions.end(self.name, self.epoch))
        except TryAgain:
            raise InDoubt("EndTxn: CONCURRENT_TRANSACTIONS") from None

    async def close(self) -> None:
        self.process.check()

    async def _repeat(self, kind: str, effect: Callable[[], None]) -> None:
        while True:
            try:
                await self.broker.ask(self.process, kind, effect)
                return
            except TryAgain:
                await asyncio.sleep(0.002)


class ModelInput:
    """The input partitions, read directly from the logs."""

    def __init__(self, broker: ModelKafka, process: Process, wake: Callable[[], None]) -> None:
        self._broker = broker
        self._process = process
        self._wake = wake
        self._positions: dict[int, int] = {}
        self._turn = 0
        self.unreadable: dict[int, int] = {}  # partition to the offset of a damaged record
        for partition in range(broker.partitions):
            broker.logs[INPUT, partition].watchers.append(self._arrived)

    def seek(self, partition: int, offset: int) -> None:
        self._positions[partition] = offset
        self._wake()

    def forget(self, partition: int) -> None:
        self._positions.pop(partition, None)

    def take(self, max_records: int, only: int | None = None) -> list[Fetched]:
        self._process.check()
        taken: list[Fetched] = []
        partitions = [p for p in sorted(self._positions) if only is None or p == only]
        if not partitions:
            return taken
        self._turn += 1
        turn = self._turn % len(partitions)
        room = max_records
        for partition in partitions[turn:] + partitions[:turn]:
            log = self._broker.logs[INPUT, partition]
            position = self._positions[partition]
            start, last_stable, end = self._broker.bounds(self._process, log)
            if not start <= position <= end:
                self._broker.refresh(self._process, log)
                raise InputLost(partition, f"input-{partition} does not hold offset {position}")
            if self.unreadable.get(partition) == position < last_stable:
                raise InputLost(partition, f"input-{partition} offset {position}: unreadable")
            if room <= 0 or position >= last_stable:
                continue
            records, behind = log.read(position, room, last_stable)
            if behind != position:
                self._positions[partition] = behind
                room -= len(records)
                taken.append(Fetched(partition, cast("list[InputRecord]", records), behind))
        return taken

    def lag(self, partition: int) -> int | None:
        position = self._positions.get(partition)
        if position is None:
            return None
        return max(0, self._broker.bounds(self._process, self._broker.logs[INPUT, partition]).last_stable - position)

    def silence_s(self, partition: int) -> float:
        return 0.0  # it looks into the log itself

    def _arrived(self) -> None:
        if not self._process.killed:
            self._wake()

    def detach(self) -> None:
        """The process is gone: nobody is woken any more."""
        for partition in range(self._broker.partitions):
            watchers = self._broker.logs[INPUT, partition].watchers
            if self._arrived in watchers:
                watchers.remove(self._arrived)


class ModelMembership:
    """Joins, hears of rebalances late, and joins again."""

    def __init__(
        self,
        broker: ModelKafka,
        process: Process,
        listener: Listener,
        group_instance_id: str | None = None,
        *,
        leave_on_stop: bool = False,
    ) -> None:
        self._group_instance_id = group_instance_id
        self._leaves = leave_on_stop
        self._broker = broker
        self._process = process
        self._listener = listener
        self._needed = asyncio.Event()
        self._member_id: str | None = None
        self._owned = Owned(-1, frozenset())
        self.trouble: Exception | None = None
        self._task = asyncio.create_task(self._coordinate())

    def check(self) -> None:
        self._process.check()
        if self.trouble is not None:
            trouble, self.trouble = self.trouble, None
            raise trouble
        if self._task.done():
            self._task.result()

    def rejoin(self) -> None:
        self._needed.set()

    async def leave(self) -> None:
        self._process.check()
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        if self._member_id is not None and self._group_instance_id is not None and not self._leaves:
            self._broker.silent(self._process)  # a static member stays listed until its session is over
        elif self._member_id is not None:
            member_id = self._member_id
            await self._broker.insist(self._process, "leave", lambda: self._broker.group.expel(member_id))

    async def _coordinate(self) -> None:
        while True:
            await self._listener.revoked()
            token: Token | None = None
            while token is None:
                self._needed.clear()
                try:
                    self._member_id, joined = await self._broker.ask(self._process, "join", self._join)
                except Fenced:
                    raise InstanceIdInUse(self._group_instance_id or "") from None
                token = await joined
            self._process.check()
            self._owned = Owned(token.generation, token.partitions)
            self._listener.assigned(token)
            await self._needed.wait()

    def _join(self) -> tuple[str, asyncio.Future[Token | None]]:
        return self._broker.join(self._process, self._member_id, self._owned, self._needed.set, self._group_instance_id)


class ModelCluster:
    """The engine's `Cluster`."""

    def __init__(
        self,
        broker: ModelKafka,
        process: Process,
        instance_id: str,
        transaction_timeout_s: float,
        *,
        static_membership: bool = False,
        leave_on_stop: bool = False,
    ) -> None:
        self.static_membership = static_membership
        self._leave_on_stop = leave_on_stop
        self.broker = broker
        self.process = process
        self.instance_id = instance_id
        self.transaction_timeout_s = transaction_timeout_s
        self.membership: ModelMembership | None = None
        self._inputs: list[ModelInput] = []

    async def join(self, listener: Listener) -> Membership:
        group_instance_id = self.instance_id if self.static_membership else None
        self.membership = ModelMembership(
            self.broker, self.process, listener, group_instance_id, leave_on_stop=self._leave_on_stop
        )
        return self.membership

    async def open_epoch(self) -> Epoch:
        coordinator = self.broker.transactions
        _, epoch = await self.broker.insist(
            self.process, "init", lambda: coordinator.init(self.instance_id, self.transaction_timeout_s)
        )
        return ModelEpoch(self.broker, self.process, self.instance_id, epoch)

    async def open_input(self, wake: Callable[[], None]) -> Input:
        reader = ModelInput(self.broker, self.process, wake)
        self._inputs.append(reader)
        return reader

    async def barrier(self, partition: int, value: bytes) -> int:
        log = self.broker.logs[CHANGELOG, partition]
        while self.broker.misled(self.process, log):
            # No follower confirms what the old leader takes: it answers that the write timed out.
            self.broker.refresh(self.process, log)
            await asyncio.sleep(self.broker.weather.request_timeout_s)
        return await self.broker.insist(self.process, "barrier", lambda: log.append([NewRecord(BARRIER_KEY, value)]))

    async def read_changelog(
        self,
        partition: int,
        barrier: int,
        each: Callable[[bytes, bytes | None], None],
        waiting: Callable[[int], None],
    ) -> bool:
        broker, log = self.broker, self.broker.logs[CHANGELOG, partition]
        position = (await broker.insist(self.process, "bounds", lambda: broker.bounds(self.process, log))).start
        moved_at = broker.loop.time()

        def fetch() -> tuple[list[Entry], int] | None:
            start, last_stable, end = broker.bounds(self.process, log)
            return log.read(position, CHUNK_RECORDS, last_stable) if start <= position <= end else None

        while position <= barrier:
            fetched = await broker.insist(self.process, "fetch", fetch)
            if fetched is None:
                broker.reached("changelog cut while reading")
                return False
            entries, behind = fetched
            for entry in entries:
                assert entry.key is not None
                each(entry.key, entry.value)
            if behind != position:
                position, moved_at = behind, broker.loop.time()
                continue
            broker.reached("restore waited for an open transaction")
            await asyncio.sleep(0.02)
            if broker.loop.time() - moved_at > STILL_S:
                moved_at = broker.loop.time()
                waiting(position)
                broker.refresh(self.process, log)
        return True

    async def input_bounds(self, partition: int) -> tuple[int, int]:
        log = self.broker.logs[INPUT, partition]
        self.broker.refresh(self.process, log)
        bounds = await self.broker.insist(self.process, "bounds", lambda: self.broker.bounds(self.process, log))
        return bounds.start, bounds.end

    async def input_record(self, partition: int, offset: int) -> InputRecord | None:
        log = self.broker.logs[INPUT, partition]

        def find() -> Entry | None:
            entries, _ = log.read(offset, 1)
            return entries[0] if entries and entries[0].offset == offset else None

        return cast("InputRecord | None", await self.broker.insist(self.process, "fetch", find))

    async def close(self) -> None:
        for reader in self._inputs:
            reader.detach()
