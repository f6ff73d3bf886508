"""A session that another instance has: named, and fetched from there on request."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from processor.errors import Unreachable
from processor.surfaces.http import Owner, forwarding
from processor.surfaces.http import sessions as sessions_module
from processor.surfaces.watch.beat import SessionAnswer
from tests.unit.surfaces.http.rig import BUSY_MACHINE_S, KnownOwners, KnownSessions, http_settings, window

AWAY = SessionAnswer(elsewhere=True, partition=3)
NAME = "a/ü"
PATH = "/api/sessions/a%2F%C3%BC"


async def test_the_owner_is_named(folder: Path) -> None:
    owners = KnownOwners(p3=Owner("worker-2", "http://10.0.0.2:8080"))
    async with window(folder=folder, sessions=KnownSessions(a=AWAY), owners=owners) as seen:
        answer = await seen.get("/api/sessions/a")
        assert answer.status == 421
        assert answer.json == {
            "error": {
                "code": "owned_elsewhere",
                "message": "this session is in partition 3, which is not here: worker-2 has it",
                "partition": 3,
                "owner": {"instance": "worker-2", "url": "http://10.0.0.2:8080"},
            }
        }


class Failing:
    """A directory that finds out nothing."""

    def __init__(self, problem: Exception | None) -> None:
        self._problem = problem

    async def owner(self, partition: int) -> Owner | None:
        if self._problem is not None:
            raise self._problem
        await asyncio.Event().wait()
        return None


@pytest.mark.parametrize("owners", [KnownOwners(), Failing(Unreachable("no broker")), Failing(None)])
async def test_where_no_owner_is_known_that_is_said(
    folder: Path, owners: KnownOwners | Failing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions_module, "OWNER_S", 0.1)
    async with window(folder=folder, sessions=KnownSessions(a=AWAY), owners=owners) as seen:
        answer = await seen.get("/api/sessions/a?forward=1")
        assert (answer.status, answer.json["error"]["owner"]) == (421, None)


@pytest.mark.parametrize(
    ("found", "status"),
    [
        (SessionAnswer(session={"session_id": NAME}), 200),
        (SessionAnswer(), 404),
        (SessionAnswer(unavailable="restoring"), 503),
        (AWAY, 421),
    ],
)
async def test_on_request_the_owners_answer_is_fetched_and_passed_on(
    folder: Path, found: SessionAnswer, status: int
) -> None:
    async with window(folder=folder, sessions=KnownSessions(**{NAME: found})) as owner:
        owners = KnownOwners(p3=Owner("worker-2", owner.served.url))
        async with window(folder=folder, sessions=KnownSessions(**{NAME: AWAY}), owners=owners) as seen:
            passed_on, direct = await seen.get(f"{PATH}?forward=1"), await owner.get(PATH)
            assert passed_on.status == direct.status == status
            assert passed_on.body == direct.body
            assert passed_on.headers["x-creative-feedback-owner"] == "worker-2"
            assert (await seen.get(PATH)).status == 421
            assert (await seen.get(f"{PATH}?forward=0")).status == 421


async def test_two_that_take_each_other_for_the_owner_do_not_play_ball(folder: Path) -> None:
    first_owners, second_owners = KnownOwners(), KnownOwners()
    async with window(folder=folder, sessions=KnownSessions(a=AWAY), owners=first_owners) as first:
        async with window(folder=folder, sessions=KnownSessions(a=AWAY), owners=second_owners) as second:
            first_owners.owners[3] = Owner("second", second.served.url)
            second_owners.owners[3] = Owner("first", first.served.url)
            answer = await first.get("/api/sessions/a?forward=1")
            assert (answer.status, answer.code) == (421, "owned_elsewhere")
            assert (first.sessions.asked, second.sessions.asked) == (["a"], ["a"])
            again = await first.get("/api/sessions/a?forward=1", X_Creative_Feedback_Forwarded="1")
            assert (again.status, again.code) == (421, "owned_elsewhere")
            assert second.sessions.asked == ["a"], "what was forwarded goes no further"


async def test_the_callers_token_goes_along(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("correct horse battery staple")
    settings = http_settings(token_file=str(tmp_path / "token"))
    found = SessionAnswer(session={"session_id": NAME})
    async with window(folder=folder, sessions=KnownSessions(**{NAME: found}), settings=settings) as owner:
        owners = KnownOwners(p3=Owner("worker-2", owner.served.url))
        async with window(
            folder=folder, sessions=KnownSessions(**{NAME: AWAY}), owners=owners, settings=settings
        ) as seen:
            path = f"{PATH}?forward=1"
            assert (await seen.get(path, Authorization="Bearer correct horse battery staple")).status == 200
            assert (await seen.get(path)).status == 401
            assert owner.sessions.asked == [NAME]


@asynccontextmanager
async def answering(answer: bytes, asked: list[bytes] | None = None) -> AsyncIterator[str]:
    """The address of a server that says this to whatever it is asked."""

    async def said(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if asked is not None:
            asked.append(head)
        writer.write(answer)
        try:
            await reader.read()
        finally:
            writer.close()

    server = await asyncio.start_server(said, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


def json_of(body: bytes, more: str = "") -> bytes:
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n{more}\r\n"
    return head.encode() + body


STRANGE: list[tuple[str, Callable[[str], bytes], str]] = [
    ("silent", lambda other: b"", "did not answer within"),
    ("half", lambda other: json_of(b"{}" * 99)[:-1], "did not answer within"),
    ("endless", lambda other: json_of(b"x" * (forwarding.MAX_ANSWER_BYTES + 1)), "answered with more than"),
    ("elsewhere", lambda other: f"HTTP/1.1 302 Found\r\nLocation: {other}\r\n\r\n".encode(), "answered with 302"),
    ("no JSON", lambda other: b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 0\r\n\r\n", "is that a"),
    ("no HTTP", lambda other: b"SSH-2.0-OpenSSH\r\n", "cannot be asked"),
    ("a bomb", lambda other: json_of(b"\x1f\x8b" + b"x" * 100, "Content-Encoding: gzip\r\n"), ""),
]


@pytest.mark.parametrize(("answer", "why"), [case[1:] for case in STRANGE], ids=[case[0] for case in STRANGE])
async def test_an_owner_that_answers_strangely_is_named_and_not_waited_for(
    folder: Path, monkeypatch: pytest.MonkeyPatch, answer: Callable[[str], bytes], why: str
) -> None:
    monkeypatch.setattr(forwarding, "DEADLINE_S", 0.3)
    never: list[bytes] = []
    asked: list[bytes] = []
    async with answering(json_of(b"{}"), never) as other, answering(answer(other), asked) as url:
        owners = KnownOwners(p3=Owner("worker-2", url))
        async with window(folder=folder, sessions=KnownSessions(a=AWAY), owners=owners) as seen:
            began = time.monotonic()
            told = await seen.get("/api/sessions/a?forward=1")
            assert time.monotonic() - began < 0.3 + BUSY_MACHINE_S
            assert len(asked) == 1
            assert b"x-creative-feedback-forwarded: 1" in asked[0]
            assert never == []
            if why:
                assert (told.status, told.code) == (503, "unavailable")
                assert why in told.json["error"]["message"]
                assert "worker-2" in told.json["error"]["message"]
            else:  # compressed, though nobody asked for that: passed on as it is, never blown up here
                assert len(told.body) == 102


async def test_an_owner_that_is_gone_is_named(folder: Path) -> None:
    owners = KnownOwners(p3=Owner("worker-2", "http://127.0.0.1:1"))
    async with window(folder=folder, sessions=KnownSessions(a=AWAY), owners=owners) as seen:
        told = await seen.get("/api/sessions/a?forward=1")
        assert (told.status, told.code) == (503, "unavailable")
        assert "worker-2 has this session, but http://127.0.0.1:1 cannot be asked" in told.json["error"]["message"]
