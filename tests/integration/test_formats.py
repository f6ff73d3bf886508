"""Versions meet in a changelog: an old one is restored and gone on from, a newer one is refused before a word is said.

The old changelogs were written by earlier versions on a real Kafka (`tests.golden`); the newer version is this one with
its formats raised by one and a field more (`tests.golden.next_version`), as a process of its own.
"""

from __future__ import annotations

import asyncio
import re
import signal
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from itertools import count, islice
from pathlib import Path

import msgspec
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from processor.backends.embedded import EmbeddedKafka
from processor.config import APPLICATION_VERSION, Settings
from processor.surfaces.report import Report
from schemas import progress as engines_records
from schemas import state_records
from schemas.progress import BARRIER_KEY, PROGRESS_KEY, decode_progress
from schemas.state_records import EraRecord, Kind, decode_state
from tests.faults.load import Event, events
from tests.faults.stage import Stage, stage
from tests.golden.kept import Application, kept_applications, read_application, state_alone
from tests.golden.next_version import ADDED, VERSION
from tests.golden.recording import FIRST_MS, SESSIONS, STEP_MS
from tests.integration.command import CLUSTER, begun, contents, expect_refusal, recreate, run_command
from tests.oracle import LoggedRecord, read_topic, replay
from tests.oracle.replay import Output
from tests.oracle.verdict import committed_logs, folded, group_offsets
from topology import partition_of_key

OUTPUTS = ("actions", "metrics", "dead_letters")
MANY_EVENTS = 6_000  # after so many, every session's sequence is beyond what is kept of it
REPORT_S = 60.0


class Revival:
    """A kept application in topics of a running Kafka, and events that go on where its input ends."""

    def __init__(self, kept: Application, scenario: Stage, producer: AIOKafkaProducer) -> None:
        self.kept = kept
        self.scenario = scenario
        self.settings: Settings = scenario.settings
        self._producer = producer
        self._source: Iterator[Event] = islice(events(8, SESSIONS), MANY_EVENTS, None)
        self._times_ms = count(FIRST_MS + STEP_MS * (1 + sum(map(len, kept.topics["state"].values()))), STEP_MS)
        scenario.load.acknowledged.update({partition: [] for partition in range(kept.partitions)})

    async def lay_out(self) -> None:
        """Input, changelog and the group's offsets as they were; outputs stay in the file."""
        names = self.settings.topics
        for partition, records in self.kept.topics["state"].items():
            for record in records:
                await self._write(names.state, partition, record)
                self.scenario.load.acknowledged[partition].append((record.offset, record.key, record.value))
        for partition, records in self.kept.topics["changelog"].items():
            for record in records:
                await self._write(names.changelog, partition, record)
        await self._producer.flush()
        group = AIOKafkaConsumer(
            bootstrap_servers=self.settings.kafka.bootstrap_servers,
            group_id=self.settings.engine.application_id,
            enable_auto_commit=False,
        )
        await group.start()
        try:
            ends = {TopicPartition(names.state, number): end for number, end in self.scenario.load.ends().items()}
            group.assign(list(ends))
            await group.commit(ends)
        finally:
            await group.stop()

    async def send(self, number: int) -> None:
        """More events of the kept sessions, each a second later than the one before."""
        for key, value in islice(self._source, number):
            partition = partition_of_key(key, self.kept.partitions)
            offset = self.scenario.load.acknowledged[partition][-1][0] + 1
            record = LoggedRecord(offset, next(self._times_ms), key, value, ())
            await self._write(self.settings.topics.state, partition, record)
            self.scenario.load.acknowledged[partition].append((offset, key, value))
        await self._producer.flush()

    async def _write(self, topic: str, partition: int, record: LoggedRecord) -> None:
        await self._producer.send(topic, record.value, record.key, partition, record.timestamp, list(record.headers))

    async def expect_replay(self, format_: int = state_records.FORMAT) -> None:
        """Kept and new output together are what this version makes of the whole input; so are state and marks.

        ``format_``: of the fold's records, as they were written last.
        """
        names = self.settings.topics
        logs = await committed_logs(self.settings)
        group = await group_offsets(self.settings)
        for partition in range(self.kept.partitions):
            source = logs[names.state]
            consumed = self.kept.consumed(partition, source.records[partition])
            expected = replay(self.settings, {partition: consumed})[partition]
            for role in OUTPUTS:
                kept = [self._output(record) for record in self.kept.topics[role][partition]]
                made = [Output(*record[2:]) for record in logs[getattr(names, role)].records[partition]]
                assert made
                assert kept + made == getattr(expected, role)
            state = folded(logs[names.changelog].records[partition])
            progress = decode_progress(as_of(state[PROGRESS_KEY], engines_records.FORMAT))
            assert progress.application_id == self.settings.engine.application_id
            assert progress.next_offset == group[partition] == source.log_end[partition]
            assert plain(progress.marks) == [format_, *plain(expected.marks)[1:]]
            assert in_todays_format(state_alone(state)) == state_alone(expected.state)

    def _output(self, record: LoggedRecord) -> Output:
        """As it would be with the topic names of today."""
        renamed = tuple(
            (k, self.settings.topics.state.encode() if k == "source.topic" else v) for k, v in record.headers
        )
        return Output(record.key, record.value, renamed)

    async def committed(self) -> dict[str, object]:
        """What a refusal must not move; the changelog without the barriers, which say nothing."""
        changelog = await read_topic(self.settings.kafka.bootstrap_servers, self.settings.topics.changelog)
        said = {p: [r for r in records if r.key != BARRIER_KEY] for p, records in changelog.records.items()}
        assert changelog.stable_end == changelog.log_end  # no transaction is open
        return {**await contents(self.settings), "changelog": said, "group": await group_offsets(self.settings)}


