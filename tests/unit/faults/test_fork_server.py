"""A forked worker is a process of its own: it ends alone, and its end is told."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from processor.config import Settings, load_settings
from tests.faults.instance import Instance


@pytest.fixture
def silent() -> Iterator[Settings]:
    """A broker that takes connections and never answers: a worker waits for it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        servers = f"127.0.0.1:{server.getsockname()[1]}"
        flags = {"kafka.bootstrap_servers": servers, "kafka.connect_timeout_ms": 600_000, "engine.instance_id": "a"}
        yield load_settings(None, {}, {**flags, "kafka.request_timeout_ms": 600_000})


def instance(settings: Settings, folder: Path, name: str) -> Instance:
    return Instance(settings, [], folder, name, asyncio.Condition())


async def test_sigkill_ends_one_worker_and_leaves_the_others(silent: Settings, tmp_path: Path) -> None:
    one, two = instance(silent, tmp_path, "one"), instance(silent, tmp_path, "two")
    for worker in (one, two):
        await worker.start()
    began = [await worker.line("began") for worker in (one, two)]
    assert [line["pid"] for line in began] == [one.pid, two.pid]

    await one.kill()

    assert await one.wait() == -signal.SIGKILL
    assert not two.ended
    await two.kill()


async def test_a_worker_ends_with_whoever_holds_its_standard_input(silent: Settings, tmp_path: Path) -> None:
    orphan = instance(silent, tmp_path, "orphan")
    await orphan.start()
    await orphan.line("began")

    orphan.hang_up()

    assert await orphan.wait() == 3


async def test_a_plan_that_cannot_be_read_ends_the_worker_with_its_traceback(silent: Settings, tmp_path: Path) -> None:
    broken = instance(silent, tmp_path, "broken")
    (tmp_path / "broken.plan.json").write_text("{")

    await broken.start()

    assert await broken.wait() == 1
    assert "DecodeError" in broken.log_file.read_text()
