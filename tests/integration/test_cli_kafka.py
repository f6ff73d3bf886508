"""The command line against a real Kafka, as an operator uses it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from processor.backends.embedded import EmbeddedKafka
from processor.config import load_settings
from tests.integration.command import environment_of
from tests.kafka.locked import as_party
from topology import Party

PARTITIONS = 3
PARTY_OF: dict[str, Party] = {"run": "processor", "topics": "topics", "simulate": "producer"}


class Terminal:
    """Commands under one set of topic names; what is left running is killed at the end."""

    def __init__(self, kafka: EmbeddedKafka, topic_name: Callable[[str], str], folder: Path) -> None:
        flags = {
            "kafka.bootstrap_servers": kafka.bootstrap_servers,
            "topics.replication_factor": 1,
            "topics.partitions": PARTITIONS,
            "engine.application_id": topic_name("app"),
            "engine.session_timeout_ms": 2_000,
            "engine.transaction_timeout_ms": 2_000,
            **{
                f"topics.{role}": topic_name(role)
                for role in ("state", "actions", "metrics", "dead_letters", "changelog")
            },
        }
        self._settings = load_settings(None, {}, flags)
        self._folder = folder
        self.running: list[subprocess.Popen[bytes]] = []

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self._command(arguments),
            env=self._environment(arguments), capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start a command whose stdout goes to the file ``reports`` and stderr to ``log``."""
        with (self._folder / "reports").open("ab") as out, (self._folder / "log").open("ab") as err:
            process = subprocess.Popen(
                self._command(arguments),
                env=self._environment(arguments), stdin=subprocess.DEVNULL, stdout=out, stderr=err,
            )  # fmt: skip
        self.running.append(process)
        return process

    def _environment(self, arguments: tuple[str, ...]) -> dict[str, str]:
        """Settings as variables; each command comes as the party that it is."""
        settings = asyncio.run(as_party(self._settings, PARTY_OF[arguments[0]]))
        foreign = {name: value for name, value in os.environ.items() if not name.startswith("CREATIVE_FEEDBACK")}
        return {**foreign, **environment_of(settings)}

    @staticmethod
    def _command(arguments: tuple[str, ...]) -> list[str]:
        return [sys.executable, "-m", "processor.app", *arguments]

    def reports(self) -> list[dict[str, Any]]:
        path = self._folder / "reports"
        lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
        return [json.loads(line) for line in lines if line.endswith(b"\n")]

    def log(self) -> str:
        return (self._folder / "log").read_text()

    def until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait for what another process does, as seen in its reports."""
        deadline = time.monotonic() + 45
        while not condition():
            assert time.monotonic() < deadline, f"{what} not seen; log: {self.log()[-2000:]}"
            time.sleep(0.05)

    def running_partitions(self) -> set[int]:
        latest = {report["instance"]: report["running"] for report in self.reports()}
        return {partition for running in latest.values() for partition in running}

    def counted(self, name: str) -> float:
        return float(sum(report["tally"].get(name, 0) for report in self.reports()))


@pytest.fixture
def terminal(kafka: EmbeddedKafka, topic_name: Callable[[str], str], tmp_path: Path) -> Iterator[Terminal]:
    one = Terminal(kafka, topic_name, tmp_path)
    yield one
    for process in one.running:
        process.kill()
        process.wait()


def children(pid: int) -> list[int]:
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in found.split()]


def test_topics_are_planned_applied_and_checked(terminal: Terminal) -> None:
    missing = terminal.run("run")
    assert missing.returncode == 3
    assert "missing topics: " in missing.stderr
    assert "topics apply" in missing.stderr
    assert terminal.run("topics", "check").returncode == 1
    assert terminal.run("topics", "apply").returncode == 0
    assert terminal.run("topics", "check").returncode == 0
    assert "up to date" in terminal.run("topics", "plan").stdout
    refused = terminal.run("topics", "check", "--set", "topics.partitions=5")
    assert refused.returncode == 3
    assert f"it has {PARTITIONS} partitions, 5 are declared" in refused.stderr


def test_unreachable_broker_is_told_within_seconds() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "processor.app", "topics", "plan", "--set", "kafka.bootstrap_servers=127.0.0.1:9"],
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert ended.returncode == 3
    assert ended.stderr.startswith("creative-feedback: no Kafka broker answers at 127.0.0.1:9")
    assert ended.stderr.count("\n") == 1


def test_workers_process_survive_a_kill_and_stop_with_code_zero(terminal: Terminal) -> None:
    assert terminal.run("topics", "apply").returncode == 0
    supervisor = terminal.start("run", "--workers", "2", "--instance", "w", "--json")
    terminal.until(lambda: terminal.running_partitions() == set(range(PARTITIONS)), "all partitions running")

    sent = terminal.run("simulate", "--sessions", "20", "--rate", "1000", "--events", "1000", "--json")
    assert sent.returncode == 0, sent.stderr
    terminal.until(lambda: terminal.counted("actions") == 1000, "a thousand actions")

    os.kill(children(supervisor.pid)[0], signal.SIGKILL)
    terminal.until(lambda: "was ended by SIGKILL; restart in 0.5 s" in terminal.log(), "the restart")
    again = terminal.run("simulate", "--sessions", "20", "--open-loop", "--events", "1000", "--prefix", "again-")
    assert again.returncode == 0, again.stderr
    # What the killed worker had committed but not reported is not counted here: the audit is another test's.
    terminal.until(lambda: terminal.counted("actions") >= 1900, "the actions after the kill")

    supervisor.send_signal(signal.SIGTERM)
    assert supervisor.wait(timeout=20) == 0


def test_second_signal_ends_at_once_and_leaves_no_worker(terminal: Terminal) -> None:
    assert terminal.run("topics", "apply").returncode == 0
    supervisor = terminal.start("run", "--workers", "2", "--json")
    terminal.until(lambda: terminal.running_partitions() == set(range(PARTITIONS)), "all partitions running")
    workers = children(supervisor.pid)
    for worker in workers:
        os.kill(worker, signal.SIGSTOP)  # deaf: the first signal alone would wait for its grace
    supervisor.send_signal(signal.SIGTERM)
    supervisor.send_signal(signal.SIGINT)
    assert supervisor.wait(timeout=10) in (128 + signal.SIGINT, 128 + signal.SIGTERM)
    terminal.until(lambda: not any(map(alive, workers)), "the end of the workers")


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
