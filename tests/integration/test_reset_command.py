"""``creative-feedback reset`` on Apache Kafka: a gap is accepted once it is seen, and nothing is processed twice."""

from __future__ import annotations

import dataclasses
import signal
from collections.abc import Mapping
from pathlib import Path

import pytest

from processor.app import ApacheKafka
from processor.backends.embedded import EmbeddedKafka
from processor.backends.kafka import StoredProgress
from processor.config import Settings
from processor.errors import Refused
from processor.surfaces.audit import audit_partition
from processor.surfaces.ports import Move
from schemas.progress import PROGRESS_KEY, RESET_PREFIX, Progress, decode_progress
from tests.faults.instance import Instance
from tests.faults.stage import Stage, stage
from tests.integration.command import CLUSTER, Ended, command, contents, run_command
from tests.integration.foreign import delete_records
from tests.kafka.locked import as_party
from tests.oracle import Log, read_topic
from tests.oracle.verdict import committed_logs, compare, folded, group_offsets

pytestmark = pytest.mark.timeout(180)


async def reset(settings: Settings, *arguments: str) -> Ended:
    """With its answer for scripts."""
    return await command(settings, "processor", "reset", "--json", *arguments)


async def stopped(instance: Instance) -> None:
    instance.signal(signal.SIGTERM)
    assert await instance.wait() == 0, instance.told()


async def progress_of(settings: Settings, partition: int = 0) -> Progress:
    log = await read_topic(settings.kafka.bootstrap_servers, settings.topics.changelog)
    return decode_progress(folded(log.records[partition])[PROGRESS_KEY])


async def ends(settings: Settings) -> dict[str, Mapping[int, int]]:
    """Where outputs and changelog end, and the group's offsets: what must not move."""
    log = await read_topic(settings.kafka.bootstrap_servers, settings.topics.changelog)
    group = await group_offsets(settings)
    return {**await contents(settings), "changelog": log.log_end, "group": group}


def without(log: Log, skipped: Mapping[int, range]) -> Log:
    """The log as if some of its records had never been there."""
    kept = {
        partition: [record for record in records if record.offset not in skipped.get(partition, ())]
        for partition, records in log.records.items()
    }
    return dataclasses.replace(log, records=kept)


async def expect_replay(scenario: Stage, source: Log) -> None:
    """All that is committed is what one process makes of ``source``, state included."""
    settings = scenario.settings
    logs = await committed_logs(settings)
    changelog = logs[settings.topics.changelog]
    state = {
        partition: [record for record in records if not (record.key or b"").startswith(RESET_PREFIX)]
        for partition, records in changelog.records.items()
    }
    logs[settings.topics.changelog] = dataclasses.replace(changelog, records=state)
    logs[settings.topics.state] = source
    found = compare(settings, logs, await group_offsets(settings))
    scenario.expect(not found, "\n".join(map(str, found)))


async def test_input_lost_to_retention_is_skipped_once_it_is_accepted_and_the_rest_is_processed_exactly_once(
    kafka: EmbeddedKafka, tmp_path: Path
) -> None:
    async with stage(kafka.bootstrap_servers, tmp_path, seed=501, partitions=1, sessions=10) as scenario:
        settings, topic = scenario.settings, scenario.settings.topics.state
        one = await scenario.start("one")
        await scenario.load.send(300)
        await scenario.drained()
        await stopped(one)
        at = (await progress_of(settings)).next_offset
        await scenario.load.send(100)
        source = await read_topic(kafka.bootstrap_servers, topic)
        first = at + 40
        await delete_records(kafka.bootstrap_servers, topic, {0: first})
        refused = await run_command(settings)
        assert refused.code == CLUSTER
        assert f"lost {at}..{first - 1}" in refused.line
        assert "`creative-feedback reset`" in refused.line

        before = await ends(settings)
        seen = await reset(settings, "--to-earliest")
        assert (seen.code, seen.line) == (0, "")
        [gap] = seen.partitions
        assert gap == {
            "partition": 0,
            "next_offset": at,
            "first": first,
            "end": at + 100,
            "target": first,
            "skipped": 40,
            "removed": 40,
            "again": 0,
        }
        assert await ends(settings) == before

        done = await reset(settings, "--to-earliest", "--execute")
        assert (done.code, done.partitions, done.line) == (0, [gap], "")
        progress = await progress_of(settings)
        assert (progress.next_offset, progress.anchor_offset) == (first, -1)
        assert await group_offsets(settings) == {0: first}
        assert (await contents(settings)).items() <= before.items()

        two = await scenario.start("two")
        await scenario.load.send(200)
        await scenario.drained()
        await stopped(two)
        now = await read_topic(kafka.bootstrap_servers, topic)
        new = [record for record in now.records[0] if record.offset >= at + 100]
        whole = dataclasses.replace(now, records={0: [*source.records[0], *new]})
        await expect_replay(scenario, without(whole, {0: range(at, first)}))
        async with ApacheKafka().logs(await as_party(settings, "auditor")) as logs:
            audited = await audit_partition(logs, settings, 0)
        # The input of the sessions' beginnings is gone with the rest.
        assert (audited.verdict, audited.first) == ("equal", first), audited


