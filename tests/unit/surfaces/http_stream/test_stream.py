"""What a client of the stream gets."""

from __future__ import annotations

import asyncio
import json

import msgspec
import pytest
from aiohttp import WSMsgType

from tests.unit.surfaces.http_stream.stage import beat, frame_of, metric, settings_with, staged, transition

UPGRADE = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


async def test_without_a_word_every_frame_is_one_metric() -> None:
    async with staged() as stage:
        client = await stage.connect()
        await stage.tell(metric("s1", timestamp="2026-01-01T00:00:00Z"), metric("s2"))
        first, second = await frame_of(client, "creativity_update"), await frame_of(client, "creativity_update")
        assert first == {
            "type": "creativity_update",
            "timestamp": "2026-01-01T00:00:00Z",
            "data": msgspec.json.decode(metric("s1", timestamp="2026-01-01T00:00:00Z")),
        }
        assert second["data"]["session_id"] == "s2"
        assert second["timestamp"].endswith("Z")  # of now: the metric has none


async def test_the_seeds_path_is_the_same_stream() -> None:
    async with staged() as stage:
        client = await stage.connect(path="/creativity")
        await stage.tell(metric("s1"))
        assert (await frame_of(client, "creativity_update"))["data"]["session_id"] == "s1"


async def test_raw_metrics_come_as_they_are_on_the_topic() -> None:
    async with staged() as stage:
        client = await stage.connect("?raw=1")
        await stage.tell(metric("s1", 3))
        assert (await client.receive_str()).encode() == metric("s1", 3)


async def test_everything_is_sampled_the_newest_of_each_session() -> None:
    async with staged() as stage:
        single, batch = await stage.connect(), await stage.connect("?batch=1")
        await stage.tell(*(metric(f"s{i % 400}", i) for i in range(2_000)))
        seen = [(await frame_of(single, "creativity_update"))["data"] for _ in range(5)]
        assert [line["stream_sequence"] for line in seen] == [1995, 1996, 1997, 1998, 1999]
        updates = await frame_of(batch, "creativity_updates")
        assert [line["stream_sequence"] for line in updates["updates"]] == list(range(1999, 1749, -1))
        assert updates["left_out"] == 1_750
        assert stage.stream.counts.left_out == 1_995 + 1_750


async def test_a_named_session_comes_whole() -> None:
    async with staged() as stage:
        single, batch = await stage.connect("?session=s1&session=s2"), await stage.connect("?session=s1&batch=1")
        await stage.tell(*(metric(f"s{i % 4}", i) for i in range(1_200)))
        seen = [(await frame_of(single, "creativity_update"))["data"]["stream_sequence"] for _ in range(600)]
        assert seen == [i for i in range(1_200) if i % 4 in (1, 2)]
        updates = [await frame_of(batch, "creativity_updates") for _ in range(2)]
        assert [len(update["updates"]) for update in updates] == [250, 50]
        assert [update["left_out"] for update in updates] == [0, 0]
        assert {line["session_id"] for update in updates for line in update["updates"]} == {"s1"}


async def test_a_named_session_comes_in_order_out_of_a_crowd() -> None:
    async with staged() as stage:
        client = await stage.connect("?session=s1&raw=1")
        stage.picture.hear(beat([metric(f"s{i % 2}", i) for i in range(900)]))
        await stage.stream.fanout.round()
        seen = [msgspec.json.decode(await client.receive_str())["stream_sequence"] for _ in range(450)]
        assert seen == list(range(1, 900, 2))


async def test_what_a_named_session_has_too_much_of_is_counted() -> None:
    async with staged() as stage:
        client = await stage.connect("?session=s1&batch=1")
        await stage.tell(*(metric("s1", i) for i in range(3_000)))
        got = left_out = 0
        while got + left_out < 3_000:
            update = await frame_of(client, "creativity_updates")
            got += len(update["updates"])
            left_out += update["left_out"]
            last = update["updates"][-1]["stream_sequence"]
        assert (got + left_out, last) == (3_000, 2_999)
        assert left_out > 1_000


async def test_a_batch_is_bounded_in_bytes_too() -> None:
    async with staged() as stage:
        client = await stage.connect("?batch=1")
        large = [
            metric(f"s{i}", i, performance_history=[{"novelty": 0.5, "aesthetic_score": 0.5}] * 1_000) for i in range(9)
        ]
        await stage.tell(*large)
        update = await frame_of(client, "creativity_updates")
        assert 1 <= len(update["updates"]) < 9
        assert len(update["updates"]) + update["left_out"] == 9


async def test_the_overview_comes_every_second() -> None:
    async with staged() as stage:
        client = await stage.connect("?overview=1")
        first, second = await frame_of(client, "overview"), await frame_of(client, "overview")
        assert first["data"]["application"] == "creative-feedback"
        assert first["data"]["now"] < second["data"]["now"]


async def test_what_happens_is_told_in_order_and_what_is_too_much_is_counted() -> None:
    async with staged() as stage:
        client = await stage.connect("?happened=1")
        await stage.tell(happened=[transition(f"s{i}") for i in range(130)])
        told = await frame_of(client, "happened")
        assert [entry["session"] for entry in told["data"]] == [f"s{i}" for i in range(30, 130)]
        assert told["left_out"] == 30
        assert (
            told["data"][0].items()
            >= {
                "kind": "creative_mode_transition",
                "from_mode": "stable",
                "to_mode": "recovering",
                "step": 7,
                "number": 30,
            }.items()
        )


