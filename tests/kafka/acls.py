"""Granting and taking back ACLs, awaited until the broker's authorizer knows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Literal

from aiokafka.client import AIOKafkaClient
from aiokafka.protocol.admin import CreateAclsRequest_v1, DeleteAclsRequest, DescribeAclsRequest
from aiokafka.protocol.api import Request

from tests.kafka.tools import run_tool
from topology import Acl
from topology.acls import Operation, ResourceType

Pattern = Literal["literal", "prefixed"]

# Codes of the protocol: https://kafka.apache.org/protocol.html
_RESOURCES: Mapping[ResourceType, int] = {"topic": 2, "group": 3, "transactional-id": 5}
_PATTERNS: Mapping[Pattern, int] = {"literal": 3, "prefixed": 4}
_OPERATIONS: Mapping[Operation, int] = {
    "Read": 3, "Write": 4, "Create": 5, "Describe": 8, "DescribeConfigs": 10, "AlterConfigs": 11,
}  # fmt: skip
_ALLOW = 3
_ANY = 1

_Fields = tuple[int, str, int, str, str, int, int]


class _CreateAcls(Request[CreateAclsRequest_v1]):
    """Any number of ACLs in one request; the client library's own has room for one."""

    API_KEY = CreateAclsRequest_v1.API_KEY

    def __init__(self, creations: Sequence[_Fields]) -> None:
        self._creations = creations

    def build(self, request_struct_class: type[CreateAclsRequest_v1]) -> CreateAclsRequest_v1:
        return request_struct_class(list(self._creations))


class AclAdmin:
    """Speaks with the broker at an address where everything is allowed."""

    def __init__(self, client: AIOKafkaClient) -> None:
        self._client = client

    async def grant(self, user: str, acls: Collection[Acl]) -> None:
        """Allow; returns when every node's authorizer knows all of them."""
        reply = await self._send(_CreateAcls([_fields(user, acl) for acl in acls]))
        for acl, (code, message) in zip(acls, reply.creation_responses, strict=True):
            assert code == 0, f"grant {acl}: {code} {message}"
        for acl in acls:
            await self._until(user, acl, granted=True)

    async def granted(self, user: str, resource: ResourceType, name: str, pattern: Pattern) -> set[Operation]:
        """What a user may do with a resource by ACLs for exactly that name and pattern."""
        kind, principal = _RESOURCES[resource], f"User:{user}"
        reply = await self._send(DescribeAclsRequest(kind, name, _PATTERNS[pattern], principal, "*", _ANY, _ALLOW))
        named = {code: operation for operation, code in _OPERATIONS.items()}
        return {named[code] for *_, found in reply.resources for _, _, code, _ in found}

    async def revoke(self, user: str, acls: Iterable[Acl]) -> None:
        """Take back; returns when the authorizer knows."""
        for acl in acls:
            reply = await self._send(DeleteAclsRequest(*_fields(user, acl)))
            [(code, message, matching)] = reply.filter_responses
            assert code == 0, f"revoke {acl}: {code} {message}"
            assert len(matching) == 1, f"revoke {acl}: {len(matching)} such ACLs"
            await self._until(user, acl, granted=False)

    @asynccontextmanager
    async def without(self, user: str, acl: Acl) -> AsyncIterator[None]:
        """As if this one had never been granted."""
        await self.revoke(user, [acl])
        try:
            yield
        finally:
            await self.grant(user, [acl])

    async def _until(self, user: str, acl: Acl, *, granted: bool) -> None:
        async with asyncio.timeout(10):
            for node in [broker.nodeId for broker in self._client.cluster.brokers()]:
                while bool((await self._send(DescribeAclsRequest(*_fields(user, acl)), node)).resources) is not granted:
                    pass  # the answer takes its time itself

    async def _send(self, request: Any, node: int | None = None) -> Any:
        return await self._client.send(self._client.get_random_node() if node is None else node, request)


@asynccontextmanager
async def acl_admin(bootstrap_servers: str) -> AsyncIterator[AclAdmin]:
    """For as long as the context lasts."""
    client = AIOKafkaClient(bootstrap_servers=bootstrap_servers)
    await client.bootstrap()
    try:
        yield AclAdmin(client)
    finally:
        await client.close()


def run_acl_command(words: Sequence[str], bootstrap_servers: str) -> None:
    """Run a printed ``kafka-acls.sh`` command line with Kafka's own tool, at another address than the printed one."""
    tool, option, _, *rest = words
    assert (tool, option) == ("kafka-acls.sh", "--bootstrap-server"), words
    if rest[0] == "--command-config":  # the administrator's login, which the witnesses' address does not ask for
        rest = rest[2:]
    run_tool("org.apache.kafka.tools.AclCommand", [option, bootstrap_servers, *rest])


def _fields(user: str, acl: Acl) -> _Fields:
    kind, pattern = _RESOURCES[acl.resource], _PATTERNS[acl.pattern]
    return kind, acl.name, pattern, f"User:{user}", "*", _OPERATIONS[acl.operation], _ALLOW
