"""The group coordinator: members, generations, offsets fenced by them.

The join protocol is one step here (join and sync together); what matters to the engine is kept: a generation ends the
moment the next one begins, members hear of it late, and the silent are expelled.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from random import Random
from typing import Any

from processor.engine.assignment import Owned, assign
from processor.engine.ports import Token
from processor.errors import Fenced


class Member:
    """One member id. ``rejoin`` tells its process that a rebalance goes on."""

    def __init__(self, member_id: str, rejoin: Callable[[], None], instance_id: str | None = None) -> None:
        self.member_id = member_id
        self.rejoin = rejoin
        self.instance_id = instance_id
        self.owned = Owned(-1, frozenset())
        self.joined: asyncio.Future[Token | None] | None = None
        self.partitions: frozenset[int] = frozenset()


class GroupCoordinator:
    """Times in seconds; ``later(delay, function, *args)`` schedules."""

    def __init__(
        self,
        partitions: int,
        later: Callable[..., Any],
        random: Random,
        *,
        heartbeat_s: float = 0.05,
        rebalance_timeout_s: float = 0.8,
    ) -> None:
        self.generation = 0
        self.members: dict[str, Member] = {}
        self.offsets: dict[int, int] = {}
        self.rebalances = 0
        self.replacements = 0  # of static members, without a rebalance
        self._known = False  # somebody has joined or committed before
        self._pending: dict[int, dict[int, tuple[int, int]]] = {}  # by producer and partition: when written, offset
        self._written = 0
        self._settled: dict[int, int] = {}  # when the partition's offset was written
        self._partitions = partitions
        self._later = later
        self._random = random
        self._heartbeat_s = heartbeat_s
        self._rebalance_timeout_s = rebalance_timeout_s
        self._preparing = False
        self._serial = 0
        self._names = 0

    def join(
        self, member_id: str | None, owned: Owned, rejoin: Callable[[], None], instance_id: str | None = None
    ) -> tuple[Member, asyncio.Future[Token | None]]:
        """JoinGroup: member and future of its token (None: expelled meanwhile); an unknown id becomes a new one.

        A static member that comes back under a new member id takes its place without a new generation (KIP-345);
        its predecessor is fenced by its member id.  Raises `Fenced` for such a predecessor.
        """
        member = self.members.get(member_id or "")
        if member is None and instance_id is not None:
            before = next((m for m in self.members.values() if m.instance_id == instance_id), None)
            if before is not None and member_id is not None:
                raise Fenced("FENCED_INSTANCE_ID")
            if before is not None:
                return self._replace(before, rejoin)
        if member is None:
            self._known = True
            self._names += 1
            member = Member(f"m{self._names}", rejoin, instance_id)
            self.members[member.member_id] = member
        member.owned = owned
        joined = member.joined = asyncio.get_running_loop().create_future()
        self.rebalance()
        self._maybe_complete()
        return member, joined

    def _replace(self, before: Member, rejoin: Callable[[], None]) -> tuple[Member, asyncio.Future[Token | None]]:
        self._names += 1
        member = Member(f"m{self._names}", rejoin, before.instance_id)
        # In the place of its predecessor: the order of members decides nothing.
        self.members = {
            member.member_id if known is before else name: member if known is before else known
            for name, known in self.members.items()
        }
        if before.joined is not None:
            _deliver(before.joined, None)
        member.partitions = before.partitions
        joined = member.joined = asyncio.get_running_loop().create_future()
        if self._preparing:
            self._maybe_complete()
        else:
            self.replacements += 1
            member.joined = None
            token = Token(self.generation, member.member_id, member.instance_id, member.partitions)
            self._later(0.001 + self._random.random() * 0.01, _deliver, joined, token)
        return member, joined

    def expel(self, member_id: str) -> None:
        """Its session is over, or it left."""
        member = self.members.pop(member_id, None)
        if member is None:
            return
        if member.joined is not None:
            _deliver(member.joined, None)
        if self.members:
            self.rebalance()
            self._maybe_complete()
        else:
            self.generation += 1
            self._preparing = False

    def rebalance(self) -> None:
        """Begin to prepare the next generation; members hear of it at their next heartbeat."""
        if self._preparing:
            return
        self._preparing = True
        self.rebalances += 1
        self._serial += 1
        for member in self.members.values():
            if member.joined is None:
                self._later(self._random.random() * self._heartbeat_s, member.rejoin)
        self._later(self._rebalance_timeout_s, self._overdue, self._serial)

    def commit_offsets(self, producer: int, token: Token, positions: Mapping[int, int]) -> None:
        """TxnOffsetCommit v3. Raises `Fenced` for another generation or an unknown member.

        A negative generation with an empty member is accepted unchecked, as Kafka does.
        """
        if token.generation >= 0 or token.member_id:
            if not self._known:
                raise Fenced("ILLEGAL_GENERATION")
            if token.group_instance_id is not None and any(
                member.instance_id == token.group_instance_id and member.member_id != token.member_id
                for member in self.members.values()
            ):
                raise Fenced("FENCED_INSTANCE_ID")
            if token.member_id not in self.members:
                raise Fenced("UNKNOWN_MEMBER_ID")
            if token.generation != self.generation:
                raise Fenced("ILLEGAL_GENERATION")
        self._known = True
        pending = self._pending.setdefault(producer, {})
        for partition, offset in positions.items():
            self._written += 1
            pending[partition] = (self._written, offset)

    def pending(self, producer: int) -> dict[int, int]:
        """Offsets in the producer's open transaction."""
        return {partition: offset for partition, (_, offset) in self._pending.get(producer, {}).items()}

    def mark(self, producer: int, committed: bool) -> None:
        """The transaction with the producer's pending offsets is decided.

        Of two transactions that commit the same partition the later written offset stays, whichever ends later (Kafka's
        OffsetMetadataManager compares the places of the records in `__consumer_offsets`).
        """
        pending = self._pending.pop(producer, {})
        if not committed:
            return
        for partition, (written, offset) in pending.items():
            if written > self._settled.get(partition, 0):
                self._settled[partition] = written
                self.offsets[partition] = offset

    def _overdue(self, serial: int) -> None:
        if self._preparing and serial == self._serial:
            for member in list(self.members.values()):
                if member.joined is None:
                    del self.members[member.member_id]
            self._preparing = bool(self.members)
            self._maybe_complete()

    def _maybe_complete(self) -> None:
        if not self._preparing or not self.members or any(m.joined is None for m in self.members.values()):
            return
        self._preparing = False
        self.generation += 1
        owned = {name: member.owned for name, member in self.members.items()}
        for name, partitions in assign(owned, range(self._partitions)).items():
            member = self.members[name]
            member.partitions = frozenset(partitions)
            token = Token(self.generation, name, member.instance_id, member.partitions)
            joined, member.joined = member.joined, None
            self._later(0.001 + self._random.random() * 0.01, _deliver, joined, token)


def _deliver(joined: asyncio.Future[Token | None], token: Token | None) -> None:
    if not joined.done():
        joined.set_result(token)
