"""The dashboard's files: those there are, as what they are, and fresh."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from processor.surfaces.http.assets import read_assets
from processor.surfaces.serving import DASHBOARD
from tests.unit.surfaces.http.rig import PAGE, window


async def test_files_are_served_as_what_they_are(folder: Path) -> None:
    async with window(folder=folder) as seen:
        page = await seen.get("/")
        assert (page.body.decode(), page.headers["content-type"]) == (PAGE, "text/html; charset=utf-8")
        assert (await seen.get("/index.html")).body == page.body
        module = await seen.get("/parts/chart.js?v=1")
        assert (module.status, module.headers["content-type"]) == (200, "text/javascript; charset=utf-8")


async def test_a_browser_asks_each_time_and_gets_the_file_only_once(folder: Path) -> None:
    async with window(folder=folder) as seen:
        first = await seen.get("/")
        assert first.headers["cache-control"] == "no-cache"
        tag = first.headers["etag"]
        for known in (tag, f'"other", {tag}', f"W/{tag}"):
            again = await seen.get("/", If_None_Match=known)
            assert (again.status, again.body, again.headers["etag"]) == (304, b"", tag)
        assert (await seen.get("/", If_None_Match='"other"')).status == 200


def test_only_what_a_page_needs_is_read(folder: Path) -> None:
    assert set(read_assets(folder)) == {"/", "/index.html", "/parts/chart.js"}


def test_the_dashboard_is_there() -> None:
    assets = read_assets(files(DASHBOARD))
    assert assets["/"].content_type.startswith("text/html")
    assert not any(path.endswith(".py") for path in assets)
