"""``creative-feedback rebuild`` on Apache Kafka: a lost changelog is made anew, and the work goes on as before."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from processor.app import ApacheKafka
from processor.backends.embedded import EmbeddedKafka
from processor.backends.kafka import LostChangelogs, NewState
from processor.config import Settings
from processor.errors import Refused
from processor.surfaces.audit import audit_partition
from processor.surfaces.ports import RebuiltState
from processor.surfaces.rebuild import RebuiltPartition, Words, rebuild_partition
from schemas.progress import PROGRESS_KEY
from schemas.state_records import Kind
from tests.faults.instance import Instance
from tests.faults.stage import Stage, create_topics, stage
from tests.integration.command import (
    CLUSTER,
    PROGRAM,
    Ended,
    command,
    contents,
    expect_refusal,
    recreate,
    run_command,
    write_changelog,
)
from tests.integration.foreign import delete_group, delete_records
from tests.kafka.locked import as_party
from tests.oracle import read_topic
from tests.oracle.verdict import folded

pytestmark = pytest.mark.timeout(180)

NO_WORDS = Words()

# The command itself knows best where its middle is: seen from outside, a busy machine is told of it too late.
KILLED_WHILE_WRITING = """
import asyncio, itertools, os, signal
from processor.app import main
from processor.backends.kafka import rebuild

commit, begun = rebuild.commit, itertools.count()

async def commit_until_killed(*arguments):
    if next(begun) == 10:
        asyncio.get_running_loop().call_later(0.002, os.kill, os.getpid(), signal.SIGKILL)
    await commit(*arguments)

