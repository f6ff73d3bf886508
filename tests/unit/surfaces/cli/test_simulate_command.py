"""``creative-feedback simulate`` without a broker: files, and a stand-in that takes what is sent."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from processor.config import Settings
from processor.surfaces.ports import Chunk, Event
from tests.unit.surfaces.cli.commands import run_command


def simulated(capfd: pytest.CaptureFixture[str], path: Path, *options: str) -> bytes:
    ended = run_command(capfd, "simulate", "--sessions", "5", "--events", "400", "--to-file", str(path), *options)
    assert ended.code == 0
    return path.read_bytes()


def test_file_has_the_events_asked_for_and_the_same_bytes_again(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    first = simulated(capfd, tmp_path / "a", "--imperfections", "0.2")
    assert first == simulated(capfd, tmp_path / "b", "--imperfections", "0.2")
    assert first != simulated(capfd, tmp_path / "c", "--imperfections", "0.2", "--seed", "2")
    assert first.count(b"\n") == 400


def test_replay_of_the_file_explores(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    simulated(capfd, tmp_path / "a", "--set", "loop.max_exploration_steps=12")
    ended = run_command(capfd, "replay", str(tmp_path / "a"), "--json", "--set", "loop.max_exploration_steps=12")
    summary = json.loads(ended.out)
    assert summary["events"] == summary["actions"] == 400
    assert sum(summary["explorations"].values()) > 0


def test_stdout_as_file_carries_nothing_but_events(capfd: pytest.CaptureFixture[str]) -> None:
    ended = run_command(capfd, "simulate", "--sessions", "2", "--events", "10", "--to-file", "-", "--json")
    assert [json.loads(line)["session_id"] for line in ended.out.splitlines()] == ["sim-00000", "sim-00001"] * 5


def test_chosen_family_and_prefix(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    inert = simulated(capfd, tmp_path / "a", "--family", "inert", "--prefix", "still-")
    assert inert.startswith(b'{"session_id": "still-00000"')
    assert inert != simulated(capfd, tmp_path / "b", "--family", "deep", "--prefix", "still-")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--to-file", "f"], "--to-file needs --events"),
        (["--rate", "0"], "--rate 0 outruns every answer: add --open-loop"),
        (["--family", "flat", "--events", "1", "--to-file", "f"], "family 'flat' is unknown"),
        (["--sessions", "0"], "--sessions"),
        (["--imperfections", "2"], "--imperfections"),
    ],
)
def test_wrong_usage(options: list[str], message: str, capfd: pytest.CaptureFixture[str]) -> None:
    ended = run_command(capfd, "simulate", *options)
    assert (ended.code, ended.out) == (2, "")
    assert message in ended.err
    assert ended.err.count("\n") == 1


class Topic:
    """Takes events; answers with nothing."""

    def __init__(self) -> None:
        self.taken: list[Event] = []
        self.settings: Settings | None = None
        self.read = 0
        self.acknowledged = 0

    @asynccontextmanager
    async def producer(self, settings: Settings) -> AsyncIterator[Topic]:
        self.settings = settings
        yield self

    async def send(self, events: Sequence[Event]) -> None:
        self.taken += events

    async def flush(self) -> None:
        self.acknowledged = len(self.taken)

    @asynccontextmanager
    async def reader(
        self, settings: Settings, topics: Sequence[str], *, latest: bool = False
    ) -> AsyncIterator[Silence]:
        assert latest
        assert topics == [settings.topics.actions]
        self.read += 1
        yield Silence()


class Silence:
    async def read(self, timeout_s: float) -> Sequence[Chunk]:
        await asyncio.sleep(timeout_s)
        return []


@pytest.mark.parametrize("mode", [["--open-loop", "--rate", "0"], ["--rate", "20000"]])
def test_topic_gets_keyed_events_and_a_rate_is_told(mode: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    topic = Topic()
    ended = run_command(
        capfd, "simulate", "--sessions", "3", "--events", "300", "--topic", "elsewhere", "--json", *mode, kafka=topic
    )
    told = json.loads(ended.out)
    assert (ended.code, told["events"], topic.acknowledged) == (0, 300, 300)
    assert told["events_per_s"] > 0
    assert topic.settings is not None
    assert topic.settings.topics.state == "elsewhere"
    assert topic.read == (0 if "--open-loop" in mode else 1)
    for key, value in topic.taken:
        assert key is not None
        assert json.loads(value)["session_id"].encode() == key
