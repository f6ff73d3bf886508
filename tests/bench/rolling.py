"""How long each partition pauses while instances are restarted in turn, or become more and fewer.

    python -m tests.bench.rolling --json

The instances are `creative-feedback run` in processes of their own, named as a StatefulSet names its pods, with the
product's own settings and Kafka's own time-outs; events come all the time.  Static members, static ones that leave when
they are told to stop (``engine.leave_on_stop``), then dynamic ones:

    quiet            nobody comes or goes: what a pause is measured against
    scale 1 to 3     two pods more, at the same moment
    restart          the highest ordinal first: SIGTERM, its end, a new process under the same name until
                     /health/ready, then the next one; ``--away-s`` later, where a pod takes so long to come back
    scale 3 to 2     the highest ordinal ends and does not come back; static: nobody says so, and it is waited for
    scale 2 to 3     static only: one pod more
    scale 3 to 2, said   static only: `creative-feedback leave` follows the end

A pause is the longest time in which a read_committed consumer got no action of a partition, where it overlaps with the
step.  ``touched`` are the partitions whose pod ends or changes in the step, ``others`` the rest.  In the end all that
is committed is compared with a replay of the input.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import secrets
import signal
import sys
import tempfile
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
from aiokafka import AIOKafkaConsumer
from msgspec import Struct

from processor.backends.embedded import EmbeddedKafka
from processor.backends.embedded.ports import free_ports
from processor.config import Settings, load_settings
from tests.bench.recovery import (
    CHUNK_EVENTS,
    EVENTS_PER_SESSION,
    WAIT_S,
    Answers,
    Member,
    drained,
    following,
    rank,
)
from tests.faults.load import Load, events, load
from tests.faults.stage import create_topics
from tests.faults.stateful_set import pod_name
from tests.oracle import verdict

PODS = 3
STATIC = "static"
MEMBERSHIPS = {
    STATIC: {"engine.static_membership": "true"},
    "static, leaving": {"engine.static_membership": "true", "engine.leave_on_stop": "true"},
    "dynamic": {"engine.static_membership": "false"},
}
READY_POLL_S = 0.1
QUIET_S = 5.0


class Pauses(Struct, frozen=True):
    """Seconds, by nearest rank, over so many pauses."""

    count: int
    p50_s: float
    p99_s: float
    max_s: float


class Step(Struct, frozen=True):
    """One kind of step: how long each of them took until everything moved, and the pauses in all of them."""

    each_s: list[float]
    touched: Pauses | None
    others: Pauses | None


class Figures(Struct, frozen=True):
    """One kind of membership."""

    steps: dict[str, Step]
    events: int
    differences: list[str]


class Arrivals(Answers):
    """When actions came, by partition, as a read_committed consumer sees it."""

    def __init__(self, consumer: AIOKafkaConsumer) -> None:
        self._came_s: dict[int, list[float]] = {}
        super().__init__(consumer)

    def came(self, partition: int, source_offset: int) -> None:
        """Note when."""
        self._came_s.setdefault(partition, []).append(asyncio.get_running_loop().time())
        super().came(partition, source_offset)

    def longest_s(self, partition: int, since_s: float, until_s: float) -> float:
        """The partition's longest pause that overlaps with this span and ended in it."""
        came = [at_s for at_s in self._came_s[partition] if at_s <= until_s]
        return max(after - before for before, after in pairwise(came) if after > since_s)


