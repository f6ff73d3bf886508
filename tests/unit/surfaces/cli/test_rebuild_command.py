"""``creative-feedback rebuild``: what it shows, refuses and writes; `tests.unit.surfaces.rebuild`: what it derives."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import pytest

from processor.config import Settings
from processor.errors import Refused
from processor.surfaces.ports import RebuiltState, Standing
from tests.unit.surfaces.audit.memory import MemoryLogs, Topics
from tests.unit.surfaces.cli.commands import run_command
from tests.unit.surfaces.rebuild.lost import COUNT, SETTINGS, held, lose, standing, worked

QUICK = (
    *("--set", "topics.partitions=1", "--set", "loop.max_exploration_steps=12", "--set", "loop.recovery_steps=3"),
    *("--set", "loop.stable_patience_steps=6", "--set", "quality.min_samples=4", "--set", "quality.max_history=60"),
    *("--set", "quality.retrain_interval=2", "--set", "streaming.interval_steps=5"),
)
ONE = ("rebuild", *QUICK)


class KafkaInMemory:
    """`processor.surfaces.ports.Kafka` of one partition; it remembers what was written."""

    def __init__(self, topics: Topics, members: Sequence[str] = (), refusal: str | None = None) -> None:
        self.written: list[list[RebuiltState]] = []
        self._topics = topics
        self._members = members
        self._refusal = refusal

    @asynccontextmanager
    async def changelogs(self, settings: Settings) -> AsyncIterator[KafkaInMemory]:
        assert settings.loop == SETTINGS.loop or settings.loop.recovery_steps == 9
        yield self

    @asynccontextmanager
    async def logs(self, settings: Settings) -> AsyncIterator[MemoryLogs]:
        yield self._topics.logs

    async def members(self) -> Sequence[str]:
        return self._members

    async def standing(self, partition: int, each: Callable[[bytes, bytes | None], None]) -> Standing:
        assert partition == 0
        if self._refusal is not None:
            raise Refused(self._refusal)
        for key, value in held(self._topics).items():
            if key[:1] != b"\x00":
                each(key, value)
        return standing(self._topics)

    async def write(self, states: Sequence[RebuiltState]) -> None:
        self.written.append(list(states))


@pytest.fixture
def topics() -> Topics:
    made = worked()
    lose(made)
    return made


def test_by_default_it_is_only_shown(topics: Topics, capfd: pytest.CaptureFixture[str]) -> None:
    kafka = KafkaInMemory(topics, ["worker-0 at /10.0.0.1"])
    ended = run_command(capfd, *ONE, kafka=kafka)
    assert (ended.code, ended.err, kafka.written) == (0, "", [])
    lines = ended.out.splitlines()
    assert lines[0].startswith(f"partition 0: input 0..{COUNT} (the group's offset): {COUNT} events, 5 sessions, ")
    assert f"equal: {len(topics.actions.records)} actions, {len(topics.metrics.records)} metrics, " in lines[0]
    assert lines[1].startswith(f"partition 0: the settings before input offset {COUNT} are not recorded")
    assert lines[2].startswith(f"{COUNT} events in ")
    assert lines[3:] == [
        "dry run, nothing was changed: say --execute to do it",
        "before that, stop all instances: worker-0 at /10.0.0.1",
    ]


def test_executed_it_writes_state_and_progress(topics: Topics, capfd: pytest.CaptureFixture[str]) -> None:
    kafka = KafkaInMemory(topics)
    ended = run_command(capfd, *ONE, "--execute", kafka=kafka)
    assert (ended.code, ended.err) == (0, "")
    [[state]] = kafka.written
    assert (state.standing, state.next_offset) == (standing(topics), COUNT)
    assert len(state.state) > 10
    assert ended.out.endswith("\ndone\n")


def test_what_it_found_for_a_script(topics: Topics, capfd: pytest.CaptureFixture[str]) -> None:
    ended = run_command(capfd, *ONE, "--json", kafka=KafkaInMemory(topics))
    assert (ended.code, ended.err) == (0, "")
    shown = json.loads(ended.out)
    assert (shown["members"], shown["executed"]) == ([], False)
    [partition] = shown["partitions"]
    assert (partition["first"], partition["end"], partition["basis"], partition["events"]) == (0, COUNT, "group", COUNT)
    assert (partition["removed"], partition["difference"], partition["reason"]) == (0, None, None)


def test_while_an_instance_runs_nothing_is_derived_that_would_be_written(
    topics: Topics, capfd: pytest.CaptureFixture[str]
) -> None:
    kafka = KafkaInMemory(topics, ["worker-0 at /10.0.0.1"])
    ended = run_command(capfd, *ONE, "--execute", kafka=kafka)
    assert (ended.code, ended.out, kafka.written) == (3, "", [])
    assert "has members (worker-0 at /10.0.0.1): stop all instances first" in ended.err


def test_a_difference_is_one_line_and_code_1_and_nothing_is_written(
    topics: Topics, capfd: pytest.CaptureFixture[str]
) -> None:
    kafka = KafkaInMemory(topics)
    ended = run_command(capfd, *ONE, "--set", "loop.recovery_steps=9", "--execute", kafka=kafka)
    assert (ended.code, kafka.written) == (1, [])
    assert "partition 0: DIFFERENT: tori.actions-0 offset " in ended.out
    assert ended.out.endswith("\nnothing was changed\n")
    assert ended.err.count("\n") == 1
    assert "give the settings of the time, say with --skipped" in ended.err
    done = run_command(capfd, *ONE, "--set", "loop.recovery_steps=9", "--execute", "--accept-unverified", kafka=kafka)
    assert (done.code, done.err, len(kafka.written)) == (0, "", 1)


def test_a_lost_beginning_needs_its_own_word(topics: Topics, capfd: pytest.CaptureFixture[str]) -> None:
    topics.input.cut(100)
    kafka = KafkaInMemory(topics)
    ended = run_command(capfd, *ONE, "--execute", "--accept-unverified", kafka=kafka)
    assert (ended.code, kafka.written) == (3, [])
    assert re.search(r"partition 0: INCOMPLETE: 100 offsets before 100 are gone, 4\d\d events of 5 sessions", ended.out)
    assert "say --accept-incomplete" in ended.err
    both = run_command(capfd, *ONE, "--set", "loop.recovery_steps=9", kafka=kafka)
    assert (both.code, "say --accept-incomplete" in both.err) == (3, True)
    done = run_command(capfd, *ONE, "--execute", "--accept-incomplete", kafka=kafka)
    assert (done.code, done.err, len(kafka.written)) == (0, "", 1)


def test_what_is_not_lost_is_left_out_and_by_name_refused(capfd: pytest.CaptureFixture[str]) -> None:
    kafka = KafkaInMemory(worked())
    idle = run_command(capfd, *ONE, "--execute", kafka=kafka)
    assert (idle.code, idle.err, kafka.written) == (0, "", [])
    assert idle.out == f"partition 0: has its progress record, at input offset {COUNT}; left out\nnothing to do\n"
    named = run_command(capfd, *ONE, "--execute", "--partition", "0", kafka=kafka)
    assert (named.code, kafka.written) == (3, [])
    assert "there is nothing to rebuild; leave it out, or say --replace" in named.err
    replaced = run_command(capfd, *ONE, "--execute", "--partition", "0", "--replace", kafka=kafka)
    assert (replaced.code, replaced.err, len(kafka.written)) == (0, "", 1)


def test_a_changelog_that_cannot_be_written_to_is_named(topics: Topics, capfd: pytest.CaptureFixture[str]) -> None:
    kafka = KafkaInMemory(topics, refusal="changelog c-0 begins at offset 7: delete it")
    ended = run_command(capfd, *ONE, "--execute", kafka=kafka)
    assert (ended.code, kafka.written) == (3, [])
    assert (
        ended.err == "creative-feedback: partition 0 cannot be rebuilt: changelog c-0 begins at offset 7: delete it\n"
    )


def test_leftovers_that_no_processor_can_read_are_named(topics: Topics, capfd: pytest.CaptureFixture[str]) -> None:
    topics.changelog.append(b"sof-nobody", b"no state")
    kafka = KafkaInMemory(topics)
    ended = run_command(capfd, *ONE, "--execute", kafka=kafka)
    assert (ended.code, kafka.written) == (3, [])
    assert "of-nobody" in ended.err
    assert "delete it, run `creative-feedback topics apply`, then `creative-feedback rebuild`" in ended.err


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--set", "topics.partitions=2", "--to", "5"], "an offset means one partition; name it with --partition"),
        (["--set", "topics.partitions=2", "--skipped", "1..5"], "an offset means one partition"),
        (["--skipped", "5..1"], "--skipped 5..1: write it like 120000..120499"),
        (["--skipped", "5"], "--skipped 5: write it like 120000..120499"),
        (["--to", "-1"], "--to"),
        (["--partition", "1"], "topics.partitions is 1, so the last one is 0"),
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
    ended = run_command(capfd, "rebuild", "--help")
    assert ended.code == 0
    assert "Example: creative-feedback rebuild --config" in ended.out
