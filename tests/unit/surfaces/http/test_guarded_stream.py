"""The stream behind the guard: who may subscribe, and what holds for a connection that has become a WebSocket."""

from __future__ import annotations

import asyncio
import base64
import time
from pathlib import Path

import pytest

from processor.surfaces.http.stream import PATHS
from tests.unit.surfaces.http.rig import BUSY_MACHINE_S, Client, request, until, window
from tests.unit.surfaces.http.test_guard import assert_protected

SECRET = "correct horse battery staple"
BEARER = "bearer." + base64.urlsafe_b64encode(SECRET.encode()).decode().rstrip("=")
PING = b"\x89\x80\x00\x00\x00\x00"
PONG = b"\x8a\x00"


def upgrade(path: str = "/ws", **headers: str) -> bytes:
    """A WebSocket's handshake."""
    return request(
        path,
        Connection="Upgrade",
        Upgrade="websocket",
        Sec_WebSocket_Key="dGhlIHNhbXBsZSBub25jZQ==",
        Sec_WebSocket_Version="13",
        **headers,
    )


@pytest.mark.parametrize("path", PATHS)
async def test_a_subscriber_is_under_no_deadline_and_takes_no_ones_place(folder: Path, path: str) -> None:
    async with window(folder=folder, max_subscribers=9, max_connections=1, request_timeout_ms=200) as seen:
        async with seen.client() as client:
            await client.send(upgrade(path))
            answer = await client.answer()
            assert answer.status == 101
            assert_protected(answer)
            await until(lambda: seen.served.door.connections == 0)
            assert (await seen.get("/api/overview")).status == 200
            await asyncio.sleep(0.4)
            await client.send(PING)
            async with asyncio.timeout(5):
                await client.reader.readuntil(PONG)  # the stream may have said something before


async def test_a_subscriber_needs_the_token_and_a_browser_can_send_it(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(SECRET)
    async with window(folder=folder, max_subscribers=9, token_file=str(tmp_path / "token")) as seen:
        for refused in (
            upgrade(),
            upgrade(Sec_WebSocket_Protocol="creative-feedback"),
            upgrade(Sec_WebSocket_Protocol="creative-feedback, bearer.x"),
            upgrade(Authorization=f"Bearer {SECRET}x"),
            upgrade(f"/ws?token={BEARER}"),
        ):
            answer = await seen.raw(refused)
            assert (answer.status, answer.code) == (401, "unauthorized")
        browser = await seen.raw(upgrade(Sec_WebSocket_Protocol=f"creative-feedback, {BEARER}"))
        assert (browser.status, browser.headers["sec-websocket-protocol"]) == (101, "creative-feedback")
        assert (await seen.raw(upgrade(Authorization=f"Bearer {SECRET}"))).status == 101


async def test_pages_of_other_sites_cannot_subscribe(folder: Path) -> None:
    async with window(folder=folder, max_subscribers=9, allowed_origins=["https://good.example"]) as seen:
        for headers, code in (
            ({"Origin": "https://evil.example"}, "origin"),
            ({"Origin": "null"}, "origin"),
            ({"Host": "evil.example", "Origin": "http://evil.example"}, "host"),
        ):
            answer = await seen.raw(upgrade(**headers))
            assert (answer.status, answer.code) == (403, code)
        for origin in ("http://localhost", "https://good.example"):
            assert (await seen.raw(upgrade(Origin=origin))).status == 101


async def test_in_a_flood_of_connections_nobody_subscribes_from_the_reserve(folder: Path) -> None:
    async with window(folder=folder, max_subscribers=9, max_connections=1) as seen, seen.client():
        await until(lambda: seen.served.door.connections == 1)
        answer = await seen.raw(upgrade())
        assert (answer.status, answer.code) == (503, "busy")


async def test_who_asks_to_upgrade_where_nothing_streams_stays_under_the_deadline(folder: Path) -> None:
    async with window(folder=folder, request_timeout_ms=200) as seen, seen.client() as client:
        await client.send(upgrade("/api/overview"))
        assert (await client.answer()).status == 200
        await client.send(b"GET / HTTP/1.1\r\nHost")
        answer = await client.answer()
        assert (answer.status, answer.code) == (408, "timeout")


async def test_subscribers_are_told_of_the_end_within_two_seconds(folder: Path) -> None:
    async with window(folder=folder, max_subscribers=99) as seen:
        clients = [Client(*await asyncio.open_connection("127.0.0.1", seen.port)) for _ in range(50)]
        for client in clients:
            await client.send(upgrade())
            assert (await client.answer()).status == 101
        began = time.monotonic()
    assert time.monotonic() - began < 2 + BUSY_MACHINE_S
    for client in clients:
        last = await client.ended(5)
        assert b"\x03\xe9" in last, "the close code 1001"
        await client.close()


async def test_the_metrics_count_subscribers(folder: Path) -> None:
    async with window(folder=folder, max_subscribers=9, render=None) as seen, seen.client() as client:
        await client.send(upgrade())
        assert (await client.answer()).status == 101
        text = (await seen.get("/metrics")).body.decode()
        assert [line.split(" ")[1] for line in text.splitlines() if "subscribers" in line and line[0] != "#"] == ["1.0"]
