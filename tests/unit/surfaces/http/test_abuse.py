"""What hostile and broken clients are answered, by a real server on a real socket."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import uvloop
from structlog.testing import capture_logs

from processor.surfaces.http import connection
from processor.surfaces.http.connection import FIELD_BYTES, HEADERS, LINE_BYTES
from processor.surfaces.http.door import RESERVED
from processor.surfaces.http.guard import MAX_BODY_BYTES
from tests.unit.surfaces.http.rig import BUSY_MACHINE_S, Client, KnownSessions, request, until, window

HEADS = [
    (request("/", X_Long="a" * (FIELD_BYTES + 1)), 431, "too_large"),
    (request("/", X_Long="a" * 8_000_000), 431, "too_large"),
    (request("/", **{"X" * (FIELD_BYTES + 1): "a"}), 431, "too_large"),
    (request("/", **{f"X{n}": "a" for n in range(HEADERS + 1)}), 431, "too_large"),
    (request("/" + "a" * LINE_BYTES), 414, "too_large"),
    (request("/?q=" + "a" * 1_000_000), 414, "too_large"),
    (b"nonsense\r\n\r\n", 400, "bad_request"),
    (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, "bad_request"),  # TLS
    (b"GET / HTTP/1.1\r\n\r\n", 400, "bad_request"),  # no Host
    (b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n", 400, "bad_request"),
    (
        b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
        "bad_request",
    ),
]


@pytest.mark.parametrize(
    ("data", "status", "code"), HEADS, ids=lambda value: str(len(value)) if isinstance(value, bytes) else str(value)
)
async def test_a_head_that_cannot_be_is_told_so_and_its_connection_closed(
    folder: Path, data: bytes, status: int, code: str
) -> None:
    async with window(folder=folder) as seen, seen.client() as client:
        await client.send(data)
        answer = await client.answer()
        assert (answer.status, answer.code) == (status, code)
        assert await client.ended(5) == b""


async def test_who_was_told_of_a_broken_head_and_stays_is_cut_off(folder: Path) -> None:
    async with window(folder=folder) as seen, seen.client() as client:
        await client.send(b"nonsense\r\n\r\n")
        assert (await client.answer()).status == 400
        await seen.emptied()


async def test_a_header_without_an_end_is_answered_while_it_comes(folder: Path) -> None:
    async with window(folder=folder) as seen, seen.client() as client:
        await client.send(b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * (FIELD_BYTES + 1))
        assert (await client.answer()).status == 431


@pytest.mark.parametrize("first", [b"GET /", b"GET / HTTP/1.1\r\nHost: loc", request()[:-2]])
async def test_a_head_that_trickles_in_is_given_up_after_the_deadline(folder: Path, first: bytes) -> None:
    async with window(folder=folder, request_timeout_ms=300) as seen, seen.client() as client:
        began = time.monotonic()
        await client.send(first)
        answering = asyncio.create_task(client.answer())
        while not answering.done():  # a byte at a time, each long before the deadline
            client.writer.write(b"a" if not first.endswith(b"\r\n") else b"X: a\r\n")
            await asyncio.wait((answering,), timeout=0.05)
        answer = await answering
        assert (answer.status, answer.code) == (408, "timeout")
        assert 0.25 < time.monotonic() - began < 0.3 + BUSY_MACHINE_S
        await client.ended(5)


async def test_the_deadline_begins_anew_with_each_request_of_a_connection(folder: Path) -> None:
    async with window(folder=folder, request_timeout_ms=300) as seen, seen.client() as client:
        for _ in range(3):
            await client.send(request())
            assert (await client.answer()).status == 200
            await asyncio.sleep(0.2)
        await client.send(b"GET /")
        assert (await client.answer()).status == 408


async def test_a_connection_that_has_asked_may_rest_longer_than_a_request_may_take(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "GRACE_S", 0.0)
    async with window(folder=folder, request_timeout_ms=400) as seen, seen.client() as client:
        for _ in range(2):
            await client.send(request())
            assert (await client.answer()).status == 200
            await asyncio.sleep(0.6)
        monkeypatch.setattr(connection, "IDLE_S", 0.2)
        await client.send(request())
        assert (await client.answer()).status == 200
        assert await client.ended(0.2 + BUSY_MACHINE_S) == b""


async def test_a_connection_that_asks_nothing_is_closed_without_a_word(folder: Path) -> None:
    async with window(folder=folder, request_timeout_ms=200) as seen, seen.client() as client:
        assert await client.ended(0.2 + BUSY_MACHINE_S) == b""
        await seen.emptied()


async def test_an_answer_that_takes_too_long_to_make_is_given_up(folder: Path) -> None:
    async with window(folder=folder, request_timeout_ms=200) as seen:
        answer = await seen.get("/api/sessions/slow")
        assert (answer.status, answer.code) == (503, "unavailable")
        assert answer.headers["connection"] == "close"


async def test_an_answer_that_nobody_reads_is_given_up(folder: Path) -> None:
    def much(accept: str) -> tuple[bytes, str]:
        return b"x" * 64 * 1024 * 1024, "text/plain"

    async with window(folder=folder, render=much, request_timeout_ms=200) as seen, seen.client() as client:
        began = time.monotonic()
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await client.send(request("/metrics"))
        await seen.emptied()
        assert time.monotonic() - began < 1.2 + BUSY_MACHINE_S


@pytest.mark.parametrize("coding", [b"Content-Length: 1000", b"Transfer-Encoding: chunked"])
async def test_a_body_that_trickles_in_is_not_waited_for(folder: Path, coding: bytes) -> None:
    async with window(folder=folder) as seen, seen.client() as client:
        began = time.monotonic()
        await client.send(b"GET /api/overview HTTP/1.1\r\nHost: localhost\r\n" + coding + b"\r\n\r\n3\r\n")
        assert (await client.answer()).status == 200
        assert time.monotonic() - began < BUSY_MACHINE_S
        await client.ended(5)
        await seen.emptied()


async def test_a_large_body_is_refused_unread(folder: Path) -> None:
    async with window(folder=folder) as seen, seen.client() as client:
        await client.send(request("/api/overview", Content_Length=str(MAX_BODY_BYTES + 1)))
        answer = await client.answer()
        assert (answer.status, answer.code) == (413, "too_large")
        await client.ended(5)


@pytest.mark.parametrize(
    "path",
    [
        "/a" * 4000,
        "/%2e%2e" * 1000,
        "/.." * 2000,
        "/" * 8000,
        "/api/sessions/" + "%2F" * 2600,
        "/api/sessions/" + "a/" * 3000,
        "/health/live" + "/." * 3000,
        "/parts/..%2f..%2fsecret.js",
        "/parts/../../secret.js",
        "/%2e%2e/secret.js",
        "/..\\secret.js",
        "/parts/%2e%2e%5csecret.js",
        "/__init__.py",
        "/parts",
        "/parts/",
        "//etc/passwd",
        "/index.html%00.js",
    ],
    ids=lambda path: path[:24],
)
async def test_a_deep_or_crooked_path_leads_nowhere_and_quickly(folder: Path, path: str) -> None:
    async with window(folder=folder) as seen:
        began = time.monotonic()
        answer = await seen.get(path)
        assert answer.status == 404
        assert answer.code in ("no_such_path", "no_session")
        assert b"outside" not in answer.body
        assert time.monotonic() - began < BUSY_MACHINE_S


async def test_pipelined_requests_are_answered_in_order_and_bounded(folder: Path) -> None:
    sessions = KnownSessions()
    async with window(folder=folder, sessions=sessions) as seen, seen.client() as client:
        await client.send(b"".join(request(f"/api/sessions/s{n}") for n in range(200)))
        for _ in range(200):
            assert (await client.answer()).status == 404
        assert sessions.asked == [f"s{n}" for n in range(200)]


async def test_a_flood_of_connections_harms_neither_those_inside_nor_the_probes(folder: Path) -> None:
    limit, flood = 20, RESERVED + 100
    async with window(folder=folder, max_connections=limit) as seen:
        inside = [Client(*await asyncio.open_connection("127.0.0.1", seen.port)) for _ in range(limit)]
        for client in inside:
            await client.send(request("/api/overview"))
            assert (await client.answer()).status == 200
        silent = [Client(*await asyncio.open_connection("127.0.0.1", seen.port)) for _ in range(flood)]
        try:
            began = time.monotonic()
            for path in ("/health/live", "/health/ready"):
                assert (await seen.get(path)).status == 200
            newcomer = await seen.get("/api/overview")
            assert (newcomer.status, newcomer.code) == (503, "busy")
            assert newcomer.headers["retry-after"] == "1"
            for client in inside:
                await client.send(request("/api/overview"))
                assert (await client.answer()).status == 200
            assert time.monotonic() - began < 2 * BUSY_MACHINE_S
            # Who waited longest in silence had to go, and was told why.
            gone = await silent[0].answer()
            assert (gone.status, gone.code) == (503, "busy")
            assert seen.served.door.connections <= limit + RESERVED
            assert seen.served.door.turned_away >= flood - RESERVED
        finally:
            for client in (*inside, *silent):
                await client.close()
        await seen.emptied()
        assert (await seen.get("/api/overview")).status == 200


async def test_who_waited_in_the_reserve_is_let_in_when_there_is_room(folder: Path) -> None:
    async with window(folder=folder, max_connections=1) as seen:
        async with seen.client() as inside, seen.client() as waiting:
            await inside.send(request("/api/overview"))
            assert (await inside.answer()).status == 200
            await inside.close()
            await until(lambda: seen.served.door.connections == 1)
            await waiting.send(request("/api/overview"))
            assert (await waiting.answer()).status == 200


async def test_hostile_requests_leave_no_trace_in_the_log(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    with capture_logs() as events:
        async with window(folder=folder) as seen:
            for data, status, _ in HEADS:
                assert (await seen.raw(data)).status == status
            async with seen.client() as client:
                await client.send(request("/api/sessions/slow"))
    assert [record.message for record in caplog.records] == []
    assert {event["event"] for event in events} == {"http_listening"}


UNDER_UVLOOP = [
    test_a_head_that_trickles_in_is_given_up_after_the_deadline,
    test_an_answer_that_nobody_reads_is_given_up,
    test_a_body_that_trickles_in_is_not_waited_for,
    test_a_large_body_is_refused_unread,
    test_a_header_without_an_end_is_answered_while_it_comes,
    test_pipelined_requests_are_answered_in_order_and_bounded,
    test_a_flood_of_connections_harms_neither_those_inside_nor_the_probes,
]
ARGUMENTS: dict[Callable[..., Awaitable[None]], list[bytes]] = {
    test_a_head_that_trickles_in_is_given_up_after_the_deadline: [b"GET / HTTP/1.1\r\nHost: loc"],
    test_a_body_that_trickles_in_is_not_waited_for: [b"Content-Length: 1000"],
}


@pytest.mark.parametrize("promise", UNDER_UVLOOP, ids=lambda promise: promise.__name__.removeprefix("test_"))
def test_it_holds_under_uvloop_too(folder: Path, promise: Callable[..., Awaitable[None]]) -> None:
    async def kept() -> None:
        await promise(folder, *ARGUMENTS.get(promise, []))

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(kept())
