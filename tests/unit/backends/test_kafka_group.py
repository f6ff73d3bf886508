"""The assignor: ownership travels in the join request, and nonsense in it is nobody's."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.coordinator.protocol import ConsumerProtocol, ConsumerProtocolMemberMetadata
from aiokafka.errors import GroupAuthorizationFailedError, InvalidSessionTimeoutError, KafkaError

from processor.backends.kafka.group import (
    FencedInstanceId,
    GroupMembership,
    LeavingCoordinator,
    StickyAssignor,
    heartbeat_interval_ms,
)
from processor.backends.kafka.protocol import LeaveGroupRequestV3, StaticLeave
from processor.config import Settings
from processor.engine.assignment import Owned
from processor.errors import Fenced, InstanceIdInUse, Refused, Stuck

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


@pytest.fixture
def membership(monkeypatch: pytest.MonkeyPatch) -> tuple[GroupMembership, Any]:
    """A membership whose coordinator reports what the test puts into ``error``."""
    coordinator = SimpleNamespace(error=None, _coordination_task=SimpleNamespace(done=lambda: False))

    def check_errors() -> None:
        if coordinator.error is not None:
            raise coordinator.error

    coordinator.check_errors = check_errors
    made = object.__new__(GroupMembership)
    monkeypatch.setattr(made, "_coordinator", coordinator, raising=False)
    monkeypatch.setattr(made, "_instance_id", "i7", raising=False)
    monkeypatch.setattr(made, "_connection", SimpleNamespace(kafka=Settings().kafka), raising=False)
    return made, coordinator


@pytest.mark.parametrize(
    ("error", "raised", "says"),
    [
        (GroupAuthorizationFailedError("app"), Refused, "group app"),
        (InvalidSessionTimeoutError(), Refused, r"engine\.session_timeout_ms .* group\.min\.session\.timeout\.ms"),
        (KafkaError("Unexpected exception in heartbeat task: FencedInstanceId()"), InstanceIdInUse, "'i7'"),
        (FencedInstanceId(), InstanceIdInUse, "'i7'"),
        (KafkaError("Unexpected exception in join group"), Fenced, "group coordination"),
    ],
    ids=repr,
)
def test_what_the_coordinator_reports_becomes_what_to_do(
    membership: tuple[GroupMembership, Any], error: Exception, raised: type[Exception], says: str
) -> None:
    made, coordinator = membership
    made.check()
    coordinator.error = error
    with pytest.raises(raised, match=says):
        made.check()


def test_a_coordination_that_ended_ends_the_process(membership: tuple[GroupMembership, Any]) -> None:
    made, coordinator = membership
    coordinator.error = KafkaError("Unexpected error during coordination")
    coordinator._coordination_task.done = lambda: True
    with pytest.raises(Stuck, match="start again"):
        made.check()


@pytest.fixture
def leaving(monkeypatch: pytest.MonkeyPatch) -> tuple[LeavingCoordinator, list[Any]]:
    """A static member of generation 4, and what it says when it closes; the client's own part is "forgotten"."""
    said: list[Any] = []

    async def forget(self: GroupCoordinator) -> None:
        said.append("forgotten")

    async def send(request: StaticLeave) -> Any:
        said.append(request.build(LeaveGroupRequestV3))
        return SimpleNamespace(error_code=0, members=[("member-4", "i7", 0)])

    made = object.__new__(LeavingCoordinator)
    monkeypatch.setattr(GroupCoordinator, "_maybe_leave_group", forget)
    for name, value in {
        "group_id": "app",
        "_group_instance_id": "i7",
        "generation": 4,
        "member_id": "member-4",
        "_send_req": send,
    }.items():
        monkeypatch.setattr(made, name, value, raising=False)
    return made, said


async def test_a_static_member_that_shall_leave_does_so_under_its_own_member_id(
    leaving: tuple[LeavingCoordinator, list[Any]],
) -> None:
    made, said = leaving
    await made._maybe_leave_group()
    assert said == [LeaveGroupRequestV3("app", [("member-4", "i7")]), "forgotten"]


@pytest.mark.parametrize("changed", [{"_group_instance_id": None}, {"generation": -1}], ids=repr)
async def test_who_is_dynamic_or_never_joined_leaves_as_the_client_does(
    leaving: tuple[LeavingCoordinator, list[Any]], changed: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    made, said = leaving
    for name, value in changed.items():
        monkeypatch.setattr(made, name, value)
    await made._maybe_leave_group()
    assert said == ["forgotten"]


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (SimpleNamespace(error_code=16, members=[]), "(16)"),
        (SimpleNamespace(error_code=0, members=[("member-4", "i7", 82)]), "FENCED_INSTANCE_ID (82)"),
        (KafkaError("broken"), "broken"),
    ],
    ids=repr,
)
async def test_a_farewell_that_was_not_heard_is_told_and_ends_nothing(
    leaving: tuple[LeavingCoordinator, list[Any]],
    answer: Any,
    told: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    made, said = leaving

    async def send(request: StaticLeave) -> Any:
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(made, "_send_req", send)
    await made._maybe_leave_group()
    assert said == ["forgotten"]
    assert told in caplog.text
    assert "may wait for i7" in caplog.text


@pytest.mark.parametrize(
    ("session_timeout_ms", "rebalance_timeout_ms", "interval_ms"),
    [(1_500, 3_000, 150), (30_000, 2_000, 200), (10_000, 60_000, 250), (1_800_000, 60_000, 250), (100, 100, 50)],
)
def test_a_rebalance_is_heard_of_long_before_it_ends(
    session_timeout_ms: int, rebalance_timeout_ms: int, interval_ms: int
) -> None:
    engine = msgspec.structs.replace(
        Settings().engine, session_timeout_ms=session_timeout_ms, rebalance_timeout_ms=rebalance_timeout_ms
    )
    assert heartbeat_interval_ms(engine) == interval_ms


def test_a_topic_without_partitions_is_no_error() -> None:
    cluster: Any = SimpleNamespace(partitions_for_topic=lambda topic: None)
    result = StickyAssignor().assign(cluster, {"a": member(Owned(-1, frozenset()))})
    assert result["a"].partitions() == []