class Trial:
    """The pods by ordinal, under load; made by `trial`."""

    def __init__(
        self, settings: Settings, flags: Mapping[str, Any], feed: Load, arrivals: Arrivals, logs: Path, away_s: float
    ) -> None:
        self.settings = settings
        self._flags = flags
        self._load = feed
        self._arrivals = arrivals
        self._logs = logs
        self._away_s = away_s
        self._pods: list[Member] = []
        self._addresses = [f"http://127.0.0.1:{port}" for port in free_ports(PODS)]
        self._http = aiohttp.ClientSession()
        self._took_s: dict[str, list[float]] = {}
        self._paused: dict[str, tuple[list[float], list[float]]] = {}  # of those touched, of the others

    async def scale_up(self, count: int) -> None:
        """Start what is missing, all at once."""
        for ordinal in range(len(self._pods), count):
            self._pods.append(await self._start(ordinal))
        await self._settled()

    async def scale_down(self, *, said: bool) -> None:
        """End the highest ordinal for good."""
        await self._pods.pop().end(signal.SIGTERM)
        if said:
            await self._command("leave", pod_name(len(self._pods)))
        await self._settled()

    async def restart(self, ordinal: int) -> None:
        """End one pod, and start it again under the same name."""
        await self._pods[ordinal].end(signal.SIGTERM)
        await asyncio.sleep(self._away_s)
        self._pods[ordinal] = await self._start(ordinal)
        await self._settled()

    @asynccontextmanager
    async def step(self, name: str, ordinal: int | None = None) -> AsyncIterator[None]:
        """Measure what happens in it; ``ordinal`` is the pod that ends, without one partitions change pods."""
        print(f"{name} {'' if ordinal is None else pod_name(ordinal)}", file=sys.stderr, flush=True)
        loop = asyncio.get_running_loop()
        owners = self._owners()
        began_s = loop.time()
        yield
        until_s = loop.time()
        now = self._owners()
        touched = {p for p, owner in owners.items() if now[p] != owner or owner == ordinal}
        paused = self._paused.setdefault(name, ([], []))
        for partition in owners:
            longest_s = self._arrivals.longest_s(partition, began_s, until_s)
            paused[partition not in touched].append(longest_s)
        self._took_s.setdefault(name, []).append(round(until_s - began_s, 2))

    async def quiet(self) -> None:
        """Nothing happens for a while, but work."""
        await asyncio.sleep(QUIET_S)
        await self._settled()

    async def figures(self) -> Figures:
        """End the load, drain, stop all pods in an orderly way, compare."""
        await drained(self.settings, self._load, self._logs)
        await self._end(signal.SIGTERM)
        found = await verdict(self.settings, acknowledged=self._load.acknowledged)
        steps = {
            name: Step(each_s, *(ranked(pauses) for pauses in self._paused[name]))
            for name, each_s in self._took_s.items()
        }
        return Figures(steps, self._load.count, [str(difference) for difference in found])

    async def close(self) -> None:
        """End what still runs."""
        await self._end(signal.SIGKILL)
        await self._http.close()

    async def _end(self, number: signal.Signals) -> None:
        await asyncio.gather(*(pod.end(number) for pod in self._pods))
        self._pods.clear()

    async def _start(self, ordinal: int) -> Member:
        name, address = pod_name(ordinal), self._addresses[ordinal]
        own = {"http.port": address.rpartition(":")[2], "http.advertised_url": address}
        return await Member.start(name, {**self._flags, **own}, self._logs / f"{name}.log")

    async def _command(self, *arguments: str) -> None:
        options = [f"--set={name}={value}" for name, value in self._flags.items()]
        command = (sys.executable, "-m", "processor.app", *arguments, *options)
        process = await asyncio.create_subprocess_exec(*command, stdin=DEVNULL, stdout=DEVNULL)
        assert await process.wait() == 0

    def _owners(self) -> dict[int, int]:
        return {partition: ordinal for ordinal, pod in enumerate(self._pods) for partition in pod.running}

    async def _settled(self) -> None:
        """Every pod is ready, every partition is one pod's, and what is written now is answered."""
        for _, address in zip(self._pods, self._addresses, strict=False):
            await self._until(partial(self._ready, address), "ready")
        await self._arrivals.beyond(self._load.ends())
        await self._until(self._shared, "all partitions at work")

    async def _shared(self) -> bool:
        shares = [pod.running for pod in self._pods]
        worked_on = sorted(partition for share in shares for partition in share)
        return all(shares) and worked_on == list(range(self.settings.topics.partitions))

    async def _ready(self, address: str) -> bool:
        with suppress(aiohttp.ClientError):
            async with self._http.get(f"{address}/health/ready") as answer:
                return answer.status == 200
        return False

    async def _until(self, holds: Callable[[], Awaitable[bool]], what: str) -> None:
        deadline = asyncio.get_running_loop().time() + WAIT_S
        while not await holds():
            assert asyncio.get_running_loop().time() < deadline, f"not {what} in {WAIT_S:g} s; logs: {self._logs}"
            await asyncio.sleep(READY_POLL_S)


def ranked(pauses_s: Iterable[float]) -> Pauses | None:
    """Their nearest ranks; None where there are none."""
    ordered = sorted(pauses_s)
    if not ordered:
        return None
    return Pauses(len(ordered), rank(ordered, 0.50), rank(ordered, 0.99), rank(ordered, 1.0))


