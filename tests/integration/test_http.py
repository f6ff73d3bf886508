"""The HTTP surface of real processes on a real Kafka: two instances of one application, each with its own address."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from processor.backends.embedded import EmbeddedKafka
from processor.backends.embedded.ports import free_ports
from processor.config import Settings
from tests.faults.health.command import Command, command
from tests.faults.stage import stage
from tests.integration.command import CLUSTER, expect_refusal, run_command

SECRET = "correct horse battery staple"
NAMES = ("one", "two")
RATE = 300.0
WAIT_S = 60.0  # on a busy machine


def own_address(settings: Settings) -> Settings:
    """The same with a port of its own, which the other instances are told."""
    [port] = free_ports(1)
    http = msgspec.structs.replace(settings.http, port=port, advertised_url=f"http://127.0.0.1:{port}")
    return msgspec.structs.replace(settings, http=http)


class Caller:
    """Asks with the token."""

    def __init__(self, client: aiohttp.ClientSession) -> None:
        self._client = client

    async def get(self, run: Command, path: str) -> tuple[int, Any, Mapping[str, str]]:
        async with self._client.get(run.url + path, headers={"Authorization": f"Bearer {SECRET}"}) as reply:
            return reply.status, msgspec.json.decode(await reply.read()), reply.headers

    async def sessions_of(self, run: Command) -> list[str]:
        """Those that this instance has and has told of, once it has some."""
        async with asyncio.timeout(WAIT_S):
            while True:
                status, listed, _ = await self.get(run, "/api/sessions?order=name&limit=500")
                assert status == 200
                if listed["sessions"]:
                    return [line["session_id"] for line in listed["sessions"]]
                await asyncio.sleep(0.05)


@pytest.mark.timeout(180)
async def test_a_session_is_found_from_every_instance_and_fetched_from_the_one_that_has_it(
    kafka: EmbeddedKafka, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text(SECRET)
    changed = {
        "http.token_file": str(tmp_path / "token"),
        "streaming.interval_steps": 1,
        # Whoever stalls for a moment keeps its partition: the test asks its owner several times.
        "engine.session_timeout_ms": 30_000,
        "engine.transaction_timeout_ms": 30_000,
    }
    async with AsyncExitStack() as stack:
        scenario = await stack.enter_async_context(
            stage(kafka.bootstrap_servers, tmp_path, seed=601, partitions=2, settings=changed)
        )
        caller = Caller(await stack.enter_async_context(aiohttp.ClientSession()))
        runs = []
        for name in NAMES:
            (folder := tmp_path / name).mkdir()
            settings = own_address(scenario.settings)
            runs.append(await stack.enter_async_context(command(settings, folder, "--instance", name)))
        one, two = runs
        assert one.url == f"http://127.0.0.1:{one.url.rpartition(':')[2]}"

        async def shared() -> bool:
            views = [(await caller.get(run, "/api/overview"))[1]["instances"][0] for run in runs]
            return [len(view["partitions"]) for view in views] == [1, 1]

        async with asyncio.timeout(WAIT_S):
            while not await shared():  # noqa: ASYNC110 -- nobody tells when it is
                await asyncio.sleep(0.05)
        scenario.load.begin(RATE)

        there = (await caller.sessions_of(two))[0]
        status, own, _ = await caller.get(two, f"/api/sessions/{there}")
        assert (status, own["session_id"], own["instance"]) == (200, there, "two")
        assert own["step"] > 0

        status, named, _ = await caller.get(one, f"/api/sessions/{there}")
        assert (status, named["error"]["code"]) == (421, "owned_elsewhere")
        assert named["error"]["owner"] == {"instance": "two", "url": two.url}
        assert named["error"]["partition"] == own["partition"]

        status, fetched, headers = await caller.get(one, f"/api/sessions/{there}?forward=1")
        assert (status, fetched["instance"]) == (200, "two")
        assert fetched["offset"] >= own["offset"]
        assert headers["x-creative-feedback-owner"] == "two"

        status, judged, _ = await caller.get(two, f"/health/creativity?session={there}")
        assert (status, judged["mode"] in ("stable", "exploring", "recovering", "emergency")) == (200, True)

        async with aiohttp.ClientSession() as stranger:
            for path, expected in (("/", 200), ("/health/live", 200), ("/api/overview", 401), ("/metrics", 401)):
                async with stranger.get(one.url + path) as reply:
                    assert reply.status == expected, path


async def test_a_taken_port_ends_the_command_with_the_remedy(kafka: EmbeddedKafka, tmp_path: Path) -> None:

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        async with stage(kafka.bootstrap_servers, tmp_path, seed=602, settings={"http.port": port}) as scenario:
            ended = await run_command(scenario.settings)
    expect_refusal(ended, CLUSTER, f"http.port = {port}", "another program listens there", "set another")
