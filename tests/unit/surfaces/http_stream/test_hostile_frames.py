"""Frames that no decent client sends: the right close code, a count, and not a line in the log."""

from __future__ import annotations

import asyncio
import logging
import struct
from contextlib import suppress

import pytest

from tests.unit.surfaces.http_stream.stage import BINARY, CLOSE, PING, PONG, TEXT, Raw, metric, staged

DEEP = b'{"type":' + b"[" * 20_000


@pytest.mark.parametrize(
    ("opcode", "payload", "first", "code"),
    [
        pytest.param(BINARY, b"\x00\x01", None, 1003, id="binary"),
        pytest.param(TEXT, b"x" * 40_000, None, 1009, id="too large"),
        pytest.param(TEXT, b"no json", None, 1007, id="no JSON"),
        pytest.param(TEXT, b"", None, 1007, id="empty"),
        pytest.param(TEXT, DEEP, None, 1007, id="too deep"),
        pytest.param(TEXT, b'{"type":"\xff\xfe"}', None, 1007, id="no UTF-8"),
        pytest.param(TEXT, b'{"type":"ping"}', 0xC1, 1002, id="compressed, which was not agreed"),
        pytest.param(TEXT, b"{}", 0x80, 1002, id="continues nothing"),
        pytest.param(0x5, b"", None, 1002, id="unknown opcode"),
        pytest.param(PING, b"x" * 126, None, 1002, id="control frame too large"),
        pytest.param(CLOSE, b"\x00", None, 1002, id="close code cut"),
        pytest.param(CLOSE, struct.pack("!H", 1005), None, 1002, id="close code that must not be sent"),
    ],
)
async def test_a_hostile_frame_is_closed_by_its_code(
    opcode: int, payload: bytes, first: int | None, code: int, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        async with staged() as stage:
            client = await stage.raw()
            await client.send(opcode, payload, first)
            assert await client.closed_with() == code
            await stage.until_subscribers(0)
            assert stage.stream.counts.hostile_closed == 1
    assert caplog.records == []


@pytest.mark.parametrize("opcode", [TEXT, PING, PONG])
async def test_too_many_messages_are_closed_with_1008(opcode: int, caplog: pytest.LogCaptureFixture) -> None:
    async with staged() as stage:
        client = await stage.raw()
        with suppress(ConnectionError):
            for _ in range(1_000):
                await client.send(opcode, b'{"type":"ping"}')
                await asyncio.sleep(0)
        assert await client.closed_with() in (1008, None)  # None: the reset came first, since we were still sending
        await stage.until_subscribers(0)
        assert stage.stream.counts.hostile_closed == 1
    assert caplog.records == []


async def test_just_too_many_messages_are_told_so() -> None:
    async with staged() as stage:
        client = await stage.raw()
        await client.send_bytes(41 * b"\x89\x80\x00\x00\x00\x00")
        assert await client.closed_with() == 1008


async def test_a_message_in_a_thousand_fragments_is_bounded_as_a_whole() -> None:
    async with staged() as stage:
        client = await stage.raw()
        with suppress(ConnectionError):
            await client.send(TEXT, b"x" * 100, first=TEXT)
            for _ in range(1_000):
                await client.send(0, b"x" * 100, first=0)
        assert await client.closed_with() in (1009, None)
        await stage.until_subscribers(0)
        assert stage.stream.counts.hostile_closed == 1


async def test_a_ping_is_answered_with_what_it_carried() -> None:
    async with staged() as stage:
        client = await stage.raw()
        await client.send(PING, b"are you there")
        assert await next_of(client, PONG) == b"are you there"


async def test_a_close_is_answered_with_its_code() -> None:
    async with staged() as stage:
        client = await stage.raw()
        await client.send(CLOSE, struct.pack("!H", 4001) + b"bye")
        assert await client.closed_with() == 4001


async def test_hostile_clients_harm_no_other() -> None:
    async with staged() as stage:
        decent = await stage.connect("?session=s1&raw=1")
        for payload in (b"no json", b"x" * 40_000):
            hostile = await stage.raw()
            await hostile.send(TEXT, payload)
        half = await stage.raw()
        await half.send_bytes(b"\x81\xfe\x7f")
        half.close()
        await stage.until_subscribers(1)
        await stage.tell(metric("s1"))
        assert (await decent.receive_str()).encode() == metric("s1")


async def next_of(client: Raw, wanted: int) -> bytes:
    """The payload of the next frame of this kind."""
    while True:
        opcode, payload = await client.frame()
        if opcode == wanted:
            return payload
