"""Requests of our own, byte by byte against the protocol's description."""

from __future__ import annotations

import io
import struct
from typing import Any

import pytest

from processor.backends.kafka.protocol import (
    FencedTxnOffsetCommit,
    IncrementalAlterConfigsRequestV0,
    LeaveGroupRequestV3,
    LeaveGroupResponseV3,
    OffsetFetchRequestV7,
    OffsetFetchResponseV7,
    SetTopicConfigs,
    StableOffsets,
    StaticLeave,
    TxnOffsetCommitRequestV3,
    TxnOffsetCommitResponseV3,
)
from processor.engine.ports import Token


def compact(text: str | None) -> bytes:
    """COMPACT_STRING: unsigned varint of length + 1, then UTF-8; 0 is null."""
    if text is None:
        return b"\x00"
    data = text.encode()
    assert len(data) < 127
    return bytes([len(data) + 1]) + data


def encoded(token: Token, positions: dict[int, int]) -> bytes:
    request = FencedTxnOffsetCommit("app-i0", "app", 77, 3, token, "tori.state", positions)
    return bytes(request.build(TxnOffsetCommitRequestV3).encode())


@pytest.mark.parametrize("static", [None, "i0"])
def test_the_offsets_carry_generation_member_and_instance_of_the_token(static: str | None) -> None:
    token = Token(5, "member-1", static, frozenset({0, 1}))
    offsets = b"".join(
        struct.pack(">iqi", partition, offset, -1) + compact("") + b"\x00" for partition, offset in [(0, 7), (1, 42)]
    )
    assert encoded(token, {1: 42, 0: 7}) == (
        compact("app-i0")
        + compact("app")
        + struct.pack(">qhi", 77, 3, 5)
        + compact("member-1")
        + compact(static)
        + b"\x02"  # one topic
        + compact("tori.state")
        + b"\x03"  # two partitions
        + offsets
        + b"\x00\x00"  # no tagged fields, of the topic and of the request
    )


@pytest.mark.parametrize("token", [Token(-1, "m", None, frozenset()), Token(3, "", None, frozenset())], ids=repr)
def test_values_that_the_broker_does_not_check_are_never_sent(token: Token) -> None:
    with pytest.raises(AssertionError):
        encoded(token, {0: 1})


def test_it_is_the_third_version_and_flexible() -> None:
    assert (TxnOffsetCommitRequestV3.API_KEY, TxnOffsetCommitRequestV3.API_VERSION) == (28, 3)
    assert TxnOffsetCommitRequestV3.FLEXIBLE_VERSION


def test_the_answer_has_a_code_per_partition() -> None:
    data = (
        struct.pack(">i", 0)
        + b"\x02"
        + compact("tori.state")
        + b"\x03"
        + struct.pack(">ih", 0, 0)
        + b"\x00"
        + struct.pack(">ih", 1, 22)
        + b"\x00\x00\x00"
    )
    reply: Any = TxnOffsetCommitResponseV3.decode(io.BytesIO(data))
    assert [(topic, [(p, code) for p, code, _ in parts]) for topic, parts, _ in reply.topics] == [
        ("tori.state", [(0, 0), (1, 22)])
    ]


def test_setting_topics_names_each_setting_and_leaves_the_others() -> None:
    request = SetTopicConfigs({"a": {"cleanup.policy": "compact"}})
    data = bytes(request.build(IncrementalAlterConfigsRequestV0).encode())

    def text(value: str) -> bytes:
        return struct.pack(">h", len(value)) + value.encode()

    assert data == (
        struct.pack(">ib", 1, 2)
        + text("a")
        + struct.pack(">i", 1)
        + text("cleanup.policy")
        + b"\x00"
        + text("compact")
        + b"\x00"
    )


def test_whoever_leaves_for_others_names_them_without_a_member_id() -> None:
    data = bytes(StaticLeave("app", [("", "pod-2")]).build(LeaveGroupRequestV3).encode())
    assert data == b"\x00\x03app" + struct.pack(">i", 1) + b"\x00\x00" + b"\x00\x05pod-2"
    answer = struct.pack(">ihi", 0, 0, 1) + b"\x00\x00" + b"\x00\x05pod-2" + struct.pack(">h", 25)
    reply: Any = LeaveGroupResponseV3.decode(io.BytesIO(answer))
    assert (reply.error_code, reply.members) == (0, [("", "pod-2", 25)])


def test_the_groups_offsets_are_asked_for_as_they_will_stay() -> None:
    data = bytes(StableOffsets("app", "tori.state", [0, 3]).build(OffsetFetchRequestV7).encode())
    partitions = b"\x03" + struct.pack(">ii", 0, 3)
    assert data == compact("app") + b"\x02" + compact("tori.state") + partitions + b"\x00" + b"\x01" + b"\x00"
    offsets = [
        struct.pack(">iqi", partition, offset, -1) + compact("") + struct.pack(">h", code) + b"\x00"
        for partition, offset, code in [(0, 42, 0), (3, -1, StableOffsets.UNSTABLE)]
    ]
    answer = struct.pack(">i", 0) + b"\x02" + compact("tori.state") + b"\x03" + b"".join(offsets) + b"\x00"
    reply: Any = OffsetFetchResponseV7.decode(io.BytesIO(answer + struct.pack(">h", 0) + b"\x00"))
    [(topic, found, _)] = reply.topics
    assert (reply.error_code, topic) == (0, "tori.state")
    assert [(partition, offset, code) for partition, offset, _, _, code, _ in found] == [(0, 42, 0), (3, -1, 88)]
