"""Where it listens, and how it ends."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from processor.config import HttpConfig
from processor.errors import Refused
from processor.surfaces.http import listening
from processor.surfaces.watch.beat import SessionAnswer
from tests.unit.surfaces.http.rig import BUSY_MACHINE_S, Client, KnownSessions, request, until, window


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that another program listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


async def test_a_port_that_was_asked_for_and_is_taken_is_refused_with_the_remedy(folder: Path, taken: int) -> None:
    with pytest.raises(
        Refused, match=rf"^http\.port = {taken}: another program listens there .*set another"
    ) as refused:
        async with window(folder=folder, port=taken):
            pass
    assert "\n" not in str(refused.value)


async def test_without_a_port_the_usual_one_is_taken_where_it_is_free(
    folder: Path, taken: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        free = probe.getsockname()[1]
    monkeypatch.setattr(listening, "DEFAULT_PORT", free)
    async with window(folder=folder, port=None) as seen:
        assert seen.port == free
    monkeypatch.setattr(listening, "DEFAULT_PORT", taken)
    with capture_logs() as events:
        async with window(folder=folder, port=None) as seen:
            assert seen.port not in (taken, 0)
            assert (await seen.get("/health/live")).status == 200
            assert seen.served.url == f"http://127.0.0.1:{seen.port}"
    told = {event["event"]: event for event in events}
    assert told["http_default_port_taken"]["port"] == taken
    assert told["http_listening"]["url"] == seen.served.url


@pytest.mark.parametrize("host", ["203.0.113.7", "no.such.host.invalid", "::ffff:203.0.113.7"])
async def test_a_host_that_is_not_this_machine_is_refused_with_the_remedy(folder: Path, host: str) -> None:
    with pytest.raises(Refused, match=rf"^http\.host = '{host}'.*; (set|name) "):
        async with window(folder=folder, host=host):
            pass


async def test_localhost_listens_on_every_loopback_address_with_one_port(folder: Path) -> None:
    async with window(folder=folder, host="localhost") as seen:
        assert {port for _, port in seen.served.addresses} == {seen.port}
        assert seen.served.addresses[0][0] == "127.0.0.1"
        assert (await seen.get("/health/live")).status == 200


def test_a_port_is_taken_before_the_first_connection_is_accepted() -> None:
    """Of two that start at the same moment one is refused at once, and not when it is too late to say so."""
    sockets = listening.listening_sockets(HttpConfig(port=0))
    try:
        with pytest.raises(Refused, match="another program listens there"):
            listening.listening_sockets(HttpConfig(port=sockets[0].getsockname()[1]))
    finally:
        for bound in sockets:
            bound.close()


@pytest.mark.parametrize(
    ("http", "expected"),
    [
        (HttpConfig(host="0.0.0.0", port=0), "http://127.0.0.1:{port}"),
        (HttpConfig(host="127.0.0.1", port=0), "http://127.0.0.1:{port}"),
        (HttpConfig(port=0, advertised_url="https://ops.example"), "https://ops.example"),
    ],
)
def test_the_address_that_is_told_can_be_opened(http: HttpConfig, expected: str) -> None:
    sockets = listening.listening_sockets(http)
    try:
        assert listening.told_url(http, sockets) == expected.format(port=sockets[0].getsockname()[1])
    finally:
        for bound in sockets:
            bound.close()


@pytest.mark.parametrize(
    ("host", "token", "warned"), [("0.0.0.0", False, 1), ("0.0.0.0", True, 0), ("127.0.0.1", False, 0)]
)
async def test_an_address_open_to_all_is_warned_of_by_name(
    folder: Path, tmp_path: Path, host: str, token: bool, warned: int
) -> None:
    (tmp_path / "token").write_text("correct horse battery staple")
    with capture_logs() as events:
        async with window(folder=folder, host=host, token_file=str(tmp_path / "token") if token else None):
            pass
    warnings = [event for event in events if event["event"] == "http_open_to_all"]
    assert len(warnings) == warned
    assert all(event["log_level"] == "warning" and "http.token_file" in event["remedy"] for event in warnings)


async def test_it_ends_within_two_seconds_whoever_is_connected(folder: Path) -> None:
    rendered = []

    def much(accept: str) -> tuple[bytes, str]:
        rendered.append(accept)
        return b"x" * 64 * 1024 * 1024, "text/plain"

    async with window(folder=folder, render=much) as seen:

        async def connected(data: bytes) -> Client:
            client = Client(*await asyncio.open_connection("127.0.0.1", seen.port))
            await client.send(data)
            return client

        waiting = [await connected(request("/api/sessions/slow")) for _ in range(3)]
        half = [await connected(b"GET / HTTP/1.1\r\nHost") for _ in range(20)]
        idle = [await connected(request("/api/overview")) for _ in range(20)]
        for client in idle:
            assert (await client.answer()).status == 200
        unread = await connected(request("/metrics"))
        unread.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await until(lambda: len(seen.sessions.asked) == len(waiting) and len(rendered) == 1)
        began = time.monotonic()
    assert time.monotonic() - began < 2 + BUSY_MACHINE_S
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", seen.port)
    for client in (*waiting, *half, *idle):
        assert await client.ended(5) == b""
    await seen.emptied()  # though one of them has not read what was sent
    for client in (*waiting, *half, *idle, unread):
        await client.close()


async def test_a_request_that_is_being_answered_is_answered_to_its_end(folder: Path) -> None:
    release = asyncio.Event()

    class Late(KnownSessions):
        async def look_up(self, session_id: str) -> SessionAnswer:
            self.asked.append(session_id)
            await release.wait()
            return SessionAnswer(session={"session_id": session_id})

    async with window(folder=folder, sessions=Late()) as seen:
        client = Client(*await asyncio.open_connection("127.0.0.1", seen.port))
        await client.send(request("/api/sessions/a"))
        await until(lambda: seen.sessions.asked == ["a"])
        asyncio.get_running_loop().call_later(0.2, release.set)
    assert (await client.answer()).json["session_id"] == "a"
    await client.close()


async def test_a_port_is_free_again_at_once(folder: Path) -> None:
    async with window(folder=folder) as seen:
        assert (await seen.get("/health/live")).status == 200
    async with window(folder=folder, port=seen.port) as again:
        assert (await again.get("/health/live")).status == 200
