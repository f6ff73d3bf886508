"""The dashboard of a real processor on a real Kafka, in a real browser."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.error import URLError

import pytest
from playwright.sync_api import expect

from processor.backends.embedded import EmbeddedKafka
from processor.backends.embedded.ports import free_ports
from processor.config import load_settings
from tests.browser.chromium import CHROMIUM, MISSING, chromium, visit
from tests.integration.command import environment_of
from tests.kafka.locked import as_party
from topology import Party

HOSTILE = "<img src=x onerror=alert(1)>"
SESSIONS = 24
WAIT_S = 60.0  # on a busy machine


class Stand:
    """A processor with two workers, its address, and somebody who sends it events."""

    def __init__(self, kafka: EmbeddedKafka, topic_name: Callable[[str], str], folder: Path) -> None:
        [port] = free_ports(1)
        topics = ("state", "actions", "metrics", "dead_letters", "changelog")
        settings = load_settings(None, {}, {
            "kafka.bootstrap_servers": kafka.bootstrap_servers, "topics.replication_factor": 1, "topics.partitions": 4,
            "engine.application_id": topic_name("app"), "engine.session_timeout_ms": 2_000,
            "engine.transaction_timeout_ms": 2_000, "http.port": port, "loop.max_exploration_steps": 60,
            "loop.recovery_steps": 10, "loop.stable_patience_steps": 15,
            **{f"topics.{role}": topic_name(role) for role in topics},
        })  # fmt: skip
        # Each command comes as the party that it is. Now, since playwright's event loop is in the way later.
        foreign = {name: value for name, value in os.environ.items() if not name.startswith("CREATIVE_FEEDBACK")}
        parties: tuple[Party, ...] = ("topics", "processor", "producer")
        self._environments = {
            party: {**foreign, **environment_of(asyncio.run(as_party(settings, party)))} for party in parties
        }
        self._log = folder / "log"
        self._running: list[subprocess.Popen[bytes]] = []
        self.url = f"http://127.0.0.1:{port}/"

    def command(self, party: Party, *arguments: str) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "processor.app", *arguments],
                env=self._environments[party], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        self._running.append(process)
        return process

    def processor(self) -> subprocess.Popen[bytes]:
        """With two workers, once it answers at its address."""
        process = self.command("processor", "run", "--workers", "2", "--instance", "board")
        deadline = time.monotonic() + WAIT_S
        while True:
            try:
                urllib.request.urlopen(f"{self.url}health/live", timeout=5).close()
                return process
            except URLError:
                assert process.poll() is None, self._log.read_text()
                assert time.monotonic() < deadline, self._log.read_text()
                time.sleep(0.05)

    def end(self) -> None:
        for process in self._running:
            process.kill()
            process.wait()


@pytest.fixture
def stand(kafka: EmbeddedKafka, topic_name: Callable[[str], str], tmp_path: Path) -> Iterator[Stand]:
    if CHROMIUM is None:
        pytest.skip(MISSING)
    stand = Stand(kafka, topic_name, tmp_path)
    yield stand
    stand.end()


def workers_of(supervisor: subprocess.Popen[bytes]) -> list[int]:
    found = Path(f"/proc/{supervisor.pid}/task/{supervisor.pid}/children").read_text()
    return [int(child) for child in found.split()]


@pytest.mark.timeout(240)
def test_sessions_are_followed_through_the_restart_of_a_worker_and_of_the_server(stand: Stand) -> None:
    assert stand.command("topics", "topics", "apply").wait(WAIT_S) == 0
    processor = stand.processor()
    stand.command("producer", "simulate", "--sessions", f"{SESSIONS}", "--rate", "400", "--prefix", HOSTILE)
    with chromium() as browser, visit(browser, stand.url) as seen:
        seen.forgive_failed_requests()
        page = seen.page
        page.set_default_timeout(WAIT_S * 1000)
        expect.set_options(timeout=WAIT_S * 1000)
        page.goto(stand.url)
        expect(page.locator("#headline")).to_have_text(re.compile(rf"\b{SESSIONS} sessions"))
        expect(page.locator("#health-word")).to_have_text("Ready")
        expect(page.locator("#instances .instance-head .id")).to_have_text(["board-0", "board-1"])
        expect(page.locator("#instances tbody tr")).to_have_count(4)

        # Why, along which curve, what was gained.
        expect(page.locator(".card .why").first).to_have_text(re.compile("Novelty is|Stable for long enough"))
        assert (page.locator(".card .ahead").first.get_attribute("d") or "").count("L") == 64
        expect(page.locator("#outcomes tr").first).to_be_visible()
        expect(page.locator("#predictions .amount").first).to_be_visible()

        # Modes change.
        exploring = page.locator("#session-rows tr", has=page.locator("[data-mode=exploring]")).first
        name = exploring.locator("a").inner_text()
        row = page.locator("#session-rows tr", has=page.get_by_role("link", name=name, exact=True))
        expect(row.locator(".mode")).not_to_have_attribute("data-mode", "exploring")
        seen.screenshot("demo", full=False)

        # A session's page, whichever worker has it.
        row.locator("a").click()
        expect(page.locator("#session h1")).to_have_text(name)
        assert name.startswith(HOSTILE)
        expect(page.locator("#session .status")).to_contain_text(re.compile(r"partition \d on board-\d"))
        expect(page.locator("#session .curve .done")).to_have_attribute("d", re.compile("^M"))
        expect(page.locator("#session .log li").first).to_be_visible()
        seen.screenshot("demo-session", full=False)
        page.go_back()

        # A worker dies: the page stays, tells of it, and works on with its successor.
        os.kill(workers_of(processor)[0], signal.SIGKILL)
        expect(page.locator("#instances .instance-head", has_text="restarted once")).to_have_count(1)
        expect(page.locator("#health-word")).to_have_text("Ready")
        expect(page.locator("#instances tbody tr")).to_have_count(4)
        expect(page.locator("#link")).to_have_attribute("data-state", "live")

        # The server itself ends and comes back at the same address.
        processor.send_signal(signal.SIGTERM)
        expect(page.locator("#link")).to_have_attribute("data-state", "waiting")
        expect(page.locator(".notice").first).to_contain_text("What you see is as it was")
        assert processor.wait(WAIT_S) == 0
        stand.processor()
        expect(page.locator("#link")).to_have_attribute("data-state", "live")
        expect(page.locator("#health-word")).to_have_text("Ready")
        expect(page.locator(".card:not([data-ended])").first).to_be_visible()
        assert page.locator(".card img, .log img, table img").count() == 0
