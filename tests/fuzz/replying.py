"""Replies of brokers, damaged: the client's connection ends over them, or the reader says by name what it was told."""

from __future__ import annotations

import asyncio
import io
import struct
from random import Random
from time import thread_time_ns
from typing import Any

from aiokafka.protocol.fetch import FetchResponse_v11

from processor.backends.kafka.protocol import (
    IncrementalAlterConfigsResponseV0,
    MetadataResponseV8,
    TxnOffsetCommitResponseV3,
)
from processor.backends.kafka.reader import Reader
from processor.config import KafkaConfig
from processor.errors import ProcessorError
from tests.fuzz.batches import input_batch
from tests.fuzz.damage import damaged
from tests.fuzz.grammar import Grammar
from tests.fuzz.inputs import placed
from tests.fuzz.outcome import MAX_CPU_NS
from tests.quiet import quiet

TOPIC = "tori.state"
_INPUT = input_batch(placed(Grammar(Random(9), (), large=False).inputs(3), 5))


def _text(text: str) -> bytes:
    return struct.pack(">h", len(text)) + text.encode()


# One right reply of each kind, as a broker would write it.
REPLIES: dict[str, tuple[Any, bytes]] = {
    "Fetch": (
        FetchResponse_v11,
        struct.pack(">ihii", 0, 0, 0, 1)
        + _text(TOPIC)
        + struct.pack(">iihqqqiqqii", 2, 0, 0, 8, 8, 0, 1, 7, 5, -1, len(_INPUT))
        + _INPUT
        + struct.pack(">ihqqqiii", 1, 0, 8, 8, 0, 0, -1, 0),
    ),
    "Metadata": (
        MetadataResponseV8,
        struct.pack(">iii", 0, 1, 1)
        + _text("localhost")
        + struct.pack(">ih", 9092, -1)
        + _text("cluster")
        + struct.pack(">iih", 1, 1, 0)
        + _text(TOPIC)
        + struct.pack(">bihiiiiiiiiii", 0, 1, 0, 0, 1, 3, 1, 1, 1, 1, 0, 3, -(2**31)),
    ),
    "TxnOffsetCommit": (
        TxnOffsetCommitResponseV3,
        struct.pack(">i", 0) + b"\x02\x0btori.state\x03" + struct.pack(">ihbihbbb", 0, 0, 0, 1, 22, 0, 0, 0),
    ),
    "IncrementalAlterConfigs": (
        IncrementalAlterConfigsResponseV0,
        struct.pack(">iihhb", 0, 1, 0, -1, 2) + _text(TOPIC),
    ),
}


class OneReply:
    """A connection with one answer; afterwards it is silent."""

    kafka = KafkaConfig()

    def __init__(self) -> None:
        self.reply: Any = None

    def leader(self, topic: str, partition: int) -> int | None:
        return None

    async def refresh(self) -> None:
        return

    async def send(self, node: int, request: Any, *, coordination: bool = False) -> Any:
        return self.reply


def fuzz_replies(dice: Random, count: int) -> list[str]:
    """`count` damaged replies of all kinds."""
    with quiet():
        return asyncio.run(_fuzz(dice, count))


async def _fuzz(dice: Random, count: int) -> list[str]:
    findings = []
    names = list(REPLIES)
    for _ in range(count):
        name = "Fetch" if dice.random() < 0.5 else dice.choice(names)
        kind, data = REPLIES[name]
        broken = damaged(dice, data, REPLIES[dice.choice(names)][1])
        complaint = await _complaint(kind, broken)
        if complaint is not None:
            findings.append(f"{name} reply {broken.hex()}: {complaint}")
    return findings


async def _complaint(kind: Any, data: bytes) -> str | None:
    began = thread_time_ns()
    try:
        reply = kind.decode(io.BytesIO(data))
    except Exception:
        # The client ends the connection over it, and whoever waits hears of a broken connection.
        reply = None
    if thread_time_ns() - began > MAX_CPU_NS:
        return f"{(thread_time_ns() - began) // 1_000_000} ms of CPU time to decode"
    if reply is None or kind is not FetchResponse_v11:
        return None
    connection: Any = OneReply()
    connection.reply = reply
    lost: list[str] = []
    reader = Reader(connection, TOPIC, lambda: None, lambda _, why: lost.append(why))
    try:
        reader.seek(0, 5)
        reader.seek(1, 0)
        fetch = asyncio.ensure_future(reader._fetch(1, [0, 1]))
        await asyncio.sleep(0)  # up to its end, or to a pause after the reply
        fetch.cancel()
        await asyncio.gather(fetch, return_exceptions=True)
        if reader.failure is not None and not isinstance(reader.failure, ProcessorError):
            return f"the reader failed with {reader.failure!r}"
        if reader.failure is not None and "\n" in str(reader.failure):
            return f"a message of more than one line: {reader.failure}"
    finally:
        await reader.close()
    return None
