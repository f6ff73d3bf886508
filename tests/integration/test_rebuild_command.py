"""``creative-feedback rebuild`` on Apache Kafka: a lost changelog is made anew, and the work goes on as before."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from processor.app import ApacheKafka
from processor.backends.embedded import EmbeddedKafka
from processor.config import Settings
from processor.surfaces.audit import audit_partition
from schemas.progress import PROGRESS_KEY
from tests.faults.fork_server import ROOT
from tests.faults.instance import Instance
from tests.faults.stage import Stage, stage
from tests.integration.command import CLUSTER, contents, environment_of, expect_refusal, recreate, run_command
from tests.kafka.locked import as_party
from tests.oracle import read_topic
from tests.oracle.verdict import folded

pytestmark = pytest.mark.timeout(180)

COMMAND_S = 60.0  # under a busy machine; about two on an idle one
DIFFERENT = 1


class Ended(NamedTuple):
    """How the command ended: exit code, its JSON, its last line on stderr."""

    code: int
    out: str
    line: str

    def partition(self, number: int = 0) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.out)["partitions"][number]
        return found


async def begun(settings: Settings, *arguments: str) -> asyncio.subprocess.Process:
    """The command as a process of its own."""
    settings = await as_party(settings, "rebuilder")
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "processor.app", "rebuild", "--json", *arguments),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=ROOT,
        env={**os.environ, **environment_of(settings)},
    )


async def rebuild(settings: Settings, *arguments: str) -> Ended:
    process = await begun(settings, *arguments)
    try:
        async with asyncio.timeout(COMMAND_S):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return Ended(process.returncode, out.decode(), (err.decode().splitlines() or [""])[-1])


async def stopped(instance: Instance) -> None:
    instance.signal(signal.SIGTERM)
    assert await instance.wait() == 0, instance.told()


async def changelog_lost(settings: Settings) -> None:
    await recreate(settings, settings.topics.changelog, {"cleanup.policy": "compact"})


async def stored(settings: Settings, partition: int = 0) -> dict[bytes, bytes]:
    """What a partition's changelog comes to."""
    log = await read_topic(settings.kafka.bootstrap_servers, settings.topics.changelog)
    return folded(log.records[partition])


@asynccontextmanager
async def worked(kafka: EmbeddedKafka, folder: Path, *, seed: int, partitions: int = 1) -> AsyncIterator[Stage]:
    """An application that has processed some input, and is stopped."""
    async with stage(kafka.bootstrap_servers, folder, seed=seed, partitions=partitions, sessions=20) as scenario:
        one = await scenario.start("one")
        await scenario.load.send(400)
        await scenario.drained()
        await stopped(one)
        yield scenario


async def test_a_lost_changelog_is_rebuilt_byte_by_byte_and_the_work_goes_on_under_load(
    kafka: EmbeddedKafka, tmp_path: Path
) -> None:
    async with worked(kafka, tmp_path, seed=601, partitions=2) as scenario:
        settings = scenario.settings
        before = [await stored(settings, partition) for partition in range(2)]
        outputs = await contents(settings)
        await changelog_lost(settings)
        refused = await run_command(settings)
        expect_refusal(refused, CLUSTER, "no progress record", "`creative-feedback rebuild`")

        seen = await rebuild(settings)
        assert (seen.code, seen.line) == (0, "")
        assert [seen.partition(number)["end"] for number in range(2)] == list(scenario.load.ends().values())
        assert not any([await stored(settings, partition) for partition in range(2)])
        only = await rebuild(settings, "--execute", "--partition", "1")
        assert (only.code, only.line) == (0, "")
        assert PROGRESS_KEY not in await stored(settings, 0)
        done = await rebuild(settings, "--execute")
        assert (done.code, done.line) == (0, "")
        assert (done.partition(0)["left_out"], done.partition(1)["left_out"]) == (False, True)
        assert done.partition(0)["compared"]["actions"] > 0

        assert [await stored(settings, partition) for partition in range(2)] == before
        assert await contents(settings) == outputs
        scenario.load.begin(300.0)
        two = await scenario.start("two")
        await scenario.working(two)
        await scenario.load.finish()
        await scenario.proven()
        async with ApacheKafka().logs(await as_party(settings, "auditor")) as logs:
            for partition in range(2):
                audited = await audit_partition(logs, settings, partition)
                assert (audited.verdict, audited.notes) == ("equal", []), audited
                assert audited.compared["state"] > 0
