"""``creative-feedback topics`` against clusters made up for the purpose."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from processor.config import Settings, declared_topology
from tests.unit.surfaces.cli.commands import run_command
from topology import ObservedCluster, ObservedTopic, Plan


class MadeUpCluster:
    """Its topics are what was applied; ``partitions`` of a topic may be forced to differ."""

    def __init__(self) -> None:
        self.topics_by_name: dict[str, ObservedTopic] = {}
        self.applied: list[Plan] = []

    @asynccontextmanager
    async def topics(self, settings: Settings) -> AsyncIterator[MadeUpCluster]:
        self.declared = declared_topology(settings)
        yield self

    async def observe(self) -> ObservedCluster:
        return ObservedCluster(3, self.topics_by_name)

    async def apply(self, plan: Plan) -> None:
        self.applied.append(plan)
        for topic in self.declared.topics:
            self.topics_by_name[topic.name] = ObservedTopic(
                topic.name, topic.partitions, topic.replication_factor, topic.settings_at_creation()
            )


def test_plan_changes_nothing_and_check_says_no(capfd: pytest.CaptureFixture[str]) -> None:
    cluster = MadeUpCluster()
    planned = run_command(capfd, "topics", "plan", kafka=cluster)
    assert planned.code == 0
    assert planned.out.count("create ") == 5
    checked = run_command(capfd, "topics", "check", kafka=cluster)
    assert checked.code == 1
    assert checked.err == "creative-feedback: the topics are not as declared: run creative-feedback topics apply\n"
    assert cluster.applied == []


def test_apply_then_check_is_fine_and_apply_again_has_nothing_to_do(capfd: pytest.CaptureFixture[str]) -> None:
    cluster = MadeUpCluster()
    assert run_command(capfd, "topics", "apply", kafka=cluster).code == 0
    checked = run_command(capfd, "topics", "check", "--json", kafka=cluster)
    assert checked.code == 0
    assert json.loads(checked.out)["up_to_date"] is True
    assert run_command(capfd, "topics", "apply", kafka=cluster).code == 0
    assert [plan.up_to_date for plan in cluster.applied] == [False, True]


@pytest.mark.parametrize("command", ["plan", "apply", "check"])
def test_other_partition_count_is_refused_in_one_line(command: str, capfd: pytest.CaptureFixture[str]) -> None:
    cluster = MadeUpCluster()
    run_command(capfd, "topics", "apply", kafka=cluster)
    ended = run_command(capfd, "topics", command, "--set", "topics.partitions=4", kafka=cluster)
    assert ended.code == 3
    assert ended.err.count("\n") == 1
    assert "it has 8 partitions, 4 are declared" in ended.err
    assert "and 4 more refused" in ended.err
    assert len(cluster.applied) == 1
