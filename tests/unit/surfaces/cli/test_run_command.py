"""``creative-feedback run``: what waits for what."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import import_module
from pathlib import Path
from typing import NoReturn

import pytest

from processor.config import Settings
from processor.engine.observer import Observer
from processor.engine.ports import FoldFactory
from processor.errors import Refused
from tests.unit.surfaces.cli.commands import run_command

WAIT_S = 10.0
KNOWN = ("run", "--set", "http.advertised_url=http://pod-0:8080")


class KafkaInMemory:
    """`processor.surfaces.ports.Kafka` whose work is to begin, and to last until it is told to stop or is done."""

    def __init__(self, *, lasting: bool) -> None:
        self.began = threading.Event()
        self.stopped = False
        self._lasting = lasting

    async def run(self, settings: Settings, folds: FoldFactory, observer: Observer, stop: asyncio.Event) -> None:
        self.began.set()
        if self._lasting:
            async with asyncio.timeout(WAIT_S):
                await stop.wait()
        self.stopped = stop.is_set()


@pytest.fixture(autouse=True)
def untouched_logging(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command's logging is the process's, which here is that of all tests."""
    module = import_module("processor.surfaces.cli.run")  # beside it the package has the command of the same name
    monkeypatch.setattr(module, "begin_logging", lambda *_, **__: None)


def test_partitions_do_not_wait_for_a_web_server_whose_address_is_known(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    kafka = KafkaInMemory(lasting=False)

    @asynccontextmanager
    async def served(*_: object) -> AsyncIterator[str]:
        assert await asyncio.to_thread(kafka.began.wait, WAIT_S), "the work waits for the web server"
        yield "http://pod-0:8080"

    monkeypatch.setattr("processor.surfaces.serving.served", served)
    ended = run_command(capfd, *KNOWN, kafka=kafka)
    assert ended.code == 0, ended.err


def test_a_port_that_cannot_be_had_ends_the_work_in_order_and_is_named(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    kafka = KafkaInMemory(lasting=True)

    def served(*_: object) -> NoReturn:
        raise Refused("port 8080 is taken: choose another http.port")

    monkeypatch.setattr("processor.surfaces.serving.served", served)
    ended = run_command(capfd, *KNOWN, kafka=kafka)
    assert (ended.code, kafka.stopped) == (3, True)
    assert ended.err.splitlines()[-1] == "creative-feedback: port 8080 is taken: choose another http.port"


def test_a_token_that_cannot_be_had_is_refused_before_there_are_partitions(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A static member would keep them until its session time-out is over, and at each of its starts again."""
    kafka = KafkaInMemory(lasting=True)
    token = tmp_path / "token"
    token.write_text("short")
    ended = run_command(capfd, *KNOWN, "--set", f"http.token_file={token}", kafka=kafka)
    assert (ended.code, kafka.began.is_set()) == (3, False)
    assert "expected one line of at least 16 printable ASCII characters" in ended.err