async def test_what_a_reset_skipped_is_known_to_the_audit_and_going_back_needs_a_word(
    kafka: EmbeddedKafka, tmp_path: Path
) -> None:
    async with stage(kafka.bootstrap_servers, tmp_path, seed=502, partitions=2, sessions=20) as scenario:
        settings = scenario.settings
        one = await scenario.start("one")
        await scenario.load.send(300)
        await scenario.drained()
        running = await reset(settings, "--to-latest", "--execute", "--partition", "1")
        assert running.code == 0, running.line  # it stands there already: nothing to do
        await stopped(one)
        at = (await progress_of(settings, 1)).next_offset
        await scenario.load.send(200)
        end = scenario.load.ends()[1]
        done = await reset(settings, "--to-latest", "--execute", "--partition", "1")
        assert (done.code, done.partitions[0]["skipped"]) == (0, end - at), done.line

        async with ApacheKafka().logs(await as_party(settings, "auditor")) as logs:
            audited = await audit_partition(logs, settings, 1)
            assert audited.verdict == "equal", audited
            assert audited.notes == [f"input offsets {at}..{end - 1} were skipped by a reset"]
            assert audited.compared["state"] > 0
            two = await scenario.start("two")
            await scenario.load.send(200)
            await scenario.drained()
            await stopped(two)
            audited = await audit_partition(logs, settings, 1)
            assert audited.verdict == "equal", audited
            source = await read_topic(kafka.bootstrap_servers, settings.topics.state)
            await expect_replay(scenario, without(source, {1: range(at, end)}))

            before = await ends(settings)
            back = await reset(settings, "--to", str(at), "--partition", "1", "--execute")
            assert back.code == CLUSTER
            assert "--again" in back.line
            assert await ends(settings) == before
            again = await reset(settings, "--to", str(at), "--partition", "1", "--execute", "--again")
            assert again.code == 0, again.line
            assert (await progress_of(settings, 1)).next_offset == at
            assert (await progress_of(settings, 0)).next_offset == scenario.load.ends()[0]
            three = await scenario.start("three")
            await scenario.load.send(50)
            await scenario.drained()
            await stopped(three)
            audited = await audit_partition(logs, settings, 1)
            assert audited.verdict == "cannot"
            assert f"to {at}, and what follows may stand twice" in (audited.reason or "")
            assert (await audit_partition(logs, settings, 0)).verdict == "equal"


async def test_while_an_instance_runs_nothing_is_reset(kafka: EmbeddedKafka, tmp_path: Path) -> None:
    async with stage(kafka.bootstrap_servers, tmp_path, seed=503, partitions=1) as scenario:
        settings = scenario.settings
        one = await scenario.start("one")
        await scenario.load.send(100)
        await scenario.drained()
        refused = await reset(settings, "--to", "10", "--again", "--execute")
        assert refused.code == CLUSTER
        assert "has members" in refused.line
        assert "stop all instances first" in refused.line
        assert not one.lines("refused")
        await scenario.load.send(100)
        await scenario.proven()


async def test_a_partition_that_went_on_since_it_was_looked_at_is_not_moved(
    kafka: EmbeddedKafka, tmp_path: Path
) -> None:
    async with stage(kafka.bootstrap_servers, tmp_path, seed=504, partitions=2) as scenario:
        settings = scenario.settings
        one = await scenario.start("one")
        await scenario.load.send(100)
        await scenario.drained()
        await stopped(one)
        at = {partition: (await progress_of(settings, partition)).next_offset for partition in range(2)}
        async with ApacheKafka().progress(await as_party(settings, "processor")) as admin:
            written = (await read_topic(kafka.bootstrap_servers, settings.topics.state)).records[0]
            last = written[-1].timestamp
            first_of_then = next(record.offset for record in written if record.timestamp >= last)
            assert await admin.offset_at(0, 0) == 0
            assert await admin.offset_at(0, last) == first_of_then
            assert await admin.offset_at(0, last + 1) is None
            with pytest.raises(Refused, match="partition 1 went on from 3 to"):
                await admin.move([Move(0, at[0], 0), Move(1, 3, 0)])
        assert {partition: (await progress_of(settings, partition)).next_offset for partition in range(2)} == at
        await scenario.working(await scenario.start("two"))
        await scenario.proven()


async def test_an_instance_that_joins_meanwhile_keeps_the_reset_from_being_committed(
    kafka: EmbeddedKafka, tmp_path: Path
) -> None:
    async with stage(kafka.bootstrap_servers, tmp_path, seed=505, partitions=2) as scenario:
        settings = scenario.settings
        one = await scenario.start("one")
        await scenario.load.send(100)
        await scenario.drained()
        await stopped(one)
        at = {partition: (await progress_of(settings, partition)).next_offset for partition in range(2)}
        joined: list[Instance] = []
        async with StoredProgress(await as_party(settings, "processor")) as stored:
            barrier = stored._cluster.barrier

            async def barrier_after_another_joined(partition: int, value: bytes) -> int:
                if not joined:
                    joined.append(await scenario.start("two"))
                    await scenario.until("two a member", lambda: bool(joined[0].lines("assigned")))
                return await barrier(partition, value)

            stored._cluster.barrier = barrier_after_another_joined  # type: ignore[method-assign]
            with pytest.raises(Refused, match="another member joined the group meanwhile, nothing was changed"):
                await stored.move({0: (at[0], 0), 1: (at[1], 0)})
        await scenario.working(*joined)
        await scenario.load.send(100)
        await scenario.proven()
