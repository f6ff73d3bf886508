"""The assignor: ownership travels in the join request, and nonsense in it is nobody's."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from aiokafka.coordinator.protocol import ConsumerProtocol, ConsumerProtocolMemberMetadata

from processor.backends.kafka.group import StickyAssignor
from processor.engine.assignment import Owned

CLUSTER: Any = SimpleNamespace(partitions_for_topic=lambda topic: {0, 1, 2, 3})


def member(owned: Owned) -> ConsumerProtocolMemberMetadata:
    """As the leader gets it: encoded and decoded."""
    assignor = StickyAssignor()
    assignor.owned = owned
    return ConsumerProtocol.METADATA.decode(assignor.metadata(["tori.state"]).encode())


def assigned(members: dict[str, ConsumerProtocolMemberMetadata]) -> dict[str, list[int]]:
    result = StickyAssignor().assign(CLUSTER, members)
    return {name: [tp.partition for tp in assignment.partitions()] for name, assignment in result.items()}


def test_members_keep_what_they_say_they_own() -> None:
    members = {"a": member(Owned(3, frozenset({1, 2}))), "b": member(Owned(3, frozenset({0, 3})))}
    assert assigned(members) == {"a": [1, 2], "b": [0, 3]}


def test_a_newcomer_gets_its_share() -> None:
    members = {"b": member(Owned(-1, frozenset())), "a": member(Owned(3, frozenset({0, 1, 2, 3})))}
    assert assigned(members) == {"a": [0, 1], "b": [2, 3]}


@pytest.mark.parametrize("data", [b"", b"\xff", b"{}", msgspec.msgpack.encode(["x", 1])])
def test_user_data_of_something_else_claims_nothing(data: bytes) -> None:
    stranger = ConsumerProtocolMemberMetadata(0, ["tori.state"], data)
    members = {"a": member(Owned(1, frozenset({3}))), "b": stranger}
    result = assigned(members)
    assert 3 in result["a"]
    assert [len(partitions) for partitions in result.values()] == [2, 2]


def test_a_member_without_the_topic_gets_nothing() -> None:
    members = {"a": member(Owned(-1, frozenset())), "b": ConsumerProtocolMemberMetadata(0, [], b"")}
    assert assigned(members) == {"a": [0, 1, 2, 3], "b": []}


def test_a_topic_without_partitions_is_no_error() -> None:
    cluster: Any = SimpleNamespace(partitions_for_topic=lambda topic: None)
    result = StickyAssignor().assign(cluster, {"a": member(Owned(-1, frozenset()))})
    assert result["a"].partitions() == []
