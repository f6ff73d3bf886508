"""Input for fault scenarios: seeded events of every kind, and a producer that remembers what was acknowledged."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import random
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from aiokafka import AIOKafkaProducer

from topology import partition_of_key

TICK_S = 0.01
REQUEST_TIMEOUT_MS = 60_000

Event = tuple[bytes, bytes]


def events(seed: int, sessions: int) -> Iterator[Event]:
    """Endless (key, value): states that wander through every mode, repeats, refused and undecodable ones.

    A few per cent are no use on purpose, so that dead letters and duplicates take part in every comparison.
    """
    dice = random.Random(seed)
    names = [f"session-{number:05d}" for number in range(sessions)]
    sequences = [0] * sessions
    levels = [[dice.random() for _ in range(3)] for _ in names]
    while True:
        who = dice.randrange(sessions)
        chance = dice.random()
        if chance < 0.01:
            yield names[who].encode(), b'{"session_id": ' + str(dice.random()).encode()
            continue
        sequence = sequences[who]
        if chance < 0.03 and sequence:
            sequence -= dice.randrange(1, sequence + 1)
        else:
            sequences[who] += 1
        levels[who] = [min(1.0, max(0.0, level + 0.3 * dice.random() - 0.15)) for level in levels[who]]
        novelty, aesthetic, volatility = levels[who]
        state: dict[str, Any] = {"novelty": novelty, "aesthetic_score": aesthetic, "volatility": volatility}
        if chance > 0.995:
            state["lambda_max"] = 0.2
        elif chance > 0.985:
            state["volatility"] = "high"
        value = msgspec.json.encode({"session_id": names[who], "sequence": sequence, "state": state})
        yield names[who].encode(), value


class Load:
    """Writes events to the input topic, as many a second as asked for, and knows which the broker acknowledged."""

    def __init__(self, producer: AIOKafkaProducer, topic: str, partitions: int, source: Iterator[Event]) -> None:
        self._producer = producer
        self._topic = topic
        self._source = source
        self._partition_of = functools.cache(lambda key: partition_of_key(key, partitions))
        self._waiting: set[asyncio.Future[Any]] = set()
        self._pace: asyncio.Task[None] | None = None
        self._failure: BaseException | None = None
        self.acknowledged: dict[int, list[tuple[int, bytes | None, bytes | None]]] = {}

    async def send(self, count: int) -> None:
        """Write so many events now, as fast as the broker takes them, and wait until all are acknowledged."""
        full: dict[int, tuple[Any, list[Event]]] = {}
        for _ in range(count):
            key, value = next(self._source)
            partition = self._partition_of(key)
            batch, held = full.get(partition) or (None, [])
            if batch is None or batch.append(key=key, value=value, timestamp=None) is None:
                if batch is not None:
                    await self._send_batch(partition, batch, held)
                batch, held = full[partition] = self._producer.create_batch(), []
                batch.append(key=key, value=value, timestamp=None)
            held.append((key, value))
        for partition, (batch, held) in full.items():
            await self._send_batch(partition, batch, held)
        await self._flush()

    def begin(self, rate: float) -> None:
        """Write ``rate`` events a second until `finish`."""
        assert self._pace is None
        self._pace = asyncio.create_task(self._run(rate))

    async def finish(self) -> None:
        """Stop writing and wait until everything is acknowledged."""
        await self.pause()
        await self._flush()

    async def pause(self) -> None:
        """Stop writing; `begin` may follow."""
        if self._pace is not None:
            self._pace.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._pace
            self._pace = None

    async def send_raw(self, partition: int, key: bytes | None, value: bytes | None, headers: Any = ()) -> int:
        """Write one record to a partition; returns its offset."""
        future = await self._producer.send(self._topic, value, key, partition, headers=list(headers))
        metadata = await future
        self.acknowledged.setdefault(partition, []).append((metadata.offset, key, value))
        return int(metadata.offset)

    @property
    def count(self) -> int:
        """Acknowledged events so far."""
        return sum(len(records) for records in self.acknowledged.values())

    def ends(self) -> dict[int, int]:
        """Per partition the offset behind the last acknowledged event."""
        return {partition: max(records)[0] + 1 for partition, records in self.acknowledged.items()}

    async def _run(self, rate: float) -> None:
        loop = asyncio.get_running_loop()
        began, sent = loop.time(), 0
        while True:
            due = int((loop.time() - began) * rate) - sent
            await self._write(due)
            sent += due
            await asyncio.sleep(TICK_S)

    async def _write(self, count: int) -> None:
        for _ in range(count):
            key, value = next(self._source)
            partition = self._partition_of(key)
            future = await self._producer.send(self._topic, value, key, partition)
            self._expect(future, partition, [(key, value)])

    async def _send_batch(self, partition: int, batch: Any, held: list[Event]) -> None:
        future = await self._producer.send_batch(batch, self._topic, partition=partition)
        self._expect(future, partition, held)

    async def _flush(self) -> None:
        if self._waiting:
            await asyncio.wait(self._waiting)
        if self._failure is not None:
            raise AssertionError(f"the load was not acknowledged: {self._failure!r}")

    def _expect(self, future: asyncio.Future[Any], partition: int, held: list[Event]) -> None:
        """Remember the events once the broker has said at which offset the first of them stands."""

        def answered(future: asyncio.Future[Any]) -> None:
            self._waiting.discard(future)
            error = None if future.cancelled() else future.exception()
            if error is not None:
                self._failure = error
            elif not future.cancelled():
                first = future.result().offset
                known = self.acknowledged.setdefault(partition, [])
                known += [(first + index, key, value) for index, (key, value) in enumerate(held)]

        self._waiting.add(future)
        future.add_done_callback(answered)


@asynccontextmanager
async def load(
    access: str | Mapping[str, Any], topic: str, partitions: int, source: Iterator[Event]
) -> AsyncIterator[Load]:
    """An idempotent producer that outlives a restart of the broker.

    ``access`` is the brokers' address, or all that the client library is to be told about the way in.
    """
    producer = AIOKafkaProducer(
        **({"bootstrap_servers": access} if isinstance(access, str) else access),
        enable_idempotence=True,
        acks="all",
        linger_ms=5,
        max_batch_size=256 * 1024,
        max_request_size=16 * 1024 * 1024,
        request_timeout_ms=REQUEST_TIMEOUT_MS,
    )
    await producer.start()
    made = Load(producer, topic, partitions, source)
    try:
        yield made
    finally:
        await made.pause()
        await producer.stop()
