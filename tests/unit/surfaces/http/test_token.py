"""The bearer token: what it opens, how it is brought, and that it may be renewed."""

from __future__ import annotations

import base64
import os
from pathlib import Path

import pytest
from multidict import CIMultiDict, CIMultiDictProxy
from structlog.testing import capture_logs

from processor.errors import Refused
from processor.surfaces.http.token import BearerToken
from tests.unit.surfaces.http.rig import window

SECRET = "correct horse battery staple"
OTHER = "incorrect horse battery staple"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text(f"{SECRET}\n")
    return path


def brought(**headers: str) -> CIMultiDictProxy[str]:
    return CIMultiDictProxy(CIMultiDict({name.replace("_", "-"): value for name, value in headers.items()}))


def as_subprotocol(secret: bytes, *, padded: bool = False) -> str:
    text = base64.urlsafe_b64encode(secret).decode()
    return f"creative-feedback, bearer.{text if padded else text.rstrip('=')}"


async def test_what_holds_data_needs_the_token_and_nothing_else_does(folder: Path, file: Path) -> None:
    async with window(folder=folder, token_file=str(file)) as seen:
        for path in ("/", "/index.html", "/parts/chart.js", "/health/live", "/health/ready"):
            assert (await seen.get(path)).status == 200
        for path in (
            "/api/overview",
            "/api/sessions",
            "/api/sessions/a",
            "/metrics",
            "/health/creativity",
            "/nowhere",
            "/ws",
            "/creativity",
        ):
            answer = await seen.get(path)
            assert (answer.status, answer.code) == (401, "unauthorized"), path
            assert answer.headers["www-authenticate"].startswith("Bearer")
        for path in ("/api/overview", "/api/sessions", "/metrics", "/health/creativity"):
            assert (await seen.get(path, Authorization=f"Bearer {SECRET}")).status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": f"Bearer {SECRET}"},
        {"authorization": f"bearer {SECRET}"},
        {"Sec_WebSocket_Protocol": as_subprotocol(SECRET.encode())},
        {"Sec_WebSocket_Protocol": as_subprotocol(SECRET.encode(), padded=True)},
    ],
)
def test_the_token_is_taken_from_a_header_or_a_subprotocol(file: Path, headers: dict[str, str]) -> None:
    assert BearerToken(file).accepts(brought(**headers))


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": ""},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer "},
        {"Authorization": f"Bearer {OTHER}"},
        {"Authorization": f"Bearer {SECRET[:-1]}"},
        {"Authorization": f"Bearer {SECRET}x"},
        {"Authorization": f"Basic {SECRET}"},
        {"Authorization": SECRET},
        {"Authorization": "Bearer \udce4\xe4"},
        {"Sec_WebSocket_Protocol": "creative-feedback"},
        {"Sec_WebSocket_Protocol": "bearer."},
        {"Sec_WebSocket_Protocol": "bearer.a"},
        {"Sec_WebSocket_Protocol": "bearer.\xe4\xe4"},
        {"Sec_WebSocket_Protocol": f"bearer.{SECRET}"},
        {"Sec_WebSocket_Protocol": as_subprotocol(OTHER.encode())},
        {"Sec_WebSocket_Protocol": as_subprotocol(b"\xff\xfe")},
        # Who brings both is judged by the header.
        {"Authorization": "Bearer x", "Sec_WebSocket_Protocol": as_subprotocol(SECRET.encode())},
    ],
)
def test_anything_else_is_no_token(file: Path, headers: dict[str, str]) -> None:
    assert not BearerToken(file).accepts(brought(**headers))


def test_a_renewed_file_counts_from_the_next_request_on(file: Path) -> None:
    token = BearerToken(file)
    renewed = file.with_name("renewed")
    renewed.write_text(OTHER)
    os.replace(renewed, file)
    assert not token.accepts(brought(Authorization=f"Bearer {SECRET}"))
    assert token.accepts(brought(Authorization=f"Bearer {OTHER}"))


@pytest.mark.parametrize("content", [None, "", "short", "\n\n"])
def test_a_file_that_becomes_unusable_leaves_the_token_as_it_was(file: Path, content: str | None) -> None:
    token = BearerToken(file)
    if content is None:
        file.unlink()
    else:
        file.write_text(content)
    with capture_logs() as events:
        for _ in range(3):
            assert token.accepts(brought(Authorization=f"Bearer {SECRET}"))
            assert not token.accepts(brought(Authorization="Bearer "))
    assert [event["event"] for event in events] == ["http_token_kept"]
    assert SECRET not in str(events)


@pytest.mark.parametrize(
    "content", [None, "", "  \n", "fifteen letters", "two\nlines of more", "schlüssel" * 3, "x" * 5000]
)
def test_a_start_without_a_usable_token_is_refused(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "token"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    with pytest.raises(Refused, match=r"^http\.token_file = .*; write ") as refused:
        BearerToken(path)
    assert "\n" not in str(refused.value)
    assert not content or content.strip() == "" or content not in str(refused.value)
