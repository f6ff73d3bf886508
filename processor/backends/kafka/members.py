"""Who is in the consumer group, and who has which partition, as the group's coordinator tells it; and who is not."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import NamedTuple

from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment, ConsumerProtocolMemberMetadata
from aiokafka.protocol.admin import DescribeGroupsRequest

from processor.backends.kafka.admin import connected
from processor.backends.kafka.connection import (
    COORDINATOR_MOVED,
    TRY_AGAIN,
    UNAUTHORIZED,
    Connection,
    NotSent,
    error_name,
    missing_acl,
    retries,
)
from processor.backends.kafka.group import Told, owned_by
from processor.backends.kafka.protocol import StaticLeave
from processor.config import Settings
from processor.errors import InDoubt, Refused

UNKNOWN_MEMBER = 25
MEMBERLESS = frozenset({"Empty", "Dead"})


class Member(NamedTuple):
    """One member: client id, host, the partitions of the input that it has, and what it told of itself."""

    client_id: str
    host: str
    partitions: frozenset[int]
    instance: str | None
    url: str | None


async def group_members(connection: Connection, group: str, topic: str) -> list[Member]:
    """Asks until the coordinator answers; raises `Refused` where it will not."""
    async for _ in retries():
        try:
            node = await connection.coordinator("group", group)
            reply = await connection.send(node, DescribeGroupsRequest([group]), coordination=True)
        except (NotSent, InDoubt):
            await connection.refresh()
            continue
        [(code, _, state, _, _, members, *_)] = reply.groups
        if code == 0:
            return [] if state in MEMBERLESS else [_member(topic, *member) for member in members]
        if code in UNAUTHORIZED:
            raise missing_acl(connection.kafka, "Read", f"group {group}")
        if code not in COORDINATOR_MOVED and code not in TRY_AGAIN:
            raise Refused(f"group {group}: {error_name(code)}")
    raise AssertionError("retries() does not end")


def _member(topic: str, _id: str, client_id: str, host: str, metadata: bytes, assignment: bytes) -> Member:
    partitions: frozenset[int] = frozenset()
    if assignment:
        assigned = ConsumerProtocolMemberAssignment.decode(io.BytesIO(assignment)).assignment
        partitions = frozenset(p for name, numbers in assigned if name == topic for p in numbers)
    told = owned_by(ConsumerProtocolMemberMetadata.decode(io.BytesIO(metadata))) if metadata else Told()
    return Member(client_id, host, partitions, told.instance, told.url)


async def present(settings: Settings) -> list[Member]:
    """Whoever is in the group, over a connection of its own; raises `Unreachable` and `Refused`."""
    async with connected(settings, "owners") as connection:
        return await group_members(connection, settings.engine.application_id, settings.topics.state)


async def take_out(settings: Settings, instances: Sequence[str]) -> dict[str, bool]:
    """Let static members leave the group for good (KIP-345); false for whoever is no static member of it.

    Their partitions go to the others at once, not after the session time-out.  One that runs joins again, and what it
    had in flight is refused with its old member id.  Raises `Unreachable` and `Refused`.
    """
    group = settings.engine.application_id
    async with connected(settings, "leave") as connection:
        async for _ in retries():
            try:
                node = await connection.coordinator("group", group)
                leave = StaticLeave(group, [("", instance) for instance in instances])
                reply = await connection.send(node, leave, coordination=True)
            except (NotSent, InDoubt):
                # Repeated, the first one may have done it: then they are not there, which is what was wanted.
                await connection.refresh()
                continue
            codes = {instance: code for _, instance, code in reply.members}
            failed = ({reply.error_code} | set(codes.values())) - {0, UNKNOWN_MEMBER}
            if not failed:
                return {instance: codes.get(instance) == 0 for instance in instances}
            if failed & UNAUTHORIZED:
                raise missing_acl(connection.kafka, "Read", f"group {group}")
            if not failed <= COORDINATOR_MOVED | TRY_AGAIN:
                raise Refused(f"group {group}: {', '.join(map(error_name, sorted(failed)))}")
    raise AssertionError("retries() does not end")
