"""A model and an Apache Kafka that take the same requests, one by one, and say in the same words what came of them."""

from __future__ import annotations

import abc
import asyncio
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any, NamedTuple

from processor.engine.assignment import Owned
from processor.engine.ports import Token
from processor.errors import Fenced, InDoubt, ProducerFenced
from tests.contract.operations import PARTITIONS
from tests.simulation import broker as model
from tests.simulation.log import COMMITTED, CONTROL, Log, NewRecord, SequenceGap
from tests.simulation.transactions import ABORTING, COMMITTING, TryAgain

# What a broker may answer.
OK = "ok"
PRODUCER_FENCED = "producer fenced"
TRANSACTION_STATE = "invalid transaction state"
SEQUENCE = "out of order sequence"
GENERATION = "illegal generation"
MEMBER = "unknown member"

NO_TOKEN = Token(-1, "", None, frozenset())


class Seen(NamedTuple):
    """One partition: end, last stable offset, and (offset, value) of what readers of both kinds get."""

    end: int
    last_stable: int
    committed: tuple[tuple[int, bytes], ...]
    uncommitted: tuple[tuple[int, bytes], ...]


class Rig(abc.ABC):
    """Producers are named by text, epochs by what `init` returned; offsets begin at 0 with every rig.

    Requests that a broker asks to repeat, because markers are still being written, are repeated inside.
    """

    @abc.abstractmethod
    async def init(self, name: str) -> Any:
        """A new epoch."""

    @abc.abstractmethod
    async def add(self, name: str, epoch: Any, partitions: Sequence[int]) -> str: ...
    @abc.abstractmethod
    async def produce(self, name: str, epoch: Any, partition: int, sequence: int, values: Sequence[bytes]) -> str:
        """``ok OFFSET`` or what went wrong."""

    @abc.abstractmethod
    async def plain(self, partition: int, value: bytes) -> str:
        """A record outside any transaction."""

    @abc.abstractmethod
    async def add_offsets(self, name: str, epoch: Any) -> str: ...
    @abc.abstractmethod
    async def commit_offsets(self, name: str, epoch: Any, token: Token, positions: Mapping[int, int]) -> str: ...
    @abc.abstractmethod
    async def end(self, name: str, epoch: Any, committed: bool) -> str: ...
    @abc.abstractmethod
    async def join(self, first: int, members: Mapping[int, str]) -> dict[int, Token]:
        """All members (number to member id, empty for a new one) join, one first and the others when they hear of it;
        their tokens."""

    @abc.abstractmethod
    async def leave(self, number: int, member_id: str) -> str: ...
    @abc.abstractmethod
    async def seen(self) -> list[Seen]: ...
    @abc.abstractmethod
    async def group_offsets(self) -> dict[int, int]: ...
    @abc.abstractmethod
    async def close(self) -> None: ...


class ModelRig(Rig):
    """The simulation's broker, in real time."""

    def __init__(self) -> None:
        self.broker = model.ModelKafka(PARTITIONS, Random(1))
        self.broker.group._rebalance_timeout_s = 3_600.0  # nobody is late here

    def _log(self, partition: int) -> Log:
        return self.broker.logs[model.CHANGELOG, partition]

    async def _answer(self, effect: Callable[[], str | None]) -> str:
        while True:
            try:
                return effect() or OK
            except TryAgain:
                await asyncio.sleep(0.001)
            except ProducerFenced:
                return PRODUCER_FENCED
            except SequenceGap:
                return SEQUENCE
            except InDoubt:
                return TRANSACTION_STATE
            except Fenced as fenced:
                return {"ILLEGAL_GENERATION": GENERATION, "UNKNOWN_MEMBER_ID": MEMBER}[str(fenced)]

    async def init(self, name: str) -> Any:
        while True:
            try:
                return self.broker.transactions.init(name, 3_600.0)[1]
            except TryAgain:
                await asyncio.sleep(0.001)

    async def add(self, name: str, epoch: Any, partitions: Sequence[int]) -> str:
        logs = {(model.CHANGELOG, partition): self._log(partition) for partition in partitions}
        return await self._answer(lambda: self.broker.transactions.add(name, epoch, logs))

    async def produce(self, name: str, epoch: Any, partition: int, sequence: int, values: Sequence[bytes]) -> str:
        def write() -> str:
            known = self.broker.transactions.verify(name, epoch, (model.CHANGELOG, partition))
            records = [NewRecord(b"k", value) for value in values]
            return f"{OK} {self._log(partition).append_open(known.producer, epoch, sequence, records)}"

        return await self._answer(write)

    async def plain(self, partition: int, value: bytes) -> str:
        return f"{OK} {self._log(partition).append([NewRecord(b'k', value)])}"

    async def add_offsets(self, name: str, epoch: Any) -> str:
        return await self._answer(lambda: self.broker.transactions.add(name, epoch, {}, group=True))

    async def commit_offsets(self, name: str, epoch: Any, token: Token, positions: Mapping[int, int]) -> str:
        def commit() -> None:
            known = self.broker.transactions.verify(name, epoch, None)
            self.broker.group.commit_offsets(known.producer, token, positions)

        return await self._answer(commit)

    async def end(self, name: str, epoch: Any, committed: bool) -> str:
        return await self._answer(lambda: self.broker.transactions.end(name, epoch, committed=committed))

    async def join(self, first: int, members: Mapping[int, str]) -> dict[int, Token]:
        joined = {
            number: self.broker.group.join(members[number], Owned(-1, frozenset()), lambda: None)[1]
            for number in sorted(members, key=lambda number: number != first)
        }
        tokens = {}
        for number, future in joined.items():
            token = await future
            assert token is not None
            tokens[number] = token
        return tokens

    async def leave(self, number: int, member_id: str) -> str:
        if member_id not in self.broker.group.members:
            return MEMBER
        self.broker.group.expel(member_id)
        return OK

    async def seen(self) -> list[Seen]:
        ids = self.broker.transactions.ids
        while any(known.state in (COMMITTING, ABORTING) for known in ids.values()):  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        seen = []
        for partition in range(PARTITIONS):
            log = self._log(partition)
            written = [entry for entry in log.entries if entry.state != CONTROL]
            seen.append(
                Seen(
                    log.end,
                    log.last_stable,
                    tuple((entry.offset, entry.value or b"") for entry in log.read(0, 1 << 30)[0]),
                    tuple((entry.offset, entry.value or b"") for entry in written),
                )
            )
            assert all(entry.state == COMMITTED for entry in log.read(0, 1 << 30)[0])
        return seen

    async def group_offsets(self) -> dict[int, int]:
        return dict(self.broker.group.offsets)

    async def close(self) -> None:
        for name in self.broker.transactions.ids:
            await self.init(name)
