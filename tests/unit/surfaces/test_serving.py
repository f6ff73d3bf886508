"""The HTTP surface put together as `run` and `demo` serve it."""

from __future__ import annotations

from typing import cast

import aiohttp

from processor.config import settings_from
from processor.surfaces.ports import Kafka
from processor.surfaces.serving import served
from processor.surfaces.watch.beat import Beat, SessionAnswer
from processor.surfaces.watch.picture import Picture
from tests.unit.surfaces.cli.commands import NoKafka


class NoSessions:
    async def look_up(self, session_id: str) -> SessionAnswer:
        raise AssertionError(f"looked up {session_id}")


async def test_a_scrape_tells_of_beats_and_of_the_streams_subscribers() -> None:
    settings = settings_from({"http": {"port": 0}})
    picture = Picture(settings)
    async with (
        served(settings, picture, NoSessions(), cast(Kafka, NoKafka())) as url,
        aiohttp.ClientSession() as client,
    ):
        picture.hear(Beat("w-0", 1, 2.0, 1.0, "working", tally={"events": 3}))
        async with client.ws_connect(f"{url}/ws"), client.get(f"{url}/metrics") as answer:
            lines = (await answer.text()).splitlines()
    assert "creative_feedback_events_total 3.0" in lines
    assert "creative_feedback_stream_subscribers 1.0" in lines
