"""Clients that do not read cost a bounded amount, for a bounded time, and nobody else anything."""

from __future__ import annotations

import msgspec
import pytest
from aiohttp import ClientWebSocketResponse

from processor.surfaces.cli.event_loop import run_async
from processor.surfaces.http.stream_patience import PARTING_S, PATIENCE_S, PING_S, SWEEP_S
from processor.surfaces.http.stream_subscriber import QUEUE_BYTES
from tests.unit.surfaces.http_stream.stage import BINARY, PING, PONG, Raw, Stage, frame_of, metric, staged

LARGE = "x" * 250
SWEEPS = int(10 / SWEEP_S) - 1  # a sweep comes every SWEEP_S: so many pass within 10 s


async def until_asked(client: Raw) -> None:
    """Read up to the server's next ping."""
    while (await client.frame())[0] != PING:
        pass


def pass_seconds(stage: Stage, seconds: float) -> None:
    """The stream's time goes on, ours does not."""
    for _ in range(int(seconds / SWEEP_S)):
        stage.stream.patience.sweep(SWEEP_S)


async def test_who_never_reads_is_closed_within_10_s() -> None:
    async with staged() as stage:
        decent, silent = await stage.connect(), await stage.raw()
        pass_seconds(stage, SWEEPS * SWEEP_S)
        await stage.until_subscribers(1)
        assert stage.stream.counts.slow_closed == 1
        assert await silent.closed_with() == 1013
        await stage.tell(metric("s1"))
        await frame_of(decent, "creativity_update")


async def test_who_answers_is_asked_again_later_and_closed_when_it_no_longer_does() -> None:
    async with staged() as stage:
        client = await stage.raw()
        await until_asked(client)
        await client.send(PONG, b"")
        await stage.until_heard(1)
        pass_seconds(stage, PING_S - 2 * SWEEP_S)
        assert stage.stream.counts.subscribers == 1
        pass_seconds(stage, 3 * SWEEP_S)
        await until_asked(client)
        pass_seconds(stage, PATIENCE_S + SWEEP_S)
        await stage.until_subscribers(0)
        assert stage.stream.counts.slow_closed == 1


async def test_a_full_socket_gets_no_more_and_is_closed_within_10_s() -> None:
    async with staged() as stage:
        client = await stage.raw("?session=s1&batch=1", receive_bytes=4096)
        await until_asked(client)
        await client.send(PONG, b"")
        await stage.until_heard(1)
        subscriber = stage.only_subscriber()
        queued = 0
        for _ in range(40):  # 40 times 250 metrics of some 400 bytes
            await stage.tell(*(metric("s1", i, timestamp=LARGE) for i in range(250)))
            queued = max(queued, subscriber.queued_bytes)
        assert 0 < queued <= QUEUE_BYTES + 250 * 500
        assert stage.stream.counts.left_out > 20 * 250
        assert stage.stream.patience.lagging == 1
        pass_seconds(stage, SWEEPS * SWEEP_S)
        await stage.until_subscribers(0)
        assert stage.stream.counts.slow_closed == 1
        assert stage.stream.patience.lagging == 0


async def test_who_reads_slowly_is_told_how_much_was_left_out_and_stays() -> None:
    async with staged() as stage:
        client = await stage.raw("?session=s1&batch=1", receive_bytes=4096)
        await until_asked(client)
        await client.send(PONG, b"")
        await stage.until_heard(1)
        for _ in range(10):
            await stage.tell(*(metric("s1", i, timestamp=LARGE) for i in range(250)))
        pass_seconds(stage, PATIENCE_S - 1)
        got = left_out = 0
        while got + left_out < 2_500:
            if not stage.only_subscriber().queued_bytes and got:
                await stage.tell(metric("s1", 250))
            _, payload = await client.frame()
            update = msgspec.json.decode(payload)
            got += len([line for line in update["updates"] if line["stream_sequence"] < 250])
            left_out += update["left_out"]
        assert got + left_out == 2_500
        assert left_out == stage.stream.counts.left_out
        pass_seconds(stage, 3)
        assert stage.stream.counts.slow_closed == 0
        assert stage.stream.patience.lagging == 0


def test_of_some_hundred_the_silent_ones_go_and_the_others_miss_nothing() -> None:
    """On the event loop of the commands, whose transports are not asyncio's."""

    async def scenario() -> None:
        async with staged() as stage:
            silent = [await stage.raw("?batch=1") for _ in range(20)]
            decent: list[ClientWebSocketResponse] = [await stage.connect("?session=s1&raw=1") for _ in range(200)]
            for sequence in range(5):
                await stage.tell(metric("s1", sequence))
                for client in decent:
                    assert (await client.receive_str()).encode() == metric("s1", sequence)
            pass_seconds(stage, SWEEPS * SWEEP_S)
            await stage.until_subscribers(200)
            assert stage.stream.counts.slow_closed == 20
            assert [await client.closed_with() for client in silent] == [1013] * 20
            assert stage.stream.counts.frames >= 200 * 5

    run_async(scenario())


async def test_time_that_the_event_loop_lost_is_no_clients_fault() -> None:
    async with staged() as stage:
        await stage.raw()
        stage.stream.patience.sweep(60.0)
        assert stage.stream.counts.slow_closed == 0


@pytest.mark.parametrize("size", [QUEUE_BYTES + 1, 1])
async def test_one_that_is_larger_than_the_queue_still_comes(size: int) -> None:
    async with staged() as stage:
        client = await stage.connect("?session=s1&raw=1")
        await stage.tell(metric("s1", timestamp="x" * size))
        assert len(await client.receive_str()) > size


async def test_who_is_hostile_and_does_not_read_either_is_given_up() -> None:
    async with staged() as stage:
        client = await stage.raw("?session=s1&batch=1", receive_bytes=4096)
        subscriber = stage.only_subscriber()
        while not subscriber.queued_bytes:
            await stage.tell(*(metric("s1", i, timestamp=LARGE) for i in range(250)))
        await client.send(BINARY, b"")
        await stage.until_subscribers(0)
        assert subscriber.queued_bytes > 0  # the close frame cannot be sent
        pass_seconds(stage, 2 * PARTING_S)
        assert subscriber.queued_bytes == 0
