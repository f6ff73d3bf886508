"""`creative-feedback` as a process that ends by itself, mostly by refusing, and topics to refuse for."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from asyncio.subprocess import Process
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
from aiokafka.admin import NewTopic

from processor.config import Settings
from tests.faults.fork_server import ROOT
from tests.integration.foreign import administrator, foreign_producer
from tests.kafka.locked import as_party
from tests.oracle import read_topic
from topology import Party

USAGE, CLUSTER = 2, 3
PROGRAM = ("-m", "processor.app")
SECONDS = 60.0  # under a busy machine; about two on an idle one


class Ended(NamedTuple):
    """How a command ended: exit code, stdout, stderr."""

    code: int
    out: str
    err: str

    @property
    def said(self) -> str:
        """Everything."""
        return self.out + self.err

    @property
    def line(self) -> str:
        """The last one on stderr."""
        return (self.err.splitlines() or [""])[-1]

    @property
    def partitions(self) -> list[dict[str, Any]]:
        """Of the JSON on stdout."""
        told: list[dict[str, Any]] = json.loads(self.out)["partitions"]
        return told


async def begun(
    settings: Settings, party: Party, *arguments: str, program: Sequence[str] = PROGRAM, **environment: str
) -> Process:
    """`creative-feedback` as a process of its own, under the names of ``settings`` and the rights of the party.

    ``program`` is what Python runs in its stead.
    """
    settings = await as_party(settings, party)
    return await asyncio.create_subprocess_exec(
        *(sys.executable, *program, *arguments),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=ROOT,
        env={**os.environ, **environment_of(settings), **environment},
    )


async def command(
    settings: Settings, party: Party, *arguments: str, program: Sequence[str] = PROGRAM, **environment: str
) -> Ended:
    """The same until it ends by itself."""
    process = await begun(settings, party, *arguments, program=program, **environment)
    said = asyncio.create_task(process.communicate())  # goes on after the time-out: nothing it said is lost
    try:
        done, _ = await asyncio.wait({said}, timeout=SECONDS)
    finally:
        if process.returncode is None:
            process.kill()
    out, err = await said
    if not done:
        raise AssertionError(f"it went on for {SECONDS:g} s:\n{out.decode()}{err.decode()}")
    assert process.returncode is not None
    return Ended(process.returncode, out.decode(), err.decode())


async def run_command(settings: Settings, instance: str = "one", **environment: str) -> Ended:
    """`creative-feedback run` until it ends by itself."""
    return await command(settings, "processor", "run", "--instance", instance, **environment)


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


async def recreate(settings: Settings, topic: str, configs: Mapping[str, str]) -> None:
    """Delete a topic and make it anew, empty."""
    async with administrator(settings.kafka.bootstrap_servers) as client:
        await client.delete_topics([topic])
        new = NewTopic(topic, settings.topics.partitions, 1, topic_configs=dict(configs))
        async with asyncio.timeout(30):
            # The broker refuses the name until the old topic is gone.
            while (await client.create_topics([new])).topic_errors[0][1]:  # type: ignore[attr-defined]
                await client.describe_cluster()


async def write_changelog(settings: Settings, key: bytes, value: bytes) -> None:
    """As a foreign writer or another version would."""
    async with foreign_producer(settings.kafka.bootstrap_servers) as producer:
        await producer.send_and_wait(settings.topics.changelog, value, key, 0)
