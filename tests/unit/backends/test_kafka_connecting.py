"""A silent broker costs time to connect, and never the connection: the others answer."""

from __future__ import annotations

import asyncio
import random
from types import SimpleNamespace
from typing import Any

import pytest

from processor.backends.kafka.connection import Connection
from processor.backends.kafka.secured import SecuredClient
from processor.config import KafkaConfig
from tests.simulation.stage import in_virtual_time

SILENT = 1
BROKERS = [(node, "127.0.0.1", node, None) for node in (SILENT, 2, 3)]


class Answering:
    """A broker that says that there are three, and one topic."""

    usable = True
    stage = "asking"

    async def send(self, request: Any) -> Any:
        topics = [(0, "t", False, [(0, 0, 2, [1, 2, 3], [1, 2, 3])])]
        return SimpleNamespace(API_VERSION=1, brokers=BROKERS, controller_id=2, topics=topics)

    def close(self, reason: object = None) -> asyncio.Future[None]:
        closed = asyncio.get_running_loop().create_future()
        closed.set_result(None)
        return closed


@pytest.mark.parametrize("servers", ["127.0.0.1:2", "127.0.0.1:1,127.0.0.1:2,127.0.0.1:3"])
@in_virtual_time
async def test_a_silent_broker_asked_first_each_time_ends_no_attempt_to_connect(
    monkeypatch: pytest.MonkeyPatch, servers: str
) -> None:
    async def opened(client: SecuredClient, host: str, port: int, on_close: object = None) -> Answering:
        if port == SILENT:
            await asyncio.sleep(client._dial_s)
            raise TimeoutError
        return Answering()

    monkeypatch.setattr(SecuredClient, "_opened", opened)
    monkeypatch.setattr(random, "shuffle", lambda found: found.sort())
    connection = Connection(KafkaConfig(bootstrap_servers=servers, connect_timeout_ms=1500), "test")
    await connection.open(frozenset({"t"}))
    try:
        assert connection.leader("t", 0) == 2
    finally:
        await connection.close()
