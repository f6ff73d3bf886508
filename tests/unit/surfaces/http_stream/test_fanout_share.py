"""What pushing may cost."""

from __future__ import annotations

import asyncio
import time
from itertools import pairwise

import pytest

from processor.surfaces.cli.event_loop import cancelled
from processor.surfaces.http.stream_fanout import PATIENT_SHARES, ROUND_S, SHARE, Fanout
from processor.surfaces.http.stream_patience import Patience
from processor.surfaces.http.stream_subscriber import Subscriber
from processor.surfaces.http.subscription import Subscription
from processor.surfaces.stream_counts import StreamCounts
from tests.unit.surfaces.http_stream.stage import metric, staged

COST_S = 0.005


class NoSocket(asyncio.WriteTransport):
    """Takes everything."""

    def write(self, data: object) -> None: ...

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return False


async def test_a_costly_round_puts_the_next_one_off(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = StreamCounts()
    fanout = Fanout(lambda: b"{}", counts, Patience(counts))
    rounds: list[tuple[float, float]] = []
    third = asyncio.Event()

    async def costly() -> None:
        rounds.append((time.monotonic(), time.process_time()))
        until = time.thread_time() + COST_S
        while time.thread_time() < until:
            pass
        if len(rounds) == 3:
            third.set()

    monkeypatch.setattr(fanout, "round", costly)
    running = asyncio.create_task(fanout.run())
    await third.wait()
    await cancelled(running)
    for (wall, cpu), (next_wall, next_cpu) in pairwise(rounds):
        assert next_wall - wall >= PATIENT_SHARES * COST_S / SHARE or next_cpu - cpu >= COST_S / SHARE
    assert counts.round_s > ROUND_S


async def test_equal_subscriptions_are_encoded_once() -> None:
    async with staged() as stage:
        queries = ("?session=s1&session=s2", "?session=s2&session=s1", "?batch=1", "?batch=true&raw=0")
        clients = [await stage.connect(query) for query in queries]
        assert stage.stream.fanout.feeds == 2
        await stage.tell(metric("s1"))
        received = [await client.receive_str() for client in clients]
        assert received[0] == received[1]
        assert received[2] == received[3]


async def test_nobody_there_costs_nothing() -> None:
    async with staged() as stage:
        await stage.tell(*(metric(f"s{i}") for i in range(100)))
        client = await stage.connect("?batch=1")
        await stage.tell(metric("later"))
        assert "later" in (update := await client.receive_str())
        assert update.count("session_id") == 1


async def test_a_round_that_fails_is_not_the_last_one() -> None:
    said = asyncio.Event()
    rounds = 0

    def overview() -> bytes:
        nonlocal rounds
        rounds += 1
        if rounds == 1:
            raise ValueError("a defect")
        said.set()
        return b"{}"

    counts = StreamCounts()
    fanout = Fanout(overview, counts, Patience(counts))
    fanout.subscribe(Subscriber(NoSocket(), counts, raw=False), Subscription(overview=True))
    running = asyncio.create_task(fanout.run())
    async with asyncio.timeout(10):
        await said.wait()
    await cancelled(running)