rebuild.commit = commit_until_killed
main()
"""


async def rebuild(settings: Settings, *arguments: str, program: Sequence[str] = PROGRAM) -> Ended:
    """The command as a process of its own."""
    return await command(settings, "rebuilder", "rebuild", "--json", *arguments, program=program)


async def stopped(instance: Instance) -> None:
    instance.signal(signal.SIGTERM)
    assert await instance.wait() == 0, instance.told()


async def changelog_lost(settings: Settings) -> None:
    """Deleted, and made anew by the command that then names the loss and the remedy."""
    await recreate(settings, settings.topics.changelog, {"cleanup.policy": "compact"})
    with pytest.raises(Refused, match="the changelog was lost; rebuild it from the input with `creative-feedback"):
        await create_topics(settings)


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


async def derived(settings: Settings, words: Words = NO_WORDS) -> tuple[RebuiltPartition, RebuiltState | None]:
    """What a dry run of the command derives for the one partition, in this process."""
    settings = await as_party(settings, "rebuilder")
    async with ApacheKafka().changelogs(settings) as admin, ApacheKafka().logs(settings) as logs:
        return await rebuild_partition(logs, settings, await admin.standing(0, lambda *_: None), words)


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

        only = await rebuild(settings, "--execute", "--partition", "1")
        assert (only.code, only.line) == (0, "")
        assert PROGRESS_KEY not in await stored(settings, 0)
        done = await rebuild(settings, "--execute")
        assert (done.code, done.line) == (0, "")
        assert (done.partitions[0]["left_out"], done.partitions[1]["left_out"]) == (False, True)
        assert done.partitions[0]["compared"]["actions"] > 0

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


async def test_killed_in_the_middle_it_leaves_what_is_refused_and_can_begin_again_without_group_or_right_settings(
    kafka: EmbeddedKafka, tmp_path: Path
) -> None:
    async with stage(kafka.bootstrap_servers, tmp_path, seed=602, partitions=1, sessions=150) as scenario:
        settings = scenario.settings
        one = await scenario.start("one")
        await scenario.load.send(800)
        await scenario.drained()
        await stopped(one)
        before = await stored(settings)
        await delete_group(kafka.bootstrap_servers, settings.engine.application_id)
        await changelog_lost(settings)

        loop = msgspec.structs.replace(settings.loop, recovery_steps=7)
        report, state = await derived(msgspec.structs.replace(settings, loop=loop))
        assert (report.basis, report.end, state) == ("outputs", scenario.load.ends()[0], None)
        assert report.difference is not None
        assert report.difference.topic == settings.topics.actions

        small = ("--set", "engine.max_batch_bytes=1024")
        killed = await rebuild(settings, "--execute", *small, program=("-c", KILLED_WHILE_WRITING))
        assert killed.code == -signal.SIGKILL, killed
        written = await stored(settings)
        assert PROGRESS_KEY not in written
        assert 0 < len(written) < len(before)

        await scenario.deserted()
        # What was left over by an attempt under other settings is removed.
        session = next(value for key, value in before.items() if key.startswith(Kind.SESSION.value))
        await write_changelog(settings, Kind.SESSION.value + b"of-nobody", session)
        again = await rebuild(settings, "--execute")
        assert (again.code, again.line) == (0, ""), again
        assert again.partitions[0]["end"] == report.end
        assert await stored(settings) == before
        two = await scenario.start("two")
        await scenario.load.send(200)
        await scenario.working(two)
        await scenario.proven()


async def test_input_without_its_beginning_is_refused_by_name_and_accepted_by_a_word(
    kafka: EmbeddedKafka, tmp_path: Path
) -> None:
    async with worked(kafka, tmp_path, seed=603) as scenario:
        settings = scenario.settings
        await changelog_lost(settings)
        await delete_records(kafka.bootstrap_servers, settings.topics.state, {0: 300})
        words = Words(accept_incomplete=True)
        report, state = await derived(settings, words)
        assert report.incomplete_sessions > 0
        assert "begins at offset 300, and 300 offsets before it may have been" in (report.refusal(Words()) or "")
        assert report.refusal(words) is None
        assert state is not None
        async with ApacheKafka().changelogs(await as_party(settings, "rebuilder")) as admin:
            await admin.write([state])
        two = await scenario.start("two")
        await scenario.load.send(200)
        await scenario.drained()
        await stopped(two)
        async with ApacheKafka().logs(await as_party(settings, "auditor")) as logs:
            audited = await audit_partition(logs, settings, 0)
        assert (audited.verdict, audited.first) == ("equal", 300), audited
        assert audited.passed_over > 0


async def test_nothing_is_rebuilt_while_another_is_in_the_group_or_joins_it_or_has_written_meanwhile(
    kafka: EmbeddedKafka, tmp_path: Path
) -> None:
    async with stage(kafka.bootstrap_servers, tmp_path, seed=604, partitions=1) as scenario:
        settings = scenario.settings
        one = await scenario.start("one")
        await scenario.load.send(100)
        await scenario.drained()
        async with LostChangelogs(await as_party(settings, "rebuilder")) as lost:
            own, committed = await lost.standing(0, lambda *_: None)
            state = NewState(0, own, committed, scenario.load.ends()[0], {b"sone": b"state"}, own[PROGRESS_KEY])
            with pytest.raises(Refused, match=r"has members \(.*\): stop all instances first"):
                await lost.write([state])
            await stopped(one)
            before = await stored(settings)
            joined: list[Instance] = []
            with pytest.raises(Refused, match="partition 0 was written to meanwhile, nothing was changed"):
                await lost.write([state._replace(own={})])
            assert await stored(settings) == before
            barrier = lost._cluster.barrier

            async def barrier_after_another_joined(partition: int, value: bytes) -> int:
                if not joined:
                    joined.append(await scenario.start("two"))
                    await scenario.until("two a member", lambda: bool(joined[0].lines("assigned")))
                return await barrier(partition, value)

            lost._cluster.barrier = barrier_after_another_joined  # type: ignore[method-assign]
            with pytest.raises(Refused, match="another member joined the group meanwhile"):
                await lost.write([state])
        await scenario.working(*joined)
        await scenario.load.send(100)
        await scenario.proven()
