"""The command `creative-feedback run` as a process that is expected to refuse, and topics to refuse for."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import NamedTuple

import msgspec
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from processor.config import Settings
from tests.faults.fork_server import ROOT
from tests.kafka.locked import as_party
from tests.oracle import read_topic

USAGE, CLUSTER = 2, 3
SECONDS = 60.0  # under a busy machine; about two on an idle one


class Ended(NamedTuple):
    """How a command ended; ``line`` is the last one it said."""

    code: int
    line: str
    said: str


async def run_command(settings: Settings, instance: str = "one", **environment: str) -> Ended:
    """`creative-feedback run` until it ends by itself."""
    settings = await as_party(settings, "processor")
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "processor.app",
        "run",
        "--instance",
        instance,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=ROOT,
        env={**os.environ, **environment_of(settings), **environment},
    )
    try:
        async with asyncio.timeout(SECONDS):
            out, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        out, _ = await process.communicate()
        raise AssertionError(f"it went on for {SECONDS:g} s:\n{out.decode()}") from None
    said = out.decode()
    assert process.returncode is not None
    return Ended(process.returncode, said.splitlines()[-1] if said else "", said)


def environment_of(settings: Settings) -> dict[str, str]:
    """The settings as environment variables, as an operator may give them."""
    variables = {}
    for section, values in msgspec.to_builtins(settings).items():
        for key, value in values.items():
            if value is not None:
                text = value if isinstance(value, str) else json.dumps(value)
                variables[f"CREATIVE_FEEDBACK__{section}__{key}".upper()] = text
    return variables


def expect_refusal(ended: Ended, code: int, *words: str) -> None:
    """The last line is the whole story, and it names the thing and the remedy."""
    assert ended.code == code, ended.said
    assert ended.line.startswith("creative-feedback: "), ended.said
    assert "Traceback" not in ended.said
    for word in words:
        assert word in ended.line, ended.line


async def contents(settings: Settings) -> dict[str, dict[int, int]]:
    """Where every output ends: what a refusal must not move."""
    topics = settings.topics
    names = (topics.actions, topics.metrics, topics.dead_letters)
    return {name: (await read_topic(settings.kafka.bootstrap_servers, name)).log_end for name in names}


@asynccontextmanager
async def admin(settings: Settings) -> AsyncIterator[AIOKafkaAdminClient]:
    client = AIOKafkaAdminClient(bootstrap_servers=settings.kafka.bootstrap_servers)
    await client.start()
    try:
        yield client
    finally:
        await client.close()


async def recreate(settings: Settings, topic: str, configs: Mapping[str, str]) -> None:
    """Delete a topic and make it anew, empty."""
    async with admin(settings) as client:
        await client.delete_topics([topic])
        new = NewTopic(topic, settings.topics.partitions, 1, topic_configs=dict(configs))
        async with asyncio.timeout(30):
            # The broker refuses the name until the old topic is gone.
            while (await client.create_topics([new])).topic_errors[0][1]:  # type: ignore[attr-defined]
                await client.describe_cluster()


async def write_changelog(settings: Settings, key: bytes, value: bytes) -> None:
    """As a foreign writer or another version would."""
    producer = AIOKafkaProducer(bootstrap_servers=settings.kafka.bootstrap_servers)
    await producer.start()
    try:
        await producer.send_and_wait(settings.topics.changelog, value, key, 0)
    finally:
        await producer.stop()
