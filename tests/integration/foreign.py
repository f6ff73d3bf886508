"""What others do to our topics: write, hold transactions open, remove."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.records_to_delete import RecordsToDelete
from aiokafka.client import AIOKafkaClient, CoordinationType
from aiokafka.errors import KafkaError
from aiokafka.protocol.admin import DeleteGroupsRequest
from aiokafka.structs import TopicPartition

TRANSACTION_TIMEOUT_MS = 60_000
NON_EMPTY_GROUP = 68


@asynccontextmanager
async def foreign_transactions(
    bootstrap_servers: str, *, timeout_ms: int = TRANSACTION_TIMEOUT_MS
) -> AsyncIterator[AIOKafkaProducer]:
    """A transactional producer of somebody else; what it leaves open ends with it."""
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap_servers,
        transactional_id=f"foreign-{secrets.token_hex(4)}",
        transaction_timeout_ms=timeout_ms,
    )
    await producer.start()
    try:
        yield producer
    finally:
        # Its transaction may have been aborted by the broker meanwhile.
        with contextlib.suppress(KafkaError):
            await producer.stop()


@asynccontextmanager
async def foreign_producer(bootstrap_servers: str, **settings: Any) -> AsyncIterator[AIOKafkaProducer]:
    """A plain producer of somebody else."""
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap_servers, **settings)
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


@asynccontextmanager
async def administrator(bootstrap_servers: str) -> AsyncIterator[AIOKafkaAdminClient]:
    """Whoever may do everything on the cluster."""
    client = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers)
    await client.start()
    try:
        yield client
    finally:
        await client.close()


async def delete_records(bootstrap_servers: str, topic: str, before: Mapping[int, int]) -> None:
    """Remove all records below the offset given per partition, as retention would."""
    async with administrator(bootstrap_servers) as client:
        await client.delete_records(
            {TopicPartition(topic, number): RecordsToDelete(offset) for number, offset in before.items()}
        )


async def delete_group(bootstrap_servers: str, group: str) -> None:
    """Delete a consumer group with its offsets, as soon as the broker counts no member any more."""
    client = AIOKafkaClient(bootstrap_servers=bootstrap_servers)
    await client.bootstrap()
    try:
        node = await client.coordinator_lookup(CoordinationType.GROUP, group)
        async with asyncio.timeout(30):
            while True:
                reply = await client.send(node, DeleteGroupsRequest([group]))
                [(_, code, *_)] = reply.results
                if code == 0:
                    return
                assert code == NON_EMPTY_GROUP, f"group {group}: error {code}"
                await client.force_metadata_update()  # takes its time, and the broker none of ours
    finally:
        await client.close()


async def until_empty(bootstrap_servers: str, group: str) -> None:
    """Wait until the broker counts no member of the group any more."""
    async with administrator(bootstrap_servers) as client:
        async with asyncio.timeout(30):
            while True:
                [reply] = await client.describe_consumer_groups([group])
                [(_, _, state, *_)] = reply.groups  # type: ignore[attr-defined]
                if state == "Empty":
                    return
