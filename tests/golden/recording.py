"""Letting a version's processor work on a real Apache Kafka, and keeping what it left behind.

The input makes the changelog hold every kind of record and every mode: short explorations fill blocks of samples, some
sessions fall silent and expire, a setting that changes nothing here (the time after which they expire) begins another
era, and where the version has the command, a reset leaves some input out.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Iterator, Mapping
from itertools import chain, islice
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from processor.backends.embedded import EmbeddedKafka
from processor.config import Settings, load_settings
from tests.faults.load import Event, events
from tests.golden.kept import Application
from tests.oracle import read_topic
from tests.oracle.verdict import committed_logs, group_offsets
from topology import partition_of_key

PARTITIONS = 2
STEP_MS = 1_000  # between the timestamps of two events
FIRST_MS = 1_750_000_000_000  # in no broker's future
WAIT_S = 60.0
SKIPPED_RECORDS = 5
SEED = 183  # leaves a session in each mode
SESSIONS = 8
SILENT = b"session-00004"  # and those behind it
FIRST_EVENTS, LATER_EVENTS = 400, 300

_QUICK: dict[str, Any] = {
    "loop.min_exploration_steps": 2,
    "loop.max_exploration_steps": 4,
    "loop.recovery_steps": 2,
    "loop.stable_patience_steps": 1,
    "quality.min_samples": 4,
    "quality.max_history": 20,
    "quality.retrain_interval": 2,
    "streaming.interval_steps": 5,
    "engine.session_ttl": "60s",
}
# One state of each kind: models of sessions and a history, or a shared model, an experiment and rings that wrap.
KINDS: Mapping[str, Mapping[str, Any]] = {
    "session-models": {**_QUICK, "streaming.include_history": True},
    "shared-model": {
        **_QUICK,
        "quality.scope": "shared",
        "streaming.trend_window": 20,
        "experiment.mode": "ab",
        "experiment.salt": "kept",
    },
}
LATER_TTL = "60001ms"


async def create_input(settings: Settings) -> None:
    """The input topic, for records of any age."""
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka.bootstrap_servers)
    await admin.start()
    try:
        configs = {"retention.ms": "-1", "message.timestamp.after.max.ms": "3600000"}
        await admin.create_topics([NewTopic(settings.topics.state, PARTITIONS, 1, topic_configs=configs)])
    finally:
        await admin.close()


class Recorder:
    """One application of a version whose sources are in ``sources``."""

    def __init__(self, servers: str, sources: Path, settings: Mapping[str, Any]) -> None:
        self._sources = sources
        self._flags = {
            "kafka.bootstrap_servers": servers,
            "topics.partitions": PARTITIONS,
            "topics.replication_factor": 1,
            **settings,
        }
        self.settings: Settings = load_settings(None, {}, self._flags)
        self._time_ms = FIRST_MS

    async def record(self) -> Application:
        """Work, and read everything that is committed in the end."""
        await create_input(self.settings)
        await self._command("topics", "apply")
        source = known_users(events(SEED, SESSIONS))
        await self._work(islice(source, FIRST_EVENTS))
        skipped = await self._skip(source) if await self._ended("reset", "--help") == 0 else {}
        # Half of the sessions fall silent, until the last one of them comes back.
        later = islice((event for event in source if event[0] < SILENT), LATER_EVENTS)
        last = islice((event for event in source if event[0] > SILENT), 1)
        await self._work(chain(later, last), **{"engine.session_ttl": LATER_TTL})
        logs = await committed_logs(self.settings)
        names = self.settings.topics
        roles = {role: logs[getattr(names, role)].records for role in names.__struct_fields__ if _is_topic(role)}
        return Application({key: self._flags[key] for key in self._flags if _shapes(key)}, roles, skipped)

    async def _skip(self, source: Iterator[Event]) -> dict[int, tuple[int, int]]:
        """A reset of partition 0 over the next few events."""
        [begin] = [end for partition, end in (await group_offsets(self.settings)).items() if partition == 0]
        mine = (event for event in source if partition_of_key(event[0], PARTITIONS) == 0)
        await self._send(islice(mine, SKIPPED_RECORDS))
        end = begin + SKIPPED_RECORDS
        await self._command("reset", "--partition", "0", "--to", str(end), "--execute")
        return {0: (begin, end)}

    async def _send(self, source: Iterator[Event]) -> None:
        producer = AIOKafkaProducer(bootstrap_servers=self.settings.kafka.bootstrap_servers)
        await producer.start()
        try:
            for key, value in source:
                self._time_ms += STEP_MS
                partition = partition_of_key(key, PARTITIONS)
                await producer.send_and_wait(
                    self.settings.topics.state, value, key, partition, timestamp_ms=self._time_ms
                )
        finally:
            await producer.stop()

    async def _work(self, source: Iterator[Event], **flags: Any) -> None:
        """Run the processor, write one event after the other, so that there are many commits, and await the last."""
        process = await self._start("run", "--instance", "kept", **flags)
        try:
            await self._send(islice(source, 1))
            await self._committed()
            await self._send(source)
            await self._committed()
        finally:
            process.send_signal(signal.SIGTERM)
            code = await process.wait()
        assert code == 0, f"the processor ended with {code}"

    async def _committed(self) -> None:
        ends = (await read_topic(self.settings.kafka.bootstrap_servers, self.settings.topics.state)).log_end
        written = {partition: end for partition, end in ends.items() if end}
        async with asyncio.timeout(WAIT_S):
            while await group_offsets(self.settings) != written:  # noqa: ASYNC110 -- a broker tells nobody of a commit
                await asyncio.sleep(0.2)

    async def _command(self, *arguments: str) -> None:
        code = await self._ended(*arguments)
        assert code == 0, f"{arguments[0]} ended with {code}"

    async def _ended(self, *arguments: str) -> int:
        return await (await self._start(*arguments)).wait()

    async def _start(self, *arguments: str, **flags: Any) -> asyncio.subprocess.Process:
        variables = {
            f"CREATIVE_FEEDBACK__{key.replace('.', '__')}".upper(): value
            if isinstance(value, str)
            else json.dumps(value)
            for key, value in {**self._flags, **flags}.items()
        }
        command = (sys.executable, "-m", "processor.app", *arguments)
        return await asyncio.create_subprocess_exec(*command, cwd=self._sources, env={**os.environ, **variables})


def known_users(source: Iterator[Event]) -> Iterator[Event]:
    """Whose a session is, its first event alone says: it decides the session's group for good."""
    for key, value in source:
        event = json.loads(value) if b'"sequence":1,' in value else None
        if event:
            event["state"]["user_id"] = f"user of {event['session_id']}"
        yield key, value if event is None else json.dumps(event).encode()


def _is_topic(role: str) -> bool:
    return role in ("state", "actions", "metrics", "dead_letters", "changelog")


def _shapes(key: str) -> bool:
    return not key.startswith(("kafka.", "topics."))


def record(kind: str, sources: Path) -> Application:
    """An application of this kind by the version in this folder, on a Kafka of its own."""
    with EmbeddedKafka() as kafka:
        settings = {"engine.application_id": f"kept-{kind}", **KINDS[kind]}
        return asyncio.run(Recorder(kafka.bootstrap_servers, sources, settings).record())
