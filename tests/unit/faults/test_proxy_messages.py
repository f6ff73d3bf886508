"""What the proxy reads in frames, and what it puts there."""

from __future__ import annotations

from typing import Any

import pytest
from aiokafka.protocol.coordination import FindCoordinatorRequest_v1, FindCoordinatorResponse_v1
from aiokafka.protocol.group import HeartbeatRequest_v1, JoinGroupRequest_v2
from aiokafka.protocol.metadata import MetadataRequest_v5, MetadataResponse_v5
from aiokafka.protocol.produce import ProduceRequest_v7
from aiokafka.protocol.transaction import AddOffsetsToTxnRequest_v0, InitProducerIdRequest_v0

from processor.backends.kafka.protocol import MetadataRequestV8, MetadataResponseV8, TxnOffsetCommitRequestV3
from tests.faults.proxy.frames import correlation_id_of, parse_request, pieces
from tests.faults.proxy.messages import (
    decode_reply,
    decode_request,
    encode_reply,
    error_codes,
    refusal,
    with_addresses,
)
from tests.unit.faults.frames import begin, end, framed

OFFSETS = TxnOffsetCommitRequestV3(
    "app-one", "app", 7, 3, 5, "member", None, [("state", [(0, 12, -1, "", {}), (2, 40, -1, "", {})], {})], {}
)
PRODUCE = ProduceRequest_v7("app-one", -1, 1000, [("actions", [(0, b"batch"), (3, b"batch")]), ("metrics", [(0, b"")])])


def moved(address: tuple[str, int]) -> tuple[str, int]:
    return address[0], address[1] + 1


@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 40, 5_000])
def test_pieces_are_the_whole(size: int) -> None:
    whole = bytes(range(256)) * (size // 256 + 1)
    parts = list(pieces(whole[:size]))
    assert b"".join(parts) == whole[:size]
    assert all(len(part) == 1 for part in parts[:16])
    assert len(parts) <= 16 + 16


@pytest.mark.parametrize("body", [end(4), OFFSETS], ids=["plain", "flexible"])
def test_a_request_is_read_as_it_was_written(body: Any) -> None:
    request = parse_request(framed(body, 77, "app-one-producer"))
    assert (request.api_key, request.version) == (body.API_KEY, body.API_VERSION)
    assert (request.correlation_id, request.client_id) == (77, "app-one-producer")
    assert decode_request(request) == body


def test_an_api_without_a_name_has_its_number() -> None:
    assert parse_request(b"\x00\x4b\x00\x00\x00\x00\x00\x01\xff\xff").api == "75"


def metadata_v5() -> MetadataResponse_v5:
    return MetadataResponse_v5(0, [(1, "h", 9092, None), (2, "h", 9192, "r")], "cluster", 1, [])


def metadata_v8() -> MetadataResponseV8:
    return MetadataResponseV8(0, [(1, "h", 9092, None), (2, "h", 9192, "r")], "cluster", 1, [], 0)


@pytest.mark.parametrize(
    ("body", "reply"),
    [(MetadataRequest_v5([], False), metadata_v5()), (MetadataRequestV8([], False, False, True), metadata_v8())],
    ids=["v5", "v8"],
)
def test_every_broker_in_metadata_is_behind_the_proxy(body: Any, reply: Any) -> None:
    request = parse_request(framed(body, 9))
    frame = with_addresses(request, encode_reply(request, reply), moved)
    assert correlation_id_of(frame) == 9
    changed = decode_reply(request, frame)
    assert changed.brokers == [(1, "h", 9093, None), (2, "h", 9193, "r")]
    assert (changed.cluster_id, changed.controller_id) == ("cluster", 1)


@pytest.mark.parametrize(("code", "port"), [(0, 9093), (15, -1)])
def test_a_coordinator_is_behind_the_proxy_where_there_is_one(code: int, port: int) -> None:
    request = parse_request(framed(FindCoordinatorRequest_v1("app", 1)))
    found = FindCoordinatorResponse_v1(0, code, None, 1, "h", 9092 if code == 0 else -1)
    assert decode_reply(request, with_addresses(request, encode_reply(request, found), moved)).port == port


def test_other_replies_pass_untouched() -> None:
    request = parse_request(framed(end()))
    assert with_addresses(request, b"anything", moved) == b"anything"


@pytest.mark.parametrize(
    "body",
    [
        end(),
        begin(),
        OFFSETS,
        PRODUCE,
        AddOffsetsToTxnRequest_v0("app-one", 7, 0, "app"),
        InitProducerIdRequest_v0("app-one", 1000),
        HeartbeatRequest_v1("app", 3, "member"),
        JoinGroupRequest_v2("app", 1000, 1000, "", "consumer", []),
    ],
    ids=lambda body: type(body).__name__,
)
def test_a_refusal_has_one_error_code_for_all_that_was_asked(body: Any) -> None:
    request = parse_request(framed(body, 5))
    frame = refusal(request, 29)
    assert correlation_id_of(frame) == 5
    assert error_codes(decode_reply(request, frame)) == {29}


def test_a_refusal_names_every_partition() -> None:
    request = parse_request(framed(PRODUCE))
    reply = decode_reply(request, refusal(request, 29))
    named = [(topic, [part[0] for part in parts]) for topic, parts in reply.topics]
    assert named == [("actions", [0, 3]), ("metrics", [0])]
    request = parse_request(framed(OFFSETS))
    reply = decode_reply(request, refusal(request, 22))
    assert reply.topics == [("state", [(0, 22, {}), (2, 22, {})], {})]
