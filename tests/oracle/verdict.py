"""Comparing what is committed with what must be."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from processor.backends.kafka.protocol import StableOffsets
from processor.config import Settings
from schemas.progress import BARRIER_KEY, PROGRESS_KEY, Progress, decode_progress
from tests.oracle.committed import ASK_AGAIN_S, SETTLED_S, Headers, Log, LoggedRecord, read_topic, settled
from tests.oracle.replay import Expected, Output, replay

SHOWN_BYTES = 300

# partition -> (offset, key, value) that the producer got acknowledged
Acknowledged = Mapping[int, Sequence[tuple[int, bytes | None, bytes | None]]]


class Difference(NamedTuple):
    """One thing that is not as it must be."""

    check: str
    topic: str
    partition: int
    where: str
    expected: str
    found: str

    def __str__(self) -> str:
        return (
            f"{self.check} {self.topic}-{self.partition} {self.where}:\n"
            f"  expected {self.expected}\n  found    {self.found}"
        )


async def verdict(
    settings: Settings, *, acknowledged: Acknowledged | None = None, drained: bool = True
) -> list[Difference]:
    """Read everything and `compare` it; with ``acknowledged`` the input too (O7)."""
    logs = await committed_logs(settings, quiet=drained)
    found = compare(settings, logs, await group_offsets(settings, quiet=drained), drained=drained)
    if acknowledged is not None:
        found += inputs(logs[settings.topics.state], acknowledged)
    return found


async def committed_logs(settings: Settings, *, quiet: bool = True) -> dict[str, Log]:
    """All five topics by name; ``quiet`` waits a while for transactions that are about to end."""
    servers, topics = settings.kafka.bootstrap_servers, settings.topics
    names = (topics.state, topics.actions, topics.metrics, topics.dead_letters, topics.changelog)
    if quiet:
        # Once for all of them. A transaction that never ends stays for O5 to tell.
        await settled(servers, names)
    logs = await asyncio.gather(*(read_topic(servers, name, quiet=False) for name in names))
    return dict(zip(names, logs, strict=True))


def compare(
    settings: Settings, logs: Mapping[str, Log], group: Mapping[int, int], *, drained: bool = True
) -> list[Difference]:
    """The first difference of each kind and partition; empty where all is right.

    ``logs`` by topic name, ``group`` the committed offset by partition.  ``drained``: all input must be processed and
    no transaction open.  Otherwise output must equal the replay of the input up to each partition's progress, which
    holds only if nobody committed while the logs were read.
    """
    topics = settings.topics
    source, changelog = logs[topics.state], logs[topics.changelog]
    found: list[Difference] = []
    for partition in sorted(source.records):
        state = folded(changelog.records[partition])
        stored = state.pop(PROGRESS_KEY, None)
        if stored is None:
            found.append(Difference("O2", changelog.topic, partition, "progress record", "one", "none"))
            continue
        progress = decode_progress(stored)
        consumed = [record for record in source.records[partition] if record.offset < progress.next_offset]
        wanted = replay(settings, {partition: consumed})[partition]
        for name, outputs in (
            (topics.actions, wanted.actions),
            (topics.metrics, wanted.metrics),
            (topics.dead_letters, wanted.dead_letters),
        ):
            found += _contents(name, partition, outputs, logs[name].records[partition])
        found += _state(topics.changelog, partition, wanted, state, progress if consumed else None)
        found += _progress(settings, partition, progress, source, group.get(partition, -1), drained)
    if drained:
        found += _quiet(logs.values())
    return found


def folded(records: Sequence[LoggedRecord]) -> dict[bytes, bytes]:
    """A changelog partition's newest value per key; barriers are nobody's state."""
    state: dict[bytes, bytes] = {}
    for record in records:
        assert record.key is not None, f"changelog record without a key at offset {record.offset}"
        if record.value is None:
            state.pop(record.key, None)
        elif record.key != BARRIER_KEY:
            state[record.key] = record.value
    return state


async def group_offsets(settings: Settings, *, quiet: bool = True) -> dict[int, int]:
    """The committed offset of every input partition that has one; ``quiet`` waits for a transaction that moves it."""
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka.bootstrap_servers)
    await admin.start()
    try:
        if quiet:
            await _stable(admin, settings)
        wanted = [TopicPartition(settings.topics.state, number) for number in range(settings.topics.partitions)]
        offsets = await admin.list_consumer_group_offsets(settings.engine.application_id, partitions=wanted)
    finally:
        await admin.close()
    return {tp.partition: entry.offset for tp, entry in offsets.items() if entry.offset >= 0}


async def _stable(admin: AIOKafkaAdminClient, settings: Settings) -> None:
    """Wait a while until no transaction is about to move one of the group's offsets; the client cannot ask for that."""
    group, topics = settings.engine.application_id, settings.topics
    request = StableOffsets(group, topics.state, range(topics.partitions))
    node = await admin.find_coordinator(group)
    with suppress(TimeoutError):
        async with asyncio.timeout(SETTLED_S):
            while True:
                reply = await admin._client.send(node, request)
                if not any(code == StableOffsets.UNSTABLE for _, parts, _ in reply.topics for *_, code, _ in parts):
                    return
                await asyncio.sleep(ASK_AGAIN_S)


