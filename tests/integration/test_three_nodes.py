"""Exactly once on three nodes: what the everyday slice of the campaign, where single nodes die, freeze and hand over,
does not have."""

from __future__ import annotations

import asyncio
import socket
import time
from pathlib import Path

import pytest
from aiokafka.client import ConnectionGroup
from aiokafka.structs import BrokerMetadata

from processor.backends.embedded import EmbeddedKafka
from processor.backends.embedded.ports import free_ports
from processor.backends.kafka.connection import Connection
from processor.backends.kafka.secured import SecuredClient
from processor.config import load_settings
from tests.faults.campaign import brokers
from tests.faults.campaign.brokers import scene
from tests.faults.campaign.report import Tally

pytestmark = pytest.mark.timeout(300)

WITHOUT_QUORUM_S = 2.0


async def test_a_restart_of_all_nodes_in_turn_leaves_no_trace(three_nodes: EmbeddedKafka, tmp_path: Path) -> None:
    tally = Tally()
    async with scene(three_nodes, tmp_path, 104, tally) as made:
        await brokers.restart_in_turn(made)
        await made.stage.proven()
    assert tally.count(brokers.KIND) == 3


async def test_without_two_of_three_nodes_nothing_goes_on_and_nothing_is_lost(
    three_nodes: EmbeddedKafka, tmp_path: Path
) -> None:
    async with scene(three_nodes, tmp_path, 106, Tally()) as made:
        await asyncio.gather(made.nodes.kill(1), made.nodes.kill(2))
        killed_s = time.monotonic()
        written = asyncio.create_task(made.stage.load.send_raw(0, b"session-00000", b"{"))
        await asyncio.wait({written}, timeout=WITHOUT_QUORUM_S)
        made.stage.expect(not written.done(), "one copy was enough for an acknowledgement")
        restarted_s = time.monotonic()

        await made.nodes.restart(1, 2)

        await written
        await made.progress()
        # By the workers' clocks, which are ours: what was answered before the kills may be journaled long after them.
        alone = [
            line
            for instance in made.instances
            for line in instance.lines("committed")
            if killed_s < line["at_s"] - line["seconds"] and line["at_s"] < restarted_s
        ]
        made.stage.expect(alone == [], f"committed with one copy: {alone}")
        await made.stage.proven()


async def test_a_client_whose_known_brokers_are_all_gone_asks_the_bootstrap_servers_again(
    three_nodes: EmbeddedKafka,
) -> None:
    """Learned while two nodes were away, the third may be the only one it knows, and the next to go."""
    settings = load_settings(None, {}, {"kafka.bootstrap_servers": three_nodes.bootstrap_servers})
    connection = Connection(settings.kafka, "forgotten")
    await connection.open()
    try:
        [port] = free_ports(1)
        connection.client.cluster._brokers = {9: BrokerMetadata(9, "127.0.0.1", port, None)}
        await connection.refresh()
        assert {broker.nodeId for broker in connection.client.cluster.brokers()} == {1, 2, 3}
        assert await connection.coordinator("group", "any") in (1, 2, 3)
    finally:
        await connection.close()


async def test_a_silent_broker_leaves_time_for_the_others(
    three_nodes: EmbeddedKafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Frozen, or behind a network that is gone: it takes connections or seems to, and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = int(silent.getsockname()[1])
        hosts = [("127.0.0.1", port, socket.AF_INET), ("127.0.0.1", three_nodes.nodes[0].port, socket.AF_INET)]
        monkeypatch.setattr(SecuredClient, "hosts", property(lambda _: hosts))
        settings = load_settings(None, {}, {"kafka.connect_timeout_ms": 8_000, "kafka.request_timeout_ms": 60_000})
        connection = Connection(settings.kafka, "patient")
        await connection.open()
        try:
            connection.client.cluster._brokers[9] = BrokerMetadata(9, "127.0.0.1", port, None)
            waiting = asyncio.create_task(connection.client.ready(9))
            assert await connection.client.ready(1, group=ConnectionGroup.COORDINATION)
            assert not waiting.done(), "the silent broker was not silent"
            assert not await waiting
        finally:
            await connection.close()