@asynccontextmanager
async def trial(servers: str, logs: Path, options: Options, membership: Mapping[str, str]) -> AsyncIterator[Trial]:
    """Fresh topics with sessions in them, one pod, and the load going on."""
    name = f"rolling-{secrets.token_hex(3)}"
    roles = ("state", "actions", "metrics", "dead_letters", "changelog")
    flags = {
        "kafka.bootstrap_servers": servers,
        "topics.partitions": options.partitions,
        "topics.replication_factor": 1,
        "engine.application_id": name,
        **membership,
        **{f"topics.{role}": f"{name}.{role}" for role in roles},
    }
    settings = load_settings(None, {}, flags)
    await create_topics(settings)
    async with AsyncExitStack() as stack:
        source = events(seed=1, sessions=options.sessions)
        feed = await stack.enter_async_context(load(servers, settings.topics.state, options.partitions, source))
        arrivals = await stack.enter_async_context(following(settings, Arrivals))
        made = Trial(settings, flags, feed, arrivals, logs, options.away_s)
        stack.push_async_callback(made.close)
        for left in range(options.sessions * EVENTS_PER_SESSION, 0, -CHUNK_EVENTS):
            await feed.send(min(CHUNK_EVENTS, left))
        feed.begin(options.rate)
        await made.scale_up(1)
        yield made


class Options(Struct, frozen=True):
    """How much of it: events a second, sessions and partitions in all, seconds from a pod's end to its new start."""

    partitions: int
    sessions: int
    rate: float
    rolls: int
    away_s: float


async def measure(servers: str, logs: Path, options: Options, kind: str) -> Figures:
    """All steps with one kind of membership."""
    async with trial(servers, logs, options, MEMBERSHIPS[kind]) as made:
        async with made.step("quiet"):
            await made.quiet()
        async with made.step("scale 1 to 3"):
            await made.scale_up(PODS)
        for _ in range(options.rolls):
            for ordinal in reversed(range(PODS)):
                async with made.step("restart", ordinal):
                    await made.restart(ordinal)
        async with made.step("scale 3 to 2", 2):
            await made.scale_down(said=False)
        if kind == STATIC:
            async with made.step("scale 2 to 3"):
                await made.scale_up(PODS)
            async with made.step("scale 3 to 2, said", 2):
                await made.scale_down(said=True)
        return await made.figures()


def ratios(static: Figures, other: Figures) -> dict[str, float]:
    """The other to static, of the median pause of all partitions that a step touched."""
    return {
        name: round(step.touched.p50_s / known.touched.p50_s, 2)
        for name, step in other.steps.items()
        if step.touched is not None and (known := static.steps[name]).touched is not None
    }


def main() -> int:
    """The program; returns the exit code, 1 where the oracle found a difference."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--partitions", type=int, default=12)
    parser.add_argument("--sessions", type=int, default=4_000, help="in all")
    parser.add_argument("--rate", type=float, default=600.0, help="events a second")
    parser.add_argument("--rolls", type=int, default=1, help="rolling restarts of all three")
    parser.add_argument("--away-s", type=float, default=0.0, help="from a pod's end to its new start")
    parser.add_argument("--only", nargs="+", choices=MEMBERSHIPS, default=list(MEMBERSHIPS), help="kinds of members")
    parser.add_argument("--json", action="store_true", help="figures as JSON")
    asked = parser.parse_args()
    options = Options(asked.partitions, asked.sessions, asked.rate, asked.rolls, asked.away_s)
    logging.disable(logging.ERROR)  # the client tells every topic that is not there yet
    with tempfile.TemporaryDirectory(prefix="rolling-") as logs, EmbeddedKafka() as kafka:
        found = {
            name: asyncio.run(measure(kafka.bootstrap_servers, Path(logs), options, name))
            for name in MEMBERSHIPS
            if name in asked.only
        }
    compared = {
        f"{name} to {STATIC}": ratios(found[STATIC], figures)
        for name, figures in found.items()
        if STATIC in found and name != STATIC
    }
    if asked.json:
        json.dump({**msgspec.to_builtins(found), **compared}, sys.stdout, indent=2)
    else:
        for name, figures in found.items():
            for what, step in figures.steps.items():
                print(f"{name}, {what}: {step.each_s} s; pauses of those touched {step.touched}, others {step.others}")
    return int(any(figures.differences for figures in found.values()))


if __name__ == "__main__":
    sys.exit(main())