def plain(value: bytes) -> list[object]:
    fields: list[object] = msgspec.msgpack.decode(value)
    return fields


def as_of(value: bytes, format_: int) -> bytes:
    return msgspec.msgpack.encode([format_, *plain(value)[1:]])


def in_todays_format(state: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
    """Without what the next version's writer adds."""
    cut = {}
    for key, value in state.items():
        fields = plain(value)
        if fields[0] != state_records.FORMAT:
            fields = [state_records.FORMAT, *(fields[1:-1] if key[:1] == Kind.SESSION.value else fields[1:])]
        cut[key] = msgspec.msgpack.encode(fields)
    return cut


@asynccontextmanager
async def revived(kafka: EmbeddedKafka, folder: Path, file: Path) -> AsyncIterator[Revival]:
    kept = read_application(file)
    async with stage(
        kafka.bootstrap_servers, folder, seed=601, partitions=kept.partitions, settings=kept.settings
    ) as scenario:
        settings = scenario.settings
        old_records_stay = {"retention.ms": "-1", "message.timestamp.after.max.ms": "3600000"}
        await recreate(settings, settings.topics.state, old_records_stay)
        producer = AIOKafkaProducer(bootstrap_servers=kafka.bootstrap_servers, linger_ms=5, enable_idempotence=True)
        await producer.start()
        try:
            revival = Revival(kept, scenario, producer)
            await revival.lay_out()
            yield revival
        finally:
            await producer.stop()


@pytest.mark.parametrize("file", kept_applications(), ids=lambda file: f"{file.parent.name}/{file.name.split('.')[0]}")
async def test_what_an_earlier_version_left_is_restored_and_gone_on_from(
    kafka: EmbeddedKafka, tmp_path: Path, file: Path
) -> None:
    async with revived(kafka, tmp_path, file) as revival:
        scenario = revival.scenario
        began = scenario.load.ends()
        one = await scenario.start("one")
        await scenario.working(one)
        assert one.positions() == began
        await revival.send(150)
        await scenario.drained()
        one.signal(signal.SIGTERM)
        assert await one.wait() == 0

        await revival.expect_replay()
        changelog = await read_topic(kafka.bootstrap_servers, revival.settings.topics.changelog)
        for partition, records in changelog.records.items():
            state = folded(records)
            newest = decode_state(state[max(key for key in state if key[:1] == Kind.ERA.value)], EraRecord)
            assert (newest.application_version, newest.initial) == (APPLICATION_VERSION, False)
            assert newest.first_offset == began[partition]


async def next_version_until(settings: Settings, committed_events: int) -> None:
    """A process of the next version, stopped when it has committed so many events."""
    program = ("-m", "tests.golden.next_version")
    process = await begun(settings, "processor", "run", "--json", "--instance", "next", program=program)
    assert process.stdout is not None
    told = asyncio.create_task(process.stderr.read() if process.stderr else asyncio.sleep(0, b""))
    seen = 0.0
    try:
        async with asyncio.timeout(REPORT_S):
            async for line in process.stdout:
                seen += msgspec.json.decode(line, type=Report).tally.get("events", 0)
                if seen >= committed_events:
                    break
            else:
                raise AssertionError(f"it ended:\n{(await told).decode()}")
            process.send_signal(signal.SIGTERM)
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        await told


async def test_what_a_newer_version_wrote_is_refused_before_a_word_is_said_and_the_newer_one_goes_on(
    kafka: EmbeddedKafka, tmp_path: Path
) -> None:
    """An upgrade, a downgrade that is refused by name, and the upgrade again: nothing is lost and nothing repeated."""
    [file] = [file for file in kept_applications() if file.match("0.2.0/session-models*")]
    async with revived(kafka, tmp_path, file) as revival:
        settings = revival.settings
        await revival.send(80)
        await next_version_until(settings, 80)
        await revival.send(80)
        before = await revival.committed()

        ended = await run_command(settings)

        expect_refusal(ended, CLUSTER, "run the version that wrote it")
        place = re.search(rf"{re.escape(settings.topics.changelog)}-(\d) offset (\d+): ", ended.line)
        assert place is not None, ended.line
        changelog = await read_topic(kafka.bootstrap_servers, settings.topics.changelog)
        [named] = [r for r in changelog.records[int(place[1])] if r.offset == int(place[2])]
        assert named.value is not None
        known = (engines_records if named.key == PROGRESS_KEY else state_records).FORMAT
        assert f"written in format {known + 1}" in ended.line
        assert f"this version reads up to {known}" in ended.line
        assert plain(named.value)[0] == known + 1
        assert await revival.committed() == before

        await next_version_until(settings, 80)
        await revival.expect_replay(state_records.FORMAT + 1)
        for records in (await read_topic(kafka.bootstrap_servers, settings.topics.changelog)).records.values():
            state = folded(records)
            assert plain(state[PROGRESS_KEY])[:2] == [engines_records.FORMAT + 1, VERSION]
            assert any(plain(value)[-1] == ADDED for key, value in state.items() if key[:1] == Kind.SESSION.value)
