"""The demo from the broker's start to the verdict, as ``make demo`` runs it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.deploy.running import complaints

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(180)]

COMMAND = [sys.executable, "-m", "processor.app", "demo"]
SOON_S = 60.0  # of a machine whose cores all others use as well; 20 are seen then, 10 on an idle one


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


class Endless(NamedTuple):
    """A demo that goes on until it is told to end; ``address`` is what it told, so long after its start."""

    process: subprocess.Popen[str]
    folder: Path
    address: str
    told_after_s: float


@pytest.fixture(scope="module")
def endless(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endless]:
    """Running, and some sessions explore; the last test that uses it may end it."""
    temporary = tmp_path_factory.mktemp("endless")
    began, told_after_s = time.monotonic(), 0.0
    demo = subprocess.Popen(
        [*COMMAND, "--rate", "300", "--folder", str(temporary / "demo")],
        env={**os.environ, "TMPDIR": str(temporary)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert demo.stderr is not None
        told = ""
        for line in demo.stderr:
            told += line
            if "dashboard at" in line:
                told_after_s = time.monotonic() - began
            if "exploring" in line:
                break
        addresses = re.findall(r"dashboard at (http://127\.0\.0\.1:\d+)$", told, re.MULTILINE)
        yield Endless(demo, temporary / "demo", addresses[0], told_after_s)
    finally:
        demo.kill()
        demo.communicate()


def test_the_dashboards_address_is_told_soon_and_can_be_opened(endless: Endless) -> None:
    assert endless.told_after_s < SOON_S
    with urllib.request.urlopen(endless.address, timeout=10) as page:
        assert page.read().startswith(b"<!doctype html>")


def test_every_alert_and_every_graph_finds_its_series_in_a_scrape_of_it(endless: Endless) -> None:
    assert complaints(endless.address) == []


def test_ctrl_c_ends_with_the_summary_within_8_seconds(endless: Endless) -> None:
    pressed = time.monotonic()
    endless.process.send_signal(signal.SIGINT)
    out, err = endless.process.communicate(timeout=30)
    assert time.monotonic() - pressed < 8
    assert endless.process.returncode == 0, err
    assert "committed records equal the replay" in out
    assert (endless.folder / "workers.log").exists()
