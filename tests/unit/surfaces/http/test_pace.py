"""What costly answers may take of a core."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from processor.surfaces.http.pace import PAUSES
from processor.surfaces.watch.picture import Picture
from tests.unit.surfaces.http.rig import window

COST_S = 0.02


def burn() -> None:
    until = time.thread_time() + COST_S
    while time.thread_time() < until:
        pass


@pytest.mark.parametrize("path", ["/api/sessions", "/metrics"])
async def test_a_flood_of_costly_questions_leaves_most_of_a_core_to_the_processor(
    path: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = Picture.sessions

    def costly_list(picture: Picture, **asked: object) -> object:
        burn()
        return listed(picture, **asked)  # type: ignore[arg-type]

    def costly_text(_: str) -> tuple[bytes, str]:
        burn()
        return b"", "text/plain"

    monkeypatch.setattr(Picture, "sessions", costly_list)
    async with window(folder=folder, render=costly_text) as seen:
        began = time.monotonic()
        answers = await asyncio.gather(*(seen.get(path) for _ in range(6)))
        assert time.monotonic() - began >= 5 * COST_S * PAUSES
        assert [answer.status for answer in answers] == [200] * 6
        assert (await seen.get("/health/live")).status == 200
