"""``creative-feedback reset``: what it shows, what it refuses, and what it then asks of the cluster."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest

from processor.config import Settings
from processor.surfaces.ports import Move, Place
from tests.unit.surfaces.cli.commands import run_command

PLACES = (Place(0, 100, 20, 150), Place(1, 100, 140, 200), Place(2, 90, 0, 90))
NOON_MS = int(datetime(2026, 1, 31, 12, tzinfo=UTC).timestamp() * 1000)


class KafkaInMemory:
    """`processor.surfaces.ports.Kafka` with three partitions that can be moved; it remembers how they were."""

    def __init__(self, members: Sequence[str] = ()) -> None:
        self.moved: list[list[Move]] = []
        self._members = members

    @asynccontextmanager
    async def progress(self, settings: Settings) -> AsyncIterator[KafkaInMemory]:
        assert settings.topics.partitions == len(PLACES)
        yield self

    async def members(self) -> Sequence[str]:
        return self._members

    async def place(self, partition: int) -> Place:
        return PLACES[partition]

    async def offset_at(self, partition: int, timestamp_ms: int) -> int | None:
        assert timestamp_ms == NOON_MS
        return 145 if partition < 2 else None

    async def move(self, moves: Sequence[Move]) -> None:
        self.moved.append(list(moves))


THREE = ("reset", "--set", "topics.partitions=3")


def test_by_default_it_is_only_shown(capfd: pytest.CaptureFixture[str]) -> None:
    kafka = KafkaInMemory(["worker-0 at /10.0.0.1"])
    ended = run_command(capfd, *THREE, "--to-latest", kafka=kafka)
    assert (ended.code, ended.err, kafka.moved) == (0, "", [])
    assert ended.out.splitlines() == [
        "partition 0: at 100, input 20..150; on to 150: 50 offsets skipped",
        "partition 1: at 100, input 140..200; on to 200: 100 offsets skipped (40 of them already removed)",
        "partition 2: at 90, input 0..90; stays",
        "dry run, nothing was changed: say --execute to do it",
        "before that, stop all instances: worker-0 at /10.0.0.1",
    ]


def test_executed_it_moves_what_does_not_stay_all_at_once(capfd: pytest.CaptureFixture[str]) -> None:
    kafka = KafkaInMemory()
    ended = run_command(capfd, *THREE, "--to-latest", "--execute", kafka=kafka)
    assert (ended.code, ended.err) == (0, "")
    assert kafka.moved == [[Move(0, 100, 150), Move(1, 100, 200)]]
    assert ended.out.endswith("\ndone\n")


def test_where_nothing_moves_nothing_is_asked(capfd: pytest.CaptureFixture[str]) -> None:
    kafka = KafkaInMemory()
    ended = run_command(capfd, *THREE, "--to-latest", "--partition", "2", "--execute", kafka=kafka)
    assert (ended.code, kafka.moved) == (0, [])
    assert ended.out.endswith("\nnothing to do\n")


@pytest.mark.parametrize("execute", [[], ["--execute"]])
def test_going_back_is_refused_for_all_partitions_unless_asked_for_by_name(
    execute: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    kafka = KafkaInMemory()
    ended = run_command(capfd, *THREE, "--to-earliest", *execute, kafka=kafka)
    assert (ended.code, kafka.moved) == (3, [])
    assert "partition 0: at 100, input 20..150; back to 20: 80 offsets a second time" in ended.out
    assert ended.err.count("\n") == 1
    assert ended.err.startswith("creative-feedback: partition 0 would go back from 100 to 20: ")
    assert "--again" in ended.err


def test_going_back_is_done_when_asked_for_by_name(capfd: pytest.CaptureFixture[str]) -> None:
    kafka = KafkaInMemory()
    ended = run_command(capfd, *THREE, "--to-earliest", "--execute", "--again", kafka=kafka)
    assert (ended.code, ended.err) == (0, "")
    assert kafka.moved == [[Move(0, 100, 20), Move(1, 100, 140), Move(2, 90, 0)]]


def test_a_time_is_the_first_record_not_older_or_else_the_end(capfd: pytest.CaptureFixture[str]) -> None:
    kafka = KafkaInMemory()
    ended = run_command(capfd, *THREE, "--to-time", "2026-01-31T13:00:00+01:00", "--json", kafka=kafka)
    assert ended.code == 0
    shown = json.loads(ended.out)
    assert [partition["target"] for partition in shown["partitions"]] == [145, 145, 90]
    assert shown["partitions"][1] == {
        "partition": 1,
        "next_offset": 100,
        "first": 140,
        "end": 200,
        "target": 145,
        "skipped": 45,
        "removed": 40,
        "again": 0,
    }
    assert (shown["members"], shown["executed"]) == ([], False)


@pytest.mark.parametrize(("partition", "target"), [(0, 19), (0, 151), (1, 139)])
def test_an_offset_that_the_input_does_not_hold_is_named(
    partition: int, target: int, capfd: pytest.CaptureFixture[str]
) -> None:
    kafka = KafkaInMemory()
    arguments = "--to", str(target), "--partition", str(partition), "--execute", "--again"
    ended = run_command(capfd, *THREE, *arguments, kafka=kafka)
    assert (ended.code, kafka.moved) == (2, [])
    place = PLACES[partition]
    assert f"--to {target}: the input of partition {partition} holds {place.first}..{place.end}" in ended.err


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ([], "one of --to, --to-time, --to-earliest, --to-latest"),
        (["--to-earliest", "--to-latest"], "one of --to, --to-time, --to-earliest, --to-latest"),
        (["--to", "5"], "an offset means one partition; name it with --partition"),
        (["--to", "-1"], "--to"),
        (["--to-latest", "--partition", "3"], "topics.partitions is 3, so the last one is 2"),
        (["--to-time", "noon"], "--to-time noon: write it like 2026-01-31T12:00:00Z"),
        (["--to-time", "2026-01-31T12:00:00"], "say the zone too"),
    ],
)
def test_wrong_usage_is_told_before_any_cluster_is_asked(
    arguments: list[str], named: str, capfd: pytest.CaptureFixture[str]
) -> None:
    ended = run_command(capfd, *THREE, *arguments)
    assert ended.code == 2
    assert ended.err.count("\n") == 1
    assert named in ended.err


def test_help_has_an_example(capfd: pytest.CaptureFixture[str]) -> None:
    ended = run_command(capfd, "reset", "--help")
    assert ended.code == 0
    assert "Example: creative-feedback reset --config" in ended.out