def _contents(
    topic: str, partition: int, expected: Sequence[Output], records: Sequence[LoggedRecord]
) -> list[Difference]:
    for index, (wanted, record) in enumerate(zip(expected, records, strict=False)):
        if wanted != Output(record.key, record.value, record.headers):
            where = f"record {index} at offset {record.offset}"
            return [Difference("O1", topic, partition, where, _shown(*wanted), _shown(*record[2:]))]
    if len(expected) > len(records):
        missing = expected[len(records)]
        return [
            Difference(
                "O1",
                topic,
                partition,
                f"{len(expected)} records expected, {len(records)} committed, first missing",
                _shown(*missing),
                "nothing",
            )
        ]
    if len(records) > len(expected):
        extra = records[len(expected)]
        where = f"{len(expected)} records expected, {len(records)} committed, first surplus at {extra.offset}"
        return [Difference("O1", topic, partition, where, "nothing", _shown(*extra[2:]))]
    return []


def _state(
    topic: str, partition: int, expected: Expected, state: Mapping[bytes, bytes], progress: Progress | None
) -> list[Difference]:
    found = []
    for key in sorted(expected.state.keys() | state.keys()):
        wanted, stored = expected.state.get(key), state.get(key)
        if wanted != stored:
            found.append(Difference("O3", topic, partition, f"key {key!r}", _cut(wanted), _cut(stored)))
            break
    # The first progress record of a partition is not the fold's, and has no marks of it.
    if progress is not None and progress.marks != expected.marks:
        where = f"marks at input offset {progress.next_offset}"
        found.append(Difference("O3", topic, partition, where, _cut(expected.marks), _cut(progress.marks)))
    return found


def _progress(
    settings: Settings, partition: int, progress: Progress, source: Log, group_offset: int, drained: bool
) -> list[Difference]:
    found = []
    end = source.log_end[partition]
    following = progress.next_offset
    if drained and following != end:
        found.append(Difference("O2", source.topic, partition, "progress record", str(end), str(following)))
    # A partition of which nothing is processed has a first progress record and no committed offset.
    if group_offset != following and not (group_offset == -1 and following == 0):
        group = f"offset of group {settings.engine.application_id}"
        found.append(Difference("O2", source.topic, partition, group, str(following), str(group_offset)))
    return found


def _quiet(logs: Iterable[Log]) -> list[Difference]:
    return [
        Difference("O5", log.topic, partition, "last stable offset", str(end), str(log.stable_end[partition]))
        for log in logs
        for partition, end in log.log_end.items()
        if log.stable_end[partition] != end
    ]


def inputs(source: Log, acknowledged: Acknowledged) -> list[Difference]:
    """O7: the input topic holds what its producer got acknowledged, and nothing else."""
    found = []
    for partition, records in source.records.items():
        written = [(record.offset, record.key, record.value) for record in records]
        sent = sorted(acknowledged.get(partition, ()), key=lambda event: event[0])
        if written == sent:
            continue
        for index in range(max(len(written), len(sent))):
            wanted = sent[index] if index < len(sent) else None
            stored = written[index] if index < len(written) else None
            if wanted != stored:
                found.append(
                    Difference(
                        "O7",
                        source.topic,
                        partition,
                        f"record {index}",
                        repr(wanted)[:SHOWN_BYTES],
                        repr(stored)[:SHOWN_BYTES],
                    )
                )
                break
    return found


def _shown(key: bytes | None, value: bytes | None, headers: Headers) -> str:
    return f"key {_cut(key)} headers {headers} value {_cut(value)}"


def _cut(content: bytes | None) -> str:
    return "nothing" if content is None else repr(content[:SHOWN_BYTES]) + ("…" if len(content) > SHOWN_BYTES else "")
