"""The demo from the broker's start to the verdict, as ``make demo`` runs it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(180)]

COMMAND = [sys.executable, "-m", "processor.app", "demo"]


@pytest.fixture
def temporary(tmp_path: Path) -> dict[str, str]:
    """An environment whose temporary files are under the test's eyes."""
    return {**os.environ, "TMPDIR": str(tmp_path)}


def test_json_summary_is_one_object_with_an_equal_verdict(temporary: dict[str, str], tmp_path: Path) -> None:
    ended = subprocess.run(
        [*COMMAND, "--duration", "8", "--json", "--imperfections", "0.05"],
        env=temporary, capture_output=True, text=True, timeout=150, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    outcome = json.loads(ended.stdout)
    assert outcome["equal_to_replay"] is True
    assert outcome["broker"] == "apache-kafka 4.2.0"
    assert outcome["events"] > 1000
    assert outcome["actions"] + outcome["duplicates"] <= outcome["events"]
    assert min(outcome["metrics"], outcome["dead_letters"], outcome["duplicates"]) > 0
    assert sum(outcome["explorations"].values()) > 0
    assert 0 < outcome["commit_latency_ms"]["p50"] <= outcome["commit_latency_ms"]["p99"]
    assert "\x1b" not in ended.stderr
    assert list(tmp_path.glob("creative-feedback-*")) == []


def test_stand_in_serves_where_kafka_cannot_be_fetched_and_is_named(temporary: dict[str, str], tmp_path: Path) -> None:
    nowhere = {"CREATIVE_FEEDBACK_CACHE": str(tmp_path / "cache"), "CREATIVE_FEEDBACK_MAVEN": "http://127.0.0.1:9"}
    ended = subprocess.run(
        [*COMMAND, "--duration", "4", "--json"],
        env={**temporary, **nowhere}, capture_output=True, text=True, timeout=150, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    outcome = json.loads(ended.stdout)
    assert outcome["broker"].startswith("noida-db ")
    assert outcome["why_fallback"] in ended.stderr
    assert outcome["equal_to_replay"] is True
    assert outcome["events"] > 500


@pytest.fixture
def endless(temporary: dict[str, str], tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    demo = subprocess.Popen(
        [*COMMAND, "--rate", "300", "--folder", str(tmp_path / "demo")],
        env=temporary, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    yield demo
    demo.kill()
    demo.communicate()


def test_ctrl_c_ends_with_the_summary_within_8_seconds(endless: subprocess.Popen[str], tmp_path: Path) -> None:
    assert endless.stderr is not None
    for line in endless.stderr:
        if "exploring" in line:
            break
    pressed = time.monotonic()
    endless.send_signal(signal.SIGINT)
    out, err = endless.communicate(timeout=30)
    assert time.monotonic() - pressed < 8
    assert endless.returncode == 0, err
    assert "committed records equal the replay" in out
    assert (tmp_path / "demo" / "workers.log").exists()
