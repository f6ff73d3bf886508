"""``creative-feedback audit``: what it says and how it ends; `tests.unit.surfaces.audit` holds what it finds."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from processor.config import Settings
from processor.surfaces.audit import AuditReport, Difference, PartitionReport
from tests.unit.surfaces.audit.memory import MemoryLogs, Topics, quick
from tests.unit.surfaces.cli.commands import run_command

SETTINGS = quick()
COUNT = 300


class KafkaInMemory:
    """`processor.surfaces.ports.Kafka` with nothing but logs."""

    def __init__(self, topics: Topics) -> None:
        self._topics = topics

    @asynccontextmanager
    async def logs(self, settings: Settings) -> AsyncIterator[MemoryLogs]:
        assert settings.topics.actions == self._topics.topics.actions
        yield self._topics.logs


@pytest.fixture
def topics() -> Topics:
    made = Topics(SETTINGS)
    made.write(COUNT)
    made.process(SETTINGS)
    return made


ONE = ("audit", "--set", "topics.partitions=1")


def test_equal_is_told_with_counts(topics: Topics, capfd: pytest.CaptureFixture[str]) -> None:
    ended = run_command(capfd, *ONE, kafka=KafkaInMemory(topics))
    assert (ended.code, ended.err) == (0, "")
    actions, metrics = len(topics.actions.records), len(topics.metrics.records)
    assert ended.out.startswith(
        f"equal: {COUNT} events of 1 partition re-derived, compared: {actions} actions, {metrics} metrics, "
    )
    assert ended.out.count("\n") == 1


def test_equal_for_a_script(topics: Topics, capfd: pytest.CaptureFixture[str]) -> None:
    ended = run_command(capfd, *ONE, "--json", kafka=KafkaInMemory(topics))
    assert (ended.code, ended.err) == (0, "")
    shown = json.loads(ended.out)
    assert (shown["verdict"], shown["events"]) == ("equal", COUNT)
    [partition] = shown["partitions"]
    assert partition["compared"] == shown["compared"]
    assert (partition["difference"], partition["reason"]) == (None, None)


def test_a_difference_is_one_line_and_code_1(topics: Topics, capfd: pytest.CaptureFixture[str]) -> None:
    record = topics.actions.records[5]
    topics.actions.records[5] = record._replace(value=b"foreign")
    ended = run_command(capfd, *ONE, kafka=KafkaInMemory(topics))
    assert ended.code == 1
    assert ended.out.startswith("different: ")
    assert ended.err.count("\n") == 1
    assert ended.err.startswith(f"creative-feedback: tori.actions-0 offset {record.offset} (input offset ")
    assert ended.err.endswith("committed is foreign\n")


def test_what_cannot_be_said_is_code_3(topics: Topics, capfd: pytest.CaptureFixture[str]) -> None:
    ended = run_command(capfd, *ONE, "--to", "1000", kafka=KafkaInMemory(topics))
    assert ended.code == 3
    assert ended.err == (
        "creative-feedback: partition 0 cannot be audited: it is processed up to input offset 300, not yet up to 1000\n"
    )


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--partition", "1"], "topics.partitions is 1, so the last one is 0"),
        (["--from", "5", "--to", "5"], "--to 5: must be greater than --from 5"),
        (["--partition", "-1"], "--partition"),
        (["--from", "x"], "--from"),
    ],
)
def test_wrong_usage_is_told_before_any_cluster_is_asked(
    arguments: list[str], named: str, capfd: pytest.CaptureFixture[str]
) -> None:
    ended = run_command(capfd, *ONE, *arguments)
    assert ended.code == 2
    assert ended.err.count("\n") == 1
    assert named in ended.err


def test_help_has_an_example(capfd: pytest.CaptureFixture[str]) -> None:
    ended = run_command(capfd, "audit", "--help")
    assert ended.code == 0
    assert "Example: creative-feedback audit --config" in ended.out


DIFFERS = Difference("t", 2, 5, 9, "headers", "[]", None)


def test_the_worst_partition_decides() -> None:
    equal, cannot = PartitionReport(0), PartitionReport(1, "cannot", reason="no log")
    different = PartitionReport(2, "different", difference=DIFFERS)
    assert AuditReport([]).verdict == AuditReport([equal]).verdict == "equal"
    assert AuditReport([equal, cannot]).verdict == "cannot"
    assert AuditReport([equal, cannot]).worst() == "partition 1 cannot be audited: no log"
    assert AuditReport([cannot, equal, different]).verdict == "different"
    assert AuditReport([cannot, equal, different]).worst() == (
        "t-2 offset 5 (input offset 9): the headers differ: replay gives [], committed is nothing"
    )


def test_what_was_passed_over_and_what_a_verdict_rests_on_is_told() -> None:
    report = PartitionReport(4, passed_over=12, sessions_passed_over=1, notes=["something is assumed"])
    assert AuditReport([report]).summary().splitlines()[1:] == [
        "partition 4: 12 events of 1 session not auditable: the input no longer holds their beginning",
        "partition 4: something is assumed",
    ]
