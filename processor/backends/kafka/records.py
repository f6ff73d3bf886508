"""Writing records outside any transaction."""

from __future__ import annotations

from aiokafka.protocol.produce import ProduceRequest

from processor.backends.kafka.buffer import BatchList
from processor.backends.kafka.connection import (
    LEADER_MOVED,
    TRY_HARMLESS_AGAIN,
    UNAUTHORIZED,
    Connection,
    NotSent,
    error_name,
    missing_acl,
    retries,
)
from processor.errors import InDoubt, Refused


async def produce_plain(connection: Connection, topic: str, partition: int, records: BatchList) -> int:
    """Append one batch with acks=all, again until it is acknowledged; returns the offset of its first record.

    An unanswered try may have been written, so this is for records that may stand twice.
    """
    [(builder, _)] = records.finish()
    data = bytes(builder.build())
    request = ProduceRequest(
        transactional_id=None,
        required_acks=-1,
        timeout=connection.kafka.request_timeout_ms,
        topics=[(topic, [(partition, data)])],
    )
    async for _ in retries():
        leader = connection.leader(topic, partition)
        if leader is None:
            await connection.refresh()
            continue
        try:
            reply = await connection.send(leader, request, coordination=True)
        except (NotSent, InDoubt):
            await connection.refresh()
            continue
        _, code, offset, *_ = reply.topics[0][1][0]
        if code == 0:
            return int(offset)
        if code in UNAUTHORIZED:
            raise missing_acl(connection.kafka, "Write", f"topic {topic}")
        if code not in LEADER_MOVED and code not in TRY_HARMLESS_AGAIN:
            raise Refused(f"write to {topic}-{partition}: {error_name(code)}")
        await connection.refresh()
    raise AssertionError("retries() does not end")
