"""Who may ask what: Host, Origin, methods, headers on every answer."""

from __future__ import annotations

from pathlib import Path

import pytest

from processor.surfaces.http.answers import PROTECTION
from tests.unit.surfaces.http.rig import Answer, request, window

PATHS = ["/", "/parts/chart.js", "/api/overview", "/api/sessions", "/health/live", "/health/creativity", "/metrics"]


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:8080", "127.0.0.1:1", "127.8.8.8", "[::1]:8080", "localhost.", "ops.example:81"]
)
async def test_names_of_this_machine_and_the_advertised_one_are_ours(folder: Path, host: str) -> None:
    async with window(folder=folder, advertised_url="https://ops.example") as seen:
        assert (await seen.get("/api/overview", Host=host)).status == 200


async def test_a_probe_that_is_too_old_to_name_a_host_is_answered(folder: Path) -> None:
    async with window(folder=folder) as seen, seen.client() as client:
        await client.send(b"GET /health/live HTTP/1.0\r\n\r\n")
        assert (await client.answer()).status == 200
        assert await client.ended(5) == b""


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8080", "localhost.evil.example", "10.0.0.1", "[::2]", "[", "a@localhost"]
)
async def test_another_name_for_this_machine_is_refused(folder: Path, host: str) -> None:
    async with window(folder=folder) as seen:
        for path in ("/", "/api/overview", "/health/live", "/metrics"):
            answer = await seen.get(path, Host=host)
            assert (answer.status, answer.code) == (403, "host")


async def test_beyond_this_machine_any_name_may_lead_here(folder: Path) -> None:
    async with window(folder=folder, host="0.0.0.0") as seen:
        assert (await seen.get("/health/live", Host="creative-feedback.default.svc:8080")).status == 200


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "null",
        "http://localhost:81",
        "http://localhost.evil.example",
        "file://",
        "",
        "localhost",
        "chrome-extension://localhost",
    ],
)
async def test_pages_of_other_origins_get_nothing(folder: Path, origin: str) -> None:
    async with window(folder=folder, allowed_origins=["https://good.example"]) as seen:
        for path in ("/", "/api/overview", "/api/sessions/a", "/metrics", "/health/live", "/ws"):
            answer = await seen.get(path, Origin=origin)
            assert (answer.status, answer.code) == (403, "origin")
            assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("origin", ["http://localhost", "https://localhost", "HTTP://LOCALHOST"])
async def test_our_own_pages_may_ask(folder: Path, origin: str) -> None:
    async with window(folder=folder) as seen:
        answer = await seen.get("/api/overview", Origin=origin)
        assert answer.status == 200
        assert "access-control-allow-origin" not in answer.headers


async def test_pages_of_an_allowed_origin_may_read_and_send_the_token(folder: Path) -> None:
    origin = "https://good.example"
    async with window(folder=folder, allowed_origins=[origin]) as seen:
        answer = await seen.get("/api/overview", Origin=origin)
        assert (answer.status, answer.headers["access-control-allow-origin"]) == (200, origin)
        assert answer.headers["vary"] == "Origin"
        asked = await seen.get("/api/overview", "OPTIONS", Origin=origin, Access_Control_Request_Method="GET")
        assert asked.status == 204
        assert asked.headers["access-control-allow-headers"] == "Authorization"
        assert asked.headers["access-control-allow-methods"] == "GET, HEAD"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "TRACE", "PROPFIND", "CONNECT"])
async def test_only_looking_is_allowed(folder: Path, method: str) -> None:
    async with window(folder=folder) as seen:
        for path in ("/", "/api/overview", "/nowhere"):
            answer = await seen.get("a:1" if method == "CONNECT" else path, method)
            assert (answer.status, answer.code) == (405, "method_not_allowed")
            assert answer.headers["allow"] == "GET, HEAD"


async def test_head_tells_what_get_would(folder: Path) -> None:
    async with window(folder=folder) as seen:
        for path in PATHS:
            asked, told = await seen.get(path), await seen.get(path, "HEAD")
            assert (told.status, told.body) == (asked.status, b"")
            assert told.headers["content-type"] == asked.headers["content-type"]


def assert_protected(answer: Answer) -> None:
    for name, value in PROTECTION.items():
        if name != "Cache-Control":
            assert answer.headers[name.lower()] == value, name
    assert answer.headers["cache-control"] in ("no-store", "no-cache")


async def test_every_answer_protects_whoever_looks_with_a_browser(folder: Path) -> None:
    asked = [request(path) for path in [*PATHS, "/nowhere", "/api/sessions/x", "/api/sessions?limit=0"]]
    asked += [
        request("/", "POST"),
        request("/", "OPTIONS"),
        request("/", Host="evil.example"),
        request("/", Origin="null"),
        request("/" + "a" * 9000),
        request("/", X="a" * 9000),
        request("/", Expect="the unexpected"),
        request("/", Content_Length="1000000"),
        b"nonsense\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost",  # never completed: 408
    ]
    statuses = set()
    async with window(folder=folder, request_timeout_ms=300) as seen:
        for data in asked:
            answer = await seen.raw(data)
            assert_protected(answer)
            statuses.add(answer.status)
        cached = await seen.get("/", If_None_Match=(await seen.get("/")).headers["etag"])
        assert_protected(cached)
    assert statuses | {cached.status} == {200, 204, 304, 400, 403, 404, 405, 408, 413, 414, 417, 431}


async def test_a_page_may_load_and_reach_nothing_but_this_server() -> None:
    policy = dict(part.split(" ", 1) for part in PROTECTION["Content-Security-Policy"].split("; "))
    assert policy.pop("default-src") == "'none'"
    assert {policy.pop(name) for name in ("base-uri", "form-action", "frame-ancestors", "trusted-types")} == {"'none'"}
    assert policy.pop("require-trusted-types-for") == "'script'"
    assert set(policy.values()) == {"'self'"}
    assert set(policy) == {"script-src", "style-src", "connect-src", "img-src", "font-src"}
