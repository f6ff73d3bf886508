"""Work on the changelog by an operator's word, as the group's only member.

An ordinary commit under the token of an ordinary assignment (rules R1 and R4): a processor that starts at the same
moment either voids the token, and nothing is changed, or restores behind what was changed.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Self

import msgspec

from processor.backends.kafka.admin import check
from processor.backends.kafka.cluster import KafkaCluster
from processor.backends.kafka.members import group_members
from processor.config import Settings, declared_topology
from processor.engine.ports import Membership, Token
from processor.errors import Fenced, Refused
from topology import Party

STOP_FIRST = (
    "stop all instances first; one that was killed, or is a static member, counts until its session time-out is over"
)
JOINED_MEANWHILE = "another member joined the group meanwhile"
LOOK_S = 0.1


class OperatorsWork:
    """The cluster as such work needs it: checked with the rights of the party, open while the context lasts.

    ``name`` is the member's and the transactional id's.
    """

    def __init__(self, settings: Settings, name: str, party: Party) -> None:
        # A member that is gone when it leaves: a static one would stay in the group, and be given partitions.
        dynamic = msgspec.structs.replace(settings.engine, static_membership=False)
        self._settings = msgspec.structs.replace(settings, engine=dynamic)
        self._cluster = KafkaCluster(self._settings, name)
        self._party = party

    async def __aenter__(self) -> Self:
        await check(self._settings, declared_topology(self._settings), self._party)
        try:
            await self._cluster.open()
        except BaseException:
            await self._cluster.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._cluster.close()

    async def members(self) -> list[str]:
        """Client id and host of every member of the group."""
        return await _member_names(self._cluster, self._settings)


async def _member_names(cluster: KafkaCluster, settings: Settings) -> list[str]:
    members = await group_members(cluster.store_connection, settings.engine.application_id, settings.topics.state)
    return [f"{member.client_id} at {member.host}" for member in members]


@asynccontextmanager
async def alone(cluster: KafkaCluster, settings: Settings) -> AsyncIterator[Token]:
    """A member with all partitions, gone when the context ends; raises `Refused` where there are others."""
    if members := await _member_names(cluster, settings):
        raise Refused(f"group {settings.engine.application_id} has members ({members[0]}): {STOP_FIRST}")
    listener = SoleMember()
    membership = await cluster.join(listener)
    try:
        engine = settings.engine
        token = await listener.joined(
            membership, (engine.session_timeout_ms + engine.rebalance_timeout_ms + engine.stuck_timeout_ms) / 1000
        )
        if token.partitions != frozenset(range(settings.topics.partitions)):
            raise Refused(f"{JOINED_MEANWHILE}: {STOP_FIRST}")
        yield token
    finally:
        await membership.leave()


class SoleMember:
    """The engine's `Listener` that hears of the one assignment and of its end."""

    def __init__(self) -> None:
        self.token: Token | None = None
        self._assigned = asyncio.Event()

    def assigned(self, token: Token) -> None:
        """Remember it."""
        self.token = token
        self._assigned.set()

    async def revoked(self) -> None:
        """Somebody joined, or we were too slow: the token is void."""
        self.token = None

    async def joined(self, membership: Membership, timeout_s: float) -> Token:
        """The token of the first assignment; raises `Refused` where none comes in time."""
        try:
            async with asyncio.timeout(timeout_s):
                while self.token is None:
                    with contextlib.suppress(Fenced):
                        membership.check()
                    await asyncio.wait([waiting := asyncio.create_task(self._assigned.wait())], timeout=LOOK_S)
                    waiting.cancel()
        except TimeoutError:
            raise Refused(f"the group gave no assignment within {timeout_s:g} s: {STOP_FIRST}") from None
        return self.token
