"""Who has a partition, asked of the group now and then."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, cast

import pytest

from processor.config import Settings
from processor.errors import Unreachable
from processor.surfaces.http.ports import Owner
from processor.surfaces.owners import GroupOwners
from processor.surfaces.ports import GroupMember, Kafka


class Group:
    """Answers, and counts how often it was asked."""

    def __init__(self) -> None:
        self.asked = 0
        self.error: Exception | None = None
        self.reached = asyncio.Event()
        self.slow: asyncio.Event | None = None

    async def owners(self, settings: Settings) -> Mapping[int, GroupMember]:
        self.asked += 1
        self.reached.set()
        if self.slow is not None:
            await self.slow.wait()
        if self.error is not None:
            raise self.error
        return {0: GroupMember("a", "http://a:1"), 1: GroupMember("b", None)}


@pytest.fixture
def group() -> Group:
    return Group()


def directory(group: Group) -> GroupOwners:
    return GroupOwners(cast(Kafka, group), Settings())


async def test_the_group_is_asked_once_for_all_partitions(group: Group) -> None:
    owners = directory(group)
    found = [await owners.owner(partition) for partition in range(64)]
    assert found[:3] == [Owner("a", "http://a:1"), Owner("b", None), None]
    assert group.asked == 1


async def test_who_asks_meanwhile_waits_for_the_same_answer(group: Group) -> None:
    owners = directory(group)
    group.slow = asyncio.Event()
    asking = [asyncio.create_task(owners.owner(0)) for _ in range(100)]
    await group.reached.wait()
    group.slow.set()
    assert await asyncio.gather(*asking) == [Owner("a", "http://a:1")] * 100
    assert group.asked == 1


async def test_what_is_known_grows_old(group: Group, monkeypatch: pytest.MonkeyPatch) -> None:
    owners = directory(group)
    await owners.owner(0)
    monkeypatch.setattr("processor.surfaces.owners.KNOWN_S", 0.0)
    await owners.owner(0)
    assert group.asked == 2


async def test_a_group_that_does_not_answer_has_no_owners_and_is_left_alone_for_a_while(group: Group) -> None:
    group.error = Unreachable("nobody there")
    owners = directory(group)
    answers: list[Any] = [await owners.owner(0), await owners.owner(1)]
    assert answers == [None, None]
    assert group.asked == 1
