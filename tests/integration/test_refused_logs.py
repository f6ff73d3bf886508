"""A log that cannot be the truth is refused by topic, partition, offset and remedy, and nothing is written."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiokafka import AIOKafkaProducer

from processor.backends.embedded import EmbeddedKafka
from processor.config import Settings
from schemas.progress import FORMAT, PROGRESS_KEY, Progress, decode_progress, encode_progress
from schemas.state_records import Kind
from tests.faults.stage import Stage, stage
from tests.integration.command import CLUSTER, contents, expect_refusal, recreate, run_command, write_changelog
from tests.kafka import tools
from tests.oracle import read_topic
from tests.oracle.verdict import folded


@asynccontextmanager
async def worked(kafka: EmbeddedKafka, folder: Path, *, seed: int, events: int = 300) -> AsyncIterator[Stage]:
    """An application that has processed some input in its one partition, and is stopped."""
    async with stage(kafka.bootstrap_servers, folder, seed=seed, partitions=1, sessions=10) as scenario:
        await scenario.load.send(events)
        before = await scenario.start("before")
        await scenario.drained()
        before.signal(signal.SIGTERM)
        assert await before.wait() == 0
        yield scenario


async def stored_progress(settings: Settings) -> Progress:
    log = await read_topic(settings.kafka.bootstrap_servers, settings.topics.changelog)
    return decode_progress(folded(log.records[0])[PROGRESS_KEY])


async def test_a_changelog_without_progress_is_no_first_start(kafka: EmbeddedKafka, tmp_path: Path) -> None:
    """Deleted and made anew it is empty: beginning at the beginning would repeat everything."""
    async with worked(kafka, tmp_path, seed=201) as scenario:
        settings = scenario.settings
        before = await contents(settings)
        await recreate(settings, settings.topics.changelog, {"cleanup.policy": "compact"})

        ended = await run_command(settings)

        expect_refusal(ended, CLUSTER, f"{settings.topics.changelog}-0", "no progress record", "restore the topic")
        assert await contents(settings) == before


async def test_a_truncated_changelog_is_refused(kafka: EmbeddedKafka, tmp_path: Path) -> None:
    async with worked(kafka, tmp_path, seed=202) as scenario:
        settings, servers = scenario.settings, kafka.bootstrap_servers
        before = await contents(settings)
        changelog = settings.topics.changelog
        ends = (await read_topic(servers, changelog)).log_end
        await asyncio.to_thread(tools.alter_topic, servers, changelog, {"cleanup.policy": "compact,delete"})
        await asyncio.to_thread(tools.delete_records, servers, changelog, ends, tmp_path)
        await asyncio.to_thread(tools.alter_topic, servers, changelog, {"cleanup.policy": "compact"})

        ended = await run_command(settings)

        expect_refusal(ended, CLUSTER, f"{changelog}-0", f"begins at offset {ends[0]}", "truncated")
        assert await contents(settings) == before


async def test_input_that_was_removed_unread_is_named_by_its_offsets(kafka: EmbeddedKafka, tmp_path: Path) -> None:
    async with worked(kafka, tmp_path, seed=203) as scenario:
        settings, servers = scenario.settings, kafka.bootstrap_servers
        following = (await stored_progress(settings)).next_offset
        await scenario.load.send(100)
        before = await contents(settings)
        gone = {0: following + 40}
        await asyncio.to_thread(tools.delete_records, servers, settings.topics.state, gone, tmp_path)

        ended = await run_command(settings)

        lost = f"{following}..{following + 39}"
        expect_refusal(ended, CLUSTER, f"{settings.topics.state}-0", f"lost {lost}", "creative-feedback reset")
        assert await contents(settings) == before


@pytest.mark.parametrize(("events", "words"), [(0, "ends at 0"), (400, "is not the record that was processed")])
async def test_a_recreated_input_topic_is_not_taken_for_the_old_one(
    kafka: EmbeddedKafka, tmp_path: Path, events: int, words: str
) -> None:
    async with worked(kafka, tmp_path, seed=204) as scenario:
        settings = scenario.settings
        before = await contents(settings)
        await recreate(settings, settings.topics.state, {"message.timestamp.after.max.ms": "3600000"})
        async with stage_load(scenario) as send:
            await send(events)

        ended = await run_command(settings)

        expect_refusal(ended, CLUSTER, f"{settings.topics.state}-0", words, "recreated", "start with new topics")
        assert await contents(settings) == before


@asynccontextmanager
async def stage_load(scenario: Stage) -> AsyncIterator[Any]:
    """A producer that never saw the old topic."""
    producer = AIOKafkaProducer(bootstrap_servers=scenario.settings.kafka.bootstrap_servers)
    await producer.start()

    async def send(count: int) -> None:
        for number in range(count):
            await producer.send(scenario.settings.topics.state, b'{"session_id": "new"}', b"%d" % number, 0)
        await producer.flush()

    try:
        yield send
    finally:
        await producer.stop()


async def newer_progress(settings: Settings) -> tuple[bytes, bytes]:
    stored = await stored_progress(settings)
    return PROGRESS_KEY, encode_progress(msgspec.structs.replace(stored, format=FORMAT + 1, application_version="99.1"))


async def corrupt_progress(settings: Settings) -> tuple[bytes, bytes]:
    return PROGRESS_KEY, b"\xc1 no progress"


async def other_partition_count(settings: Settings) -> tuple[bytes, bytes]:
    stored = await stored_progress(settings)
    return PROGRESS_KEY, encode_progress(msgspec.structs.replace(stored, partition_count=12))


async def corrupt_session(settings: Settings) -> tuple[bytes, bytes]:
    return Kind.SESSION.value + b"session-00001", b"\x93\x01\x02"


async def newer_session(settings: Settings) -> tuple[bytes, bytes]:
    log = await read_topic(settings.kafka.bootstrap_servers, settings.topics.changelog)
    key = next(key for key in folded(log.records[0]) if key.startswith(Kind.SESSION.value))
    record = msgspec.msgpack.decode(folded(log.records[0])[key])
    return key, msgspec.msgpack.encode([99, *record[1:]])


async def foreign_key(settings: Settings) -> tuple[bytes, bytes]:
    return b"\x7fforeign", b"writer"


PROGRESS_DAMAGES = (
    (newer_progress, (f"written in format {FORMAT + 1} by version 99.1", "run the version that wrote it")),
    (corrupt_progress, ("not a progress record", "run the version that wrote it")),
    (other_partition_count, ("12 partitions", "use new topics")),
)


async def test_a_progress_record_of_another_version_or_count_is_refused(kafka: EmbeddedKafka, tmp_path: Path) -> None:
    """Nothing is written by who refuses: with the record as it was the work goes on as if nothing had been."""
    async with worked(kafka, tmp_path, seed=205) as scenario:
        settings = scenario.settings
        right = encode_progress(await stored_progress(settings))
        await scenario.load.send(50)
        before = await contents(settings)
        for damage, words in PROGRESS_DAMAGES:
            await write_changelog(settings, *await damage(settings))

            ended = await run_command(settings)

            expect_refusal(ended, CLUSTER, f"{settings.topics.changelog}-0", *words)
            assert await contents(settings) == before
            await write_changelog(settings, PROGRESS_KEY, right)
        await scenario.start("after")
        await scenario.proven()


@pytest.mark.parametrize(
    ("damage", "word"), [(corrupt_session, "session-00001"), (newer_session, "99"), (foreign_key, "foreign")]
)
async def test_state_of_another_version_or_of_nobody_is_refused(
    kafka: EmbeddedKafka, tmp_path: Path, damage: Any, word: str
) -> None:
    async with worked(kafka, tmp_path, seed=206) as scenario:
        settings = scenario.settings
        await write_changelog(settings, *await damage(settings))
        await scenario.load.send(50)
        before = await contents(settings)

        ended = await run_command(settings)

        expect_refusal(ended, CLUSTER, "changelog", "partition 0", word, "run the version that wrote it")
        assert await contents(settings) == before


async def test_one_refused_partition_does_not_stop_the_others(kafka: EmbeddedKafka, tmp_path: Path) -> None:
    async with stage(kafka.bootstrap_servers, tmp_path, seed=207, partitions=2) as scenario:
        await write_changelog(scenario.settings, PROGRESS_KEY, b"\xc1")
        await scenario.load.send(500)

        one = await scenario.start("one")

        halted = await one.line("halted")
        assert halted["partition"] == 0
        assert "not a progress record" in halted["cause"]
        end = scenario.load.ends()[1]
        await scenario.until("partition 1 processed", lambda: scenario.committed().get(1, 0) >= end)
        assert 0 not in scenario.committed()
        one.signal(signal.SIGTERM)
        assert await one.wait() == 0


async def test_two_processes_under_one_instance_id_end_with_one(kafka: EmbeddedKafka, tmp_path: Path) -> None:
    async with stage(kafka.bootstrap_servers, tmp_path, seed=208) as scenario:
        first = await scenario.start("twin")
        await scenario.working(first)
        scenario.load.begin(500.0)
        second = await scenario.start("twin")

        await scenario.until("one of the twins ended", lambda: bool(first.lines("ended") or second.lines("ended")))

        loser, winner = (first, second) if first.lines("ended") else (second, first)
        assert await loser.wait() == CLUSTER
        [ended] = loser.lines("ended")
        assert ended["error"].startswith("InstanceIdInUse: instance id 'twin' is used by another process")
        await scenario.working(winner)
        await scenario.proven()
