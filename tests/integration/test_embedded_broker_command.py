"""`creative-feedback broker start`, as a user runs it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from processor.backends.embedded.ports import free_ports
from tests.kafka import tools
from tests.kafka.tools import NewRecord

COMMAND = [sys.executable, "-m", "processor.app", "broker", "start"]


@contextmanager
def running(*arguments: str, environment: Mapping[str, str] | None = None) -> Iterator[subprocess.Popen[str]]:
    """The command with its output piped; killed at the end if it still runs."""
    with subprocess.Popen(
        [*COMMAND, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **(environment or {})},
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def refused(*arguments: str) -> tuple[int, str]:
    """Exit code and standard error of a start that must fail."""
    done = subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == ""
    return done.returncode, done.stderr


@pytest.mark.kafka
@pytest.mark.timeout(180)
def test_it_serves_until_a_signal_and_exits_cleanly(tmp_path: Path) -> None:
    port = free_ports(1)[0]
    with running(
        "--port", str(port), "--folder", str(tmp_path), "--set", "message.max.bytes=7000000", "--json"
    ) as kafka:
        assert kafka.stdout is not None
        told = json.loads(kafka.stdout.readline())
        assert told == {
            "bootstrap_servers": f"127.0.0.1:{port}",
            "kind": "apache-kafka 4.2.0",
            "why_fallback": None,
            "folder": str(tmp_path),
        }
        tools.create_topic(told["bootstrap_servers"], "t")
        tools.produce(told["bootstrap_servers"], "t", [NewRecord("x")])
        code, said = refused("--port", str(port))
        assert (code, said.count("\n")) == (3, 1)
        assert f"port {port} on 127.0.0.1 is in use" in said
        kafka.send_signal(signal.SIGTERM)
        assert kafka.wait(30) == 0
    settings = (tmp_path / "node-1" / "server.properties").read_text()
    assert "message.max.bytes=7000000\n" in settings


@pytest.mark.timeout(120)
def test_without_maven_central_it_says_that_a_stand_in_serves(tmp_path: Path) -> None:
    offline = {"CREATIVE_FEEDBACK_CACHE": str(tmp_path), "CREATIVE_FEEDBACK_MAVEN": "http://127.0.0.1:9"}
    port = free_ports(1)[0]
    with running("--port", str(port), environment=offline) as broker:
        assert broker.stdout is not None
        assert broker.stderr is not None
        line = broker.stdout.readline()
        assert line.startswith("noida-db 0.2.")
        assert f"127.0.0.1:{port}" in line
        with socket.create_connection(("127.0.0.1", port), timeout=5):
            broker.send_signal(signal.SIGINT)
            assert broker.wait(30) == 0
        assert "stands in for Apache Kafka: cannot fetch" in broker.stderr.read()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--nodes", "2"), 2, "--nodes 2: choose 1 or 3"),
        (("--set", "novalue"), 2, "--set novalue: write it as KEY=VALUE"),
        (("--folder", "/proc/none"), 3, "folder /proc/none cannot be used"),
    ],
)
def test_wrong_use_is_one_line_with_its_own_exit_code(arguments: tuple[str, ...], code: int, message: str) -> None:
    port = free_ports(1)[0]
    returned, said = refused("--port", str(port), *arguments)
    assert (returned, said.count("\n")) == (code, 1)
    assert message in said


@pytest.mark.timeout(120)
def test_a_broker_that_ends_by_itself_ends_the_command_with_a_reason(tmp_path: Path) -> None:
    offline = {"CREATIVE_FEEDBACK_CACHE": str(tmp_path), "CREATIVE_FEEDBACK_MAVEN": "http://127.0.0.1:9"}
    with running("--port", str(free_ports(1)[0]), environment=offline) as broker:
        assert broker.stdout is not None
        assert broker.stderr is not None
        broker.stdout.readline()
        children = Path(f"/proc/{broker.pid}/task/{broker.pid}/children").read_text().split()
        (stand_in,) = [pid for pid in children if b"noida-db" in Path(f"/proc/{pid}/cmdline").read_bytes()]
        os.kill(int(stand_in), signal.SIGKILL)
        assert broker.wait(30) == 3
        assert "ended by itself" in broker.stderr.read()
