"""What becomes of a frame under a rule: whom it reaches, how often, and what the client sees."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiokafka.protocol.transaction import EndTxnRequest_v0

from tests.faults.proxy import Action, Direction, KafkaProxy
from tests.faults.proxy.frames import parse_request
from tests.faults.proxy.messages import decode_reply, error_codes
from tests.unit.faults.frames import Broker, Client, begin, broker, client, end, framed

Rig = tuple[Broker, KafkaProxy, Client]


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with broker() as behind, KafkaProxy(behind.address) as proxy, client(proxy.bootstrap_servers) as one:
        yield behind, proxy, one


def heard(behind: Broker) -> list[tuple[str, int]]:
    return [(request.api, request.correlation_id) for _, request in behind.heard]


async def test_without_rules_everything_passes_in_order(rig: Rig) -> None:
    behind, _, one = rig
    for number in range(1, 20):
        await one.send(begin(), number)
    assert [await one.reply() for _ in range(1, 20)] == list(range(1, 20))
    assert [number for _, number in heard(behind)] == list(range(1, 20))


async def test_a_rule_takes_the_nth_fitting_frame_and_as_many_as_it_may(rig: Rig) -> None:
    behind, proxy, one = rig
    rule = proxy.rule("one", "AddPartitionsToTxn", "request", "answer", nth=2, times=2, error_code=51)
    for number in range(1, 6):
        await one.send(begin(), number)
    await one.send(end(), 6)
    assert [await one.reply() for _ in range(6)] == [1, 2, 3, 4, 5, 6]
    assert [number for _, number in heard(behind)] == [1, 4, 5, 6]
    assert rule.fired == 2


@pytest.mark.parametrize(
    ("worker", "role", "fits"),
    [
        ("one", None, True),
        ("one", "producer", True),
        (None, "producer", True),
        (None, None, True),
        ("two", None, False),
        ("one", "group", False),
        ("ne", None, False),
    ],
)
async def test_a_rule_is_for_one_worker_and_one_of_its_clients(
    rig: Rig, worker: str | None, role: str | None, fits: bool
) -> None:
    _, proxy, one = rig
    rule = proxy.rule(worker, "EndTxn", "request", "pass", role=role)
    await one.send(end())
    await one.reply()
    assert rule.fired == fits


async def test_a_lost_request_and_what_follows_it_reach_nobody(rig: Rig) -> None:
    behind, proxy, one = rig
    rule = proxy.rule("one", "EndTxn", "request", "drop")
    await one.send(begin(), 1)
    await one.send(end(), 2)
    await one.send(begin(1), 3)
    await rule.happened()
    assert await one.reply() == 1
    one.leave()
    async with client(proxy.bootstrap_servers) as again:
        await again.send(begin(2), 4)
        assert await again.reply() == 4
    assert [number for _, number in heard(behind)] == [1, 4]
    assert rule.carried == 0


async def test_a_lost_reply_is_no_lost_request(rig: Rig) -> None:
    behind, proxy, one = rig
    rule = proxy.rule("one", "EndTxn", "reply", "drop")
    await one.send(end(), 1)
    await rule.happened()
    assert heard(behind) == [("EndTxn", 1)]
    assert rule.carried == 0


@pytest.mark.parametrize(
    ("direction", "action", "reaches", "replied"),
    [
        ("request", "cut before", 0, None),
        ("request", "cut after", 1, None),
        ("reply", "cut before", 1, None),
        ("reply", "cut after", 1, 1),
    ],
)
async def test_a_cut_closes_the_connection_before_or_after(
    rig: Rig, direction: Direction, action: Action, reaches: int, replied: int | None
) -> None:
    behind, proxy, one = rig
    proxy.rule("one", "EndTxn", direction, action)
    assert await one.asks(end(), 1) == replied
    assert await one.asks(begin(1), 2) is None
    assert len(await behind.hears(reaches)) == reaches


async def test_a_broker_s_answer_is_known_though_the_client_was_cut_off(rig: Rig) -> None:
    _, proxy, one = rig
    rule = proxy.rule("one", "EndTxn", "request", "cut after")
    await one.send(end(), 1)
    assert (await rule.answered()).error_code == 0


async def test_a_delayed_frame_comes_later_and_holds_up_what_follows(rig: Rig) -> None:
    _, proxy, one = rig
    loop = asyncio.get_running_loop()
    rule = proxy.rule("one", "AddPartitionsToTxn", "request", "delay", seconds=0.2)
    began = loop.time()
    await one.send(begin(), 1)
    await one.send(end(), 2)
    assert [await one.reply(), await one.reply()] == [1, 2]
    assert loop.time() - began >= 0.2
    assert rule.carried == 1


async def test_a_held_frame_waits_for_its_release(rig: Rig) -> None:
    behind, proxy, one = rig
    rule = proxy.rule("one", "EndTxn", "request", "hold")
    await one.send(begin(), 1)
    await one.send(end(), 2)
    await rule.happened()
    assert await one.reply() == 1
    assert len(behind.heard) == 1
    rule.release()
    assert await one.reply() == 2


async def test_a_late_request_arrives_in_the_next_transaction_though_its_client_is_gone(rig: Rig) -> None:
    """Before the client of the next transaction hears that it has begun, and over the old connection."""
    behind, proxy, one = rig
    rule = proxy.rule("one", "EndTxn", "request", "release late")
    assert await one.asks(begin(), 1) == 1
    await one.send(end(), 2)
    await rule.happened()
    one.leave()
    async with client(proxy.bootstrap_servers) as again:
        await again.send(begin(1), 3)
        assert await again.reply() == 3
    assert [(number, request.api) for number, request in behind.heard] == [
        (1, "AddPartitionsToTxn"),
        (2, "AddPartitionsToTxn"),
        (1, "EndTxn"),
    ]
    assert (await rule.answered()).error_code == 0


async def test_a_sliced_frame_is_whole_in_the_end(rig: Rig) -> None:
    behind, proxy, one = rig
    proxy.rule(None, None, "request", "slice", times=None)
    proxy.rule(None, None, "reply", "slice", times=None)
    await one.send(begin(), 1)
    await one.send(end(), 2)
    assert [await one.reply(), await one.reply()] == [1, 2]
    assert heard(behind) == [("AddPartitionsToTxn", 1), ("EndTxn", 2)]


async def test_a_doubled_request_has_one_reply(rig: Rig) -> None:
    behind, proxy, one = rig
    proxy.rule("one", "AddPartitionsToTxn", "request", "duplicate")
    await one.send(begin(), 1)
    await one.send(end(), 2)
    assert [await one.reply(), await one.reply()] == [1, 2]
    assert [number for _, number in heard(behind)] == [1, 1, 2]


async def test_a_doubled_reply_comes_twice(rig: Rig) -> None:
    _, proxy, one = rig
    proxy.rule("one", "EndTxn", "reply", "duplicate")
    await one.send(end(), 1)
    assert [await one.reply(), await one.reply()] == [1, 1]


async def test_an_answer_of_our_own_keeps_the_request_from_the_broker(rig: Rig) -> None:
    behind, proxy, one = rig
    proxy.rule("one", "EndTxn", "request", "answer", error_code=53)
    await one.send(begin(), 1)
    await one.send(end(), 2)
    assert await one.reply() == 1
    asked = parse_request(framed(end(), 2))
    frame = await one.frame()
    assert frame is not None
    assert error_codes(decode_reply(asked, frame)) == {53}
    assert heard(behind) == [("AddPartitionsToTxn", 1)]


async def test_a_rule_that_never_fires_is_an_error(rig: Rig) -> None:
    _, proxy, _ = rig
    rule = proxy.rule("one", "EndTxn", "request", "drop")
    with pytest.raises(AssertionError, match="drop EndTxn request of one: never fired"):
        await rule.happened(timeout_s=0.01)


async def test_removed_rules_let_go_of_what_they_hold(rig: Rig) -> None:
    _, proxy, one = rig
    rule = proxy.rule("one", "EndTxn", "request", "hold", times=None)
    await one.send(end(), 1)
    await rule.happened()
    proxy.remove()
    await one.send(begin(1), 2)
    assert [await one.reply(), await one.reply()] == [1, 2]


async def test_an_isolated_broker_is_silent_until_it_rejoins(rig: Rig) -> None:
    behind, proxy, one = rig
    await proxy.isolate(1, "held")
    await one.send(end(), 1)
    async with client(proxy.bootstrap_servers) as another:
        await another.send(end(1), 2)
        proxy.rejoin(1)
        assert [await one.reply(), await another.reply()] == [1, 2]
    assert len(behind.heard) == 2


async def test_a_broker_cut_off_closes_old_connections_and_takes_no_new_ones(rig: Rig) -> None:
    behind, proxy, one = rig
    assert await one.asks(end(), 1) == 1
    await proxy.isolate(1, "cut")
    assert await one.asks(begin(1), 2) is None
    async with client(proxy.bootstrap_servers) as another:
        assert await another.asks(begin(1), 3) is None
    proxy.rejoin(1)
    async with client(proxy.bootstrap_servers) as another:
        assert await another.asks(begin(1), 4) == 4
    assert [number for _, number in heard(behind)] == [1, 4]


async def test_what_fails_inside_the_proxy_is_told_at_its_end() -> None:
    class Newer(EndTxnRequest_v0):
        API_VERSION = 99

    with pytest.raises(AssertionError, match="EndTxn version 99 of app-one-producer is not known"):
        async with broker() as behind, KafkaProxy(behind.address) as proxy, client(proxy.bootstrap_servers) as one:
            assert await one.asks(Newer("app-one", 7, 0, True), 1) is None


async def test_what_a_producer_may_never_send_is_told_at_the_end() -> None:
    with pytest.raises(AssertionError, match=r"EndTxn\(abort\)"):
        async with broker() as behind, KafkaProxy(behind.address) as proxy, client(proxy.bootstrap_servers) as one:
            assert await one.asks(end(commit=False), 1) == 1
