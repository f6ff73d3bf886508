"""What the API answers, from a picture that heard real beats."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from processor.surfaces.http.glance import FRESH_S, Glance
from processor.surfaces.http.sessions import AT_A_TIME
from processor.surfaces.watch.beat import SessionAnswer
from processor.surfaces.watch.picture import MAX_STORY, Picture
from tests.unit.surfaces.http.rig import KnownSessions, http_settings, until, window, working


def metric(session: str, mode: str = "stable", gain: float = 0.0) -> bytes:
    return json.dumps(
        {
            "session_id": session,
            "mode": mode,
            "steps_in_mode": 3,
            "cumulative_gain": gain,
            "performance_trend": {"novelty": 0.1, "aesthetic": 0.2},
            "stream_sequence": 0,
        }
    ).encode()


def transition(session: str, step: int) -> tuple[str, dict[str, Any]]:
    return "creative_mode_transition", {
        "session": session,
        "step": step,
        "from_mode": "stable",
        "to_mode": "exploring",
        "cumulative_gain": 0.0,
    }


async def test_the_overview_has_the_health_in_it_and_is_never_kept(folder: Path) -> None:
    async with window(folder=folder) as seen:
        answer = await seen.get("/api/overview")
        assert answer.headers["content-type"] == "application/json; charset=utf-8"
        assert answer.headers["cache-control"] == "no-store"
        overview = answer.json
        assert overview["health"] == {"live": True, "ready": True, "reasons": []}
        assert [instance["instance"] for instance in overview["instances"]] == ["worker-1"]


async def test_a_flood_of_overviews_costs_a_few_encodings() -> None:
    settings = http_settings()
    now = 0.0
    picture = Picture(settings, monotonic=lambda: now)
    picture.hear(working())
    glance = Glance(picture, settings, clock=lambda: now)
    first = glance.overview()
    picture.hear(working("worker-2"))
    assert glance.overview() is first
    now += FRESH_S
    assert len(json.loads(glance.overview())["instances"]) == 2


async def test_sessions_are_found_by_mode_name_and_order(folder: Path) -> None:
    async with window(folder=folder) as seen:
        beat = working()
        beat.metrics = [metric("b", "stable", 1.0), metric("a", "exploring", 3.0), metric("c", "stable", 2.0)]
        seen.picture.hear(beat)

        async def listed(query: str) -> list[str]:
            answer = await seen.get(f"/api/sessions{query}")
            assert answer.status == 200
            assert answer.json["total"] == 3
            return [line["session_id"] for line in answer.json["sessions"]]

        assert await listed("") == ["c", "a", "b"]
        assert await listed("?order=gain&limit=2") == ["a", "c"]
        assert await listed("?order=name") == ["a", "b", "c"]
        assert await listed("?mode=stable&order=name") == ["b", "c"]
        assert await listed("?q=B") == ["b"]
        assert await listed("?mode=&q=&order=&limit=") == ["c", "a", "b"]


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("limit=0", "limit"),
        ("limit=501", "limit"),
        ("limit=-1", "limit"),
        ("limit=1e2", "limit"),
        ("limit=%C2%B2", "limit"),
        (f"limit={'9' * 4000}", "limit"),
        ("mode=asleep", "mode"),
        ("order=random", "order"),
        (f"q={'a' * 257}", "q"),
    ],
    ids=lambda value: str(value)[:16],
)
async def test_a_parameter_that_cannot_be_is_named(folder: Path, query: str, name: str) -> None:
    async with window(folder=folder) as seen:
        answer = await seen.get(f"/api/sessions?{query}")
        assert (answer.status, answer.code) == (400, "bad_request")
        assert answer.json["error"]["message"].startswith(f"{name}: expected ")


@pytest.mark.parametrize(
    "session_id", ["plain", "a/b", "..%2f", "ü 漢 🜁", "a b+c?d#e", "<img onerror>", "\x00\n", "%", ".hidden", "x" * 256]
)
async def test_a_session_is_found_by_any_name_it_may_have(folder: Path, session_id: str) -> None:
    sessions = KnownSessions(**{session_id: SessionAnswer(session={"session_id": session_id, "mode": "stable"})})
    async with window(folder=folder, sessions=sessions) as seen:
        answer = await seen.get(f"/api/sessions/{quote(session_id, safe='')}")
        assert answer.status == 200
        assert answer.json == {"session_id": session_id, "mode": "stable", "happened": []}


async def test_a_session_tells_its_story_newest_first(folder: Path) -> None:
    sessions = KnownSessions(a=SessionAnswer(session={"session_id": "a"}))
    async with window(folder=folder, sessions=sessions) as seen:
        beat = working()
        beat.happened = [transition("a", step) for step in range(MAX_STORY + 5)] + [transition("b", 1)]
        seen.picture.hear(beat)
        story = (await seen.get("/api/sessions/a")).json["happened"]
        assert [told["step"] for told in story] == list(range(MAX_STORY + 4, 4, -1))
        assert {told["session"] for told in story} == {"a"}


@pytest.mark.parametrize(("path", "status", "code"), [("x" * 257, 404, "no_session"), ("%ff", 400, "bad_request")])
async def test_a_name_that_no_session_has_is_not_looked_up(folder: Path, path: str, status: int, code: str) -> None:
    async with window(folder=folder) as seen:
        answer = await seen.get(f"/api/sessions/{path}")
        assert (answer.status, answer.code) == (status, code)
        assert seen.sessions.asked == []


async def test_what_is_not_there_at_the_moment_will_be(folder: Path) -> None:
    sessions = KnownSessions(a=SessionAnswer(unavailable="partition 0 is restoring"))
    async with window(folder=folder, sessions=sessions) as seen:
        answer = await seen.get("/api/sessions/a")
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")
        assert answer.json == {"error": {"code": "unavailable", "message": "partition 0 is restoring"}}


async def test_many_clients_ask_the_workers_for_a_few_sessions_at_a_time(folder: Path) -> None:
    release, now, most = asyncio.Event(), 0, 0

    class Counting(KnownSessions):
        async def look_up(self, session_id: str) -> SessionAnswer:
            nonlocal now, most
            self.asked.append(session_id)
            now += 1
            most = max(most, now)
            await release.wait()
            now -= 1
            return SessionAnswer(session={"session_id": session_id})

    async with window(folder=folder, sessions=Counting()) as seen:
        asking = [asyncio.create_task(seen.get("/api/sessions/a")) for _ in range(3 * AT_A_TIME)]
        await until(lambda: seen.served.door.connections == len(asking))
        await until(lambda: now == AT_A_TIME)
        release.set()
        assert {(await task).status for task in asking} == {200}
    assert most == AT_A_TIME


async def test_a_slow_session_holds_nobody_else_up(folder: Path) -> None:
    async with window(folder=folder) as seen, seen.client() as slow:
        await slow.send(b"GET /api/sessions/slow HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await until(lambda: seen.sessions.asked == ["slow"])
        assert (await seen.get("/api/overview")).status == 200


@pytest.mark.parametrize("problem", [RuntimeError("secret"), ConnectionResetError("secret"), TimeoutError("secret")])
async def test_an_answer_that_fails_tells_the_log_and_not_the_client(
    folder: Path, capsys: pytest.CaptureFixture[str], problem: Exception
) -> None:
    def broken(accept: str) -> tuple[bytes, str]:
        raise problem

    async with window(folder=folder, render=broken) as seen:
        answer = await seen.get("/metrics")
        assert (answer.status, answer.code) == (500, "internal")
        assert b"secret" not in answer.body
        assert (await seen.get("/api/overview")).status == 200
    assert "http_answer_failed" in capsys.readouterr().out
