"""How long the processor is away after a SIGKILL, of an instance or of a broker.

    python -m tests.bench.recovery --json

A recovery is measured from outside: from the signal until a read_committed consumer has seen, in every partition, an
action for an event that was written after it.  Instances are `creative-feedback run` in processes of their own, with
the product's own settings; a restart is a whole new process.

    restart     one of two static members is killed, and started again at once under the same id
    takeover    one of two members is killed and does not come back: the other one takes over
    broker      one of three brokers is killed and does not come back before the recovery: in turn a leader of input,
                the coordinator of the group, that of an instance's transactions, the leader of the controllers

Kafka runs with its own defaults, except that a group may have a session time-out below 6 s.  At the end of each part
all that is committed is compared with a replay of the input.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import math
import random
import secrets
import signal
import sys
import tempfile
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Self, TypeVar

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition
from msgspec import Struct

from processor.backends.embedded import EmbeddedKafka
from processor.config import Settings, load_settings
from processor.surfaces.report import Report
from schemas.headers import SOURCE_OFFSET
from tests.faults.load import Load, events, load
from tests.faults.stage import create_topics
from tests.kafka.leadership import GROUPS, TRANSACTIONS, Nodes, nodes_of
from tests.oracle import verdict
from tests.oracle.verdict import group_offsets

PARTITIONS = 4
INSTANCES = ("one", "two")
RATE = 400.0
EVENTS_PER_SESSION = 5
CHUNK_EVENTS = 20_000
WAIT_S = 180.0
POLL_S = 0.2
KAFKA_SETTINGS = {"group.min.session.timeout.ms": "500"}


class Figures(Struct, frozen=True):
    """One part: seconds of its recoveries by nearest rank, the events written, and what the oracle found."""

    recoveries: int
    p50_s: float
    p99_s: float
    max_s: float
    each_s: list[float]
    events: int
    differences: list[str]


class Member:
    """One `creative-feedback run` and its latest report."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._listening = asyncio.create_task(self._listen())
        self.running: frozenset[int] = frozenset()

    @classmethod
    async def start(cls, instance_id: str, flags: Mapping[str, Any], log: Path) -> Self:
        """A whole new process; what it logs goes to the file."""
        options = [f"--set={name}={value}" for name, value in flags.items()]
        command = (sys.executable, "-m", "processor.app", "run", "--json", "--instance", instance_id, *options)
        with log.open("ab") as sink:
            return cls(await asyncio.create_subprocess_exec(*command, stdin=DEVNULL, stdout=PIPE, stderr=sink))

    async def end(self, number: signal.Signals) -> None:
        """Send a signal and wait for the end."""
        with suppress(ProcessLookupError):
            self._process.send_signal(number)
        await self._process.wait()
        await self._listening
        self.running = frozenset()

    async def _listen(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            self.running = frozenset(msgspec.json.decode(line, type=Report).running)


class Answers:
    """The furthest input offset per partition that a read_committed consumer has seen an action for."""

    def __init__(self, consumer: AIOKafkaConsumer) -> None:
        self._consumer = consumer
        self._seen: dict[int, int] = {}
        self._moved = asyncio.Condition()
        self.reading = asyncio.create_task(self._read())

    async def beyond(self, ends: Mapping[int, int]) -> None:
        """Wait until every partition has an action for an event at or behind these input offsets."""
        async with asyncio.timeout(WAIT_S), self._moved:
            await self._moved.wait_for(lambda: all(self._seen.get(p, -1) >= end for p, end in ends.items()))

    def came(self, partition: int, source_offset: int) -> None:
        """Actions of a partition, the last of them for the event at this input offset."""
        self._seen[partition] = source_offset

    async def _read(self) -> None:
        while True:
            batches = await self._consumer.getmany(timeout_ms=500)
            async with self._moved:
                for tp, records in batches.items():
                    self.came(tp.partition, int(dict(records[-1].headers)[SOURCE_OFFSET]))
                self._moved.notify_all()


AnyAnswers = TypeVar("AnyAnswers", bound=Answers)


@asynccontextmanager
async def following(settings: Settings, kind: type[AnyAnswers]) -> AsyncIterator[AnyAnswers]:
    """The actions of all partitions from their beginning on."""
    topics = settings.topics
    consumer = AIOKafkaConsumer(
        bootstrap_servers=settings.kafka.bootstrap_servers,
        isolation_level="read_committed",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        fetch_max_wait_ms=100,
    )
    await consumer.start()
    try:
        consumer.assign([TopicPartition(topics.actions, partition) for partition in range(topics.partitions)])
        answers = kind(consumer)
        try:
            yield answers
        finally:
            answers.reading.cancel()
    finally:
        await consumer.stop()


async def drained(settings: Settings, feed: Load, logs: Path) -> None:
    """End the load and wait until the group has committed all of it."""
    await feed.finish()
    deadline = asyncio.get_running_loop().time() + WAIT_S
    while await group_offsets(settings) != feed.ends():
        assert asyncio.get_running_loop().time() < deadline, f"not drained in {WAIT_S:g} s; logs: {logs}"
        await asyncio.sleep(POLL_S)


class Trial:
    """Two instances under load; made by `trial`."""

    def __init__(self, settings: Settings, flags: Mapping[str, Any], feed: Load, answers: Answers, logs: Path) -> None:
        self.settings = settings
        self.load = feed
        self.members: dict[str, Member] = {}
        self._flags = flags
        self._answers = answers
        self._logs = logs
        self._each_s: list[float] = []

    async def start(self, instance_id: str) -> None:
        """Start an instance."""
        self.members[instance_id] = await Member.start(instance_id, self._flags, self._logs / f"{instance_id}.log")

    async def kill(self, instance_id: str) -> None:
        """SIGKILL an instance."""
        await self.members.pop(instance_id).end(signal.SIGKILL)

    async def balanced(self) -> None:
        """Wait until both instances work, and together on everything."""

        def holds() -> bool:
            shares = [member.running for member in self.members.values()]
            return all(shares) and sorted(p for share in shares for p in share) == list(range(PARTITIONS))

        await self._until(holds, "both instances at work")

    async def measured(self, began_s: float) -> None:
        """Note how long it takes until an event written from now on is answered in every partition."""
        await self._answers.beyond(self.load.ends())
        self._each_s.append(asyncio.get_running_loop().time() - began_s)
        print(f"{self._each_s[-1]:.2f} s", file=sys.stderr, flush=True)

    async def figures(self) -> Figures:
        """End the load, drain, stop all instances in an orderly way, compare."""
        await drained(self.settings, self.load, self._logs)
        await self._end(signal.SIGTERM)
        found = await verdict(self.settings, acknowledged=self.load.acknowledged)
        ordered = sorted(self._each_s)
        return Figures(
            len(ordered),
            rank(ordered, 0.50),
            rank(ordered, 0.99),
            rank(ordered, 1.0),
            [round(seconds, 2) for seconds in self._each_s],
            self.load.count,
            [str(difference) for difference in found],
        )

    async def close(self) -> None:
        """End what still runs."""
        await self._end(signal.SIGKILL)

    async def _end(self, number: signal.Signals) -> None:
        await asyncio.gather(*(member.end(number) for member in self.members.values()))
        self.members.clear()

    async def _until(self, holds: Callable[[], bool], what: str) -> None:
        deadline = asyncio.get_running_loop().time() + WAIT_S
        while not holds():
            assert asyncio.get_running_loop().time() < deadline, f"not {what} in {WAIT_S:g} s; logs: {self._logs}"
            await asyncio.sleep(POLL_S)


@asynccontextmanager
async def trial(servers: str, logs: Path, sessions: int, engine: Mapping[str, Any]) -> AsyncIterator[Trial]:
    """Fresh topics, ``sessions`` per partition in the state of two instances, and the load going on."""
    name = f"recovery-{secrets.token_hex(3)}"
    roles = ("state", "actions", "metrics", "dead_letters", "changelog")
    flags = {
        "kafka.bootstrap_servers": servers,
        "topics.partitions": PARTITIONS,
        "topics.replication_factor": 3 if "," in servers else 1,
        "engine.application_id": name,
        **{f"topics.{role}": f"{name}.{role}" for role in roles},
        **{f"engine.{key}": value for key, value in engine.items()},
    }
    settings = load_settings(None, {}, flags)
    await create_topics(settings)
    source = events(seed=1, sessions=sessions * PARTITIONS)
    async with AsyncExitStack() as stack:
        feed = await stack.enter_async_context(load(servers, settings.topics.state, PARTITIONS, source))
        answers = await stack.enter_async_context(following(settings, Answers))
        made = Trial(settings, flags, feed, answers, logs)
        stack.push_async_callback(made.close)
        for instance_id in INSTANCES:
            await made.start(instance_id)
        for _ in range(0, sessions * PARTITIONS * EVENTS_PER_SESSION, CHUNK_EVENTS):
            await feed.send(min(CHUNK_EVENTS, sessions * PARTITIONS * EVENTS_PER_SESSION))
        feed.begin(RATE)
        await made.balanced()
        await answers.beyond(feed.ends())
        yield made


async def restarts(servers: str, logs: Path, kills: int, sessions: int, session_timeout_ms: int) -> Figures:
    """Static members; the killed one is started again at once."""
    engine = {"static_membership": "true", "session_timeout_ms": session_timeout_ms}
    async with trial(servers, logs, sessions, engine) as made:
        for number in range(kills):
            victim = INSTANCES[number % 2]
            began_s = asyncio.get_running_loop().time()
            await made.kill(victim)
            await made.start(victim)
            await made.measured(began_s)
            await made.balanced()
        return await made.figures()


async def takeovers(servers: str, logs: Path, kills: int, sessions: int, session_timeout_ms: int) -> Figures:
    """The killed instance comes back only after the other one has taken over."""
    async with trial(servers, logs, sessions, {"session_timeout_ms": session_timeout_ms}) as made:
        for number in range(kills):
            victim = INSTANCES[number % 2]
            began_s = asyncio.get_running_loop().time()
            await made.kill(victim)
            await made.measured(began_s)
            await made.start(victim)
            await made.balanced()
        return await made.figures()


async def broker_losses(kafka: EmbeddedKafka, logs: Path, losses: int, sessions: int) -> Figures:
    """The killed node comes back only after the recovery."""
    async with nodes_of(kafka) as nodes, trial(kafka.bootstrap_servers, logs, sessions, {}) as made:
        for number in range(losses):
            await nodes.whole()
            victim = await _in_role(number, nodes, made)
            began_s = asyncio.get_running_loop().time()
            await nodes.kill(victim)
            await made.measured(began_s)
            await nodes.restart(victim)
            await made.balanced()
        await nodes.whole()
        return await made.figures()


async def _in_role(number: int, nodes: Nodes, made: Trial) -> int:
    application_id = made.settings.engine.application_id
    match number % 4:
        case 0:
            return await nodes.leader(made.settings.topics.state, random.randrange(PARTITIONS))
        case 1:
            return await nodes.leader(*await nodes.coordination(GROUPS, application_id))
        case 2:
            return await nodes.leader(*await nodes.coordination(TRANSACTIONS, f"{application_id}-{INSTANCES[0]}"))
    return await nodes.controller()


def rank(ordered: Sequence[float], share: float) -> float:
    """The nearest rank, to a hundredth."""
    return round(ordered[math.ceil(share * len(ordered)) - 1], 2)


async def _measure(options: argparse.Namespace, logs: Path) -> dict[str, Figures]:
    found: dict[str, Figures] = {}
    if options.kills or options.takeovers:
        async with EmbeddedKafka(properties=KAFKA_SETTINGS) as kafka:
            for timeout_ms in options.session_timeouts_ms:
                for name, part, kills in (
                    ("restart", restarts, options.kills),
                    ("takeover", takeovers, options.takeovers),
                ):
                    if kills:
                        title = f"{name}, session time-out {timeout_ms} ms"
                        print(title, file=sys.stderr, flush=True)
                        found[title] = await part(kafka.bootstrap_servers, logs, kills, options.sessions, timeout_ms)
    if options.losses:
        print("broker", file=sys.stderr, flush=True)
        async with EmbeddedKafka(3, properties=KAFKA_SETTINGS) as kafka:
            found["broker"] = await broker_losses(kafka, logs, options.losses, options.sessions)
    return found


def main() -> int:
    """The program; returns the exit code, 1 where the oracle found a difference."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20, help="of an instance that is started again at once")
    parser.add_argument("--takeovers", type=int, default=10, help="kills of an instance that does not come back")
    parser.add_argument("--losses", type=int, default=12, help="of a broker")
    parser.add_argument("--sessions", type=int, default=10_000, help="per partition")
    parser.add_argument("--session-timeouts-ms", type=int, nargs="+", default=[10_000, 1_500], metavar="MS")
    parser.add_argument("--json", action="store_true", help="figures as JSON")
    options = parser.parse_args()
    logging.disable(logging.ERROR)  # the client tells every refused connection, and here they are wanted
    with tempfile.TemporaryDirectory(prefix="recovery-") as logs:
        found = asyncio.run(_measure(options, Path(logs)))
    if options.json:
        json.dump(msgspec.to_builtins(found), sys.stdout, indent=2)
    else:
        for name, part in found.items():
            print(f"{name}: {part.recoveries} recoveries, p50 {part.p50_s} s, p99 {part.p99_s} s, max {part.max_s} s")
    return int(any(part.differences for part in found.values()))


if __name__ == "__main__":
    sys.exit(main())