async def test_a_subscription_replaces_the_one_before_and_can_be_ended() -> None:
    async with staged() as stage:
        client = await stage.connect()
        await client.send_json({"type": "subscribe", "sessions": ["s1"], "batch": True})
        await client.send_json({"type": "ping"})
        await frame_of(client, "pong")
        await stage.tell(metric("s0"), metric("s1"))
        updates = await frame_of(client, "creativity_updates")
        assert [line["session_id"] for line in updates["updates"]] == ["s1"]
        await client.send_json({"type": "unsubscribe"})
        await client.send_json({"type": "ping"})
        await frame_of(client, "pong")
        await stage.tell(metric("s1"))
        await client.send_json({"type": "subscribe", "sessions": [], "happened": True})
        await client.send_json({"type": "ping"})
        await frame_of(client, "pong")
        await stage.tell(metric("s1"), happened=[transition("s1")])
        assert msgspec.json.decode(await client.receive_str())["type"] == "happened"
        assert stage.stream.fanout.feeds == 1


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ('{"type":"subscribe","sessions":"s1"}', "sessions"),
        ('{"type":"subscribe","session":"s1"}', "session"),
        ('{"type":"subscribe","sessions":[""]}', "sessions"),
        (json.dumps({"type": "subscribe", "sessions": ["s"] * 101}), "sessions"),
        ('{"type":"overthrow"}', "type"),
        ("[]", "object"),
    ],
)
async def test_a_message_that_cannot_be_obeyed_is_answered_and_changes_nothing(message: str, told: str) -> None:
    async with staged() as stage:
        client = await stage.connect()
        await client.send_str(message)
        problem = await frame_of(client, "error")
        assert problem["code"] == "bad_message"
        assert told in problem["message"]
        await stage.tell(metric("s1"))
        await frame_of(client, "creativity_update")


async def test_raw_metrics_cannot_be_batched() -> None:
    async with staged() as stage:
        assert (await stage.get("?raw=1&batch=1"))[0] == 400
        client = await stage.connect("?raw=1")
        await client.send_json({"type": "subscribe", "batch": True})
        assert "raw" in (await frame_of(client, "error"))["message"]


@pytest.mark.parametrize(
    ("query", "headers", "status", "code"),
    [
        ("", {}, 426, "upgrade_required"),
        ("?batch=yes", {}, 400, "bad_request"),
        ("?session=", {}, 400, "bad_request"),
        ("?" + "&".join(["session=s"] * 101), {}, 400, "bad_request"),
        ("", {"Sec-WebSocket-Protocol": "bearer.c2VjcmV0"}, 400, "bad_request"),
    ],
)
async def test_what_is_no_subscription_is_refused_before_the_upgrade(
    query: str, headers: dict[str, str], status: int, code: str
) -> None:
    async with staged() as stage:
        got, answer = await stage.get(query, headers)
        assert (got, answer["error"]["code"]) == (status, code)


async def test_the_subprotocol_is_accepted_beside_a_token() -> None:
    async with staged() as stage:
        client = await stage.connect(protocols=("bearer.c2VjcmV0", "creative-feedback"))
        assert client.protocol == "creative-feedback"


async def test_nothing_is_compressed() -> None:
    async with staged() as stage:
        client = await stage.connect(compress=15)
        assert client.compress == 0


async def test_one_too_many_is_refused_before_the_upgrade_and_let_in_later() -> None:
    async with staged(settings_with(max_subscribers=2)) as stage:
        first, _ = await stage.connect(), await stage.connect()
        status, answer = await stage.get("", UPGRADE)
        assert (status, answer["error"]["code"], stage.stream.counts.refused) == (503, "busy", 1)
        await first.close()
        await stage.until_subscribers(1)
        await stage.connect()


async def test_leaving_takes_everything_along() -> None:
    async with staged() as stage:
        client = await stage.connect("?session=s1&happened=1")
        assert (stage.stream.fanout.feeds, stage.stream.patience.clients) == (1, 1)
        await client.close()
        assert client.close_code == 1000
        await stage.until_subscribers(0)
        assert (stage.stream.fanout.feeds, stage.stream.patience.clients) == (0, 0)
        vanished = await stage.raw("?session=s2")
        vanished.close()
        await stage.until_subscribers(0)
        assert (stage.stream.fanout.feeds, stage.stream.patience.clients) == (0, 0)


async def test_when_the_server_goes_away_everybody_is_told_so() -> None:
    async with staged() as stage:
        clients = [await stage.connect(), await stage.connect("?batch=1")]
        await clients[1].send_json({"type": "unsubscribe"})
        silent = await stage.raw()
        going = asyncio.create_task(stage.stream.drain())
        for client in clients:
            message = await client.receive()
            assert (message.type, client.close_code) == (WSMsgType.CLOSE, 1001)
        await going
        await stage.until_subscribers(0)
        assert await silent.closed_with() == 1001


async def test_who_comes_while_the_server_goes_away_is_refused() -> None:
    async with staged() as stage:
        await stage.stream.drain()
        status, answer = await stage.get("", UPGRADE)
        assert (status, answer["error"]["code"]) == (503, "busy")
