"""What others do to our topics: write, hold transactions open, remove."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.records_to_delete import RecordsToDelete
from aiokafka.errors import KafkaError
from aiokafka.structs import TopicPartition

TRANSACTION_TIMEOUT_MS = 60_000


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
