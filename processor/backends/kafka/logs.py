"""Single partitions of the five topics, read committed between two offsets, outside any group."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Sequence
from typing import Any, Self

from aiokafka.protocol.offset import OffsetRequest

from processor.backends.kafka.connection import Connection, NotSent, error_name, retries
from processor.backends.kafka.reader import EARLIEST, LATEST, READ_COMMITTED, Reader, list_offset
from processor.config import Settings
from processor.errors import InDoubt, Refused

MOST_RECORDS = 2_000  # handed over at once
STILL_S = 5.0
# What a transaction's end may take beyond its own time-out: the broker looks for overdue ones every 10 s by default.
ABORT_GRACE_S = 30.0


def patience_s(settings: Settings) -> float:
    """For how long the application's own transactions can hold a log back."""
    return settings.engine.transaction_timeout_ms / 1000 + ABORT_GRACE_S


class CommittedLogs:
    """One connection per topic: a broker answers the requests of a connection one after the other, and a fetch
    from a quiet topic waits there."""

    def __init__(self, settings: Settings) -> None:
        topics = settings.topics
        names = (topics.state, topics.actions, topics.metrics, topics.dead_letters, topics.changelog)
        self._connections = {name: Connection(settings.kafka, "creative-feedback-logs") for name in names}
        self._patience_s = patience_s(settings)

    async def __aenter__(self) -> Self:
        try:
            for topic, connection in self._connections.items():
                await connection.open(frozenset({topic}))
                connection.require("Read", [topic])
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._close()

    async def _close(self) -> None:
        for connection in self._connections.values():
            await connection.close()

    async def bounds(self, topic: str, partition: int) -> tuple[int, int, int]:
        """The earliest offset, the last stable offset and the high watermark, asked of the partition's leader."""
        connection = self._connections[topic]
        first = await list_offset(connection, topic, partition, EARLIEST)
        stable_end = await stable_end_offset(connection, topic, partition)
        return first, stable_end, await list_offset(connection, topic, partition, LATEST)

    def records(self, topic: str, partition: int, start: int, end: int) -> AsyncGenerator[Sequence[Any], None]:
        """See `processor.surfaces.ports.Logs`; raises as `committed_records` does."""
        return committed_records(self._connections[topic], topic, partition, start, end, self._patience_s)


async def committed_records(
    connection: Connection, topic: str, partition: int, start: int, end: int, patience_s: float
) -> AsyncGenerator[Sequence[Any], None]:
    """Batches of the records in [start, end), read committed.

    Raises `Refused` where the log moves away underneath, or where nothing moves for longer than ``patience_s``: than a
    transaction of the processor can last.
    """
    if start >= end:
        return
    loop = asyncio.get_running_loop()
    arrived = asyncio.Event()
    lost: list[str] = []
    reader = Reader(connection, topic, arrived.set, lambda _, why: lost.append(why))
    moved_at = loop.time()
    try:
        reader.seek(partition, start)
        while True:
            arrived.clear()
            taken = reader.take(MOST_RECORDS)
            for _, records, behind in taken:
                yield [record for record in records if record.offset < end]
                if behind >= end:
                    return
                moved_at = loop.time()
            if taken:
                await asyncio.sleep(0)
                continue
            if lost:
                raise Refused(f"{lost[0].partition(';')[0]} while it was being read; begin again")
            if loop.time() - moved_at > patience_s:
                raise Refused(
                    f"{topic}-{partition} cannot be read beyond offset {reader.position(partition)}: a transaction "
                    "stays open there, or the partition has no leader; look with kafka-transactions.sh find-hanging"
                )
            try:
                async with asyncio.timeout(STILL_S):
                    await arrived.wait()
            except TimeoutError:
                await connection.refresh()
    finally:
        await reader.close()


async def stable_end_offset(connection: Connection, topic: str, partition: int) -> int:
    """The last stable offset: never in the middle of a transaction."""
    code = 0
    async for _ in retries(connection.timeout_s):
        leader = connection.leader(topic, partition)
        if leader is not None:
            with contextlib.suppress(NotSent, InDoubt):
                request = OffsetRequest(-1, READ_COMMITTED, [(topic, [(partition, LATEST)])])
                reply = await connection.send(leader, request, coordination=True)
                _, code, *values = reply.topics[0][1][0]
                if code == 0:
                    return int(values[-1])
        await connection.refresh()
    raise Refused(
        f"{topic}-{partition}: no leader tells its last stable offset ({error_name(code)}); check the brokers"
    )
