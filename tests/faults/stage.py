"""One scenario: its topics, its instances, its load, and the oracle's verdict at the end."""

from __future__ import annotations

import asyncio
import random
import secrets
import signal
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from processor.backends.kafka import apply, connected, observe
from processor.backends.kafka.members import group_members
from processor.config import Settings, declared_topology, load_settings
from tests.faults.instance import WAIT_S, Instance
from tests.faults.load import Event, Load, events, load
from tests.faults.points import Fault
from tests.kafka import tools
from tests.kafka.locked import as_party, client_access
from tests.oracle.live import LiveReader, live_reader
from tests.oracle.verdict import Acknowledged, committed_logs, compare, group_offsets, inputs
from topology import plan

SESSIONS = 200
DRAIN_S = 60.0
TOLD_INSTANCES = 4

# Short explorations change much state; short time-outs let faults of minutes happen in seconds.
SCENARIO_SETTINGS: dict[str, Any] = {
    "loop.max_exploration_steps": 12,
    "loop.recovery_steps": 3,
    "loop.stable_patience_steps": 6,
    "quality.min_samples": 4,
    "quality.max_history": 60,
    "quality.retrain_interval": 2,
    "streaming.interval_steps": 5,
    "topics.replication_factor": 1,
    "kafka.request_timeout_ms": 5_000,
    "engine.session_timeout_ms": 1_500,
    "engine.transaction_timeout_ms": 1_500,
    "engine.rebalance_timeout_ms": 3_000,
    "engine.commit_interval_ms": 20,
}

# For a scenario that expects no doubt: a process that stalls for seconds keeps its membership and its transaction.
PATIENT: dict[str, Any] = {"engine.session_timeout_ms": 10_000, "engine.transaction_timeout_ms": 10_000}


class Stage:
    """What a scenario works with; made by `stage`."""

    def __init__(
        self,
        settings: Settings,
        seed: int,
        folder: Path,
        made: Load,
        instance_kafka: Mapping[str, Any] | None = None,
        live: LiveReader | None = None,
    ) -> None:
        self.settings = settings
        self.seed = seed
        self.dice = random.Random(seed)
        self.load = made
        self.instances: list[Instance] = []
        self._folder = folder
        self._live = live
        self._instance_kafka = instance_kafka or {}
        self._changed = asyncio.Condition()

    async def start(
        self,
        instance_id: str,
        *faults: Fault,
        patience_s: float | None = None,
        version: str | None = None,
        **engine: Any,
    ) -> Instance:
        """Start an instance under this id; ``engine`` settings of its own are not checked for consistency.

        With a ``version`` it takes itself for that one.
        """
        made = msgspec.structs.replace(
            self.settings,
            engine=msgspec.structs.replace(self.settings.engine, instance_id=instance_id, **engine),
            kafka=msgspec.structs.replace(self.settings.kafka, **self._instance_kafka),
        )
        settings = await as_party(made, "processor")
        name = f"{len(self.instances):02d}-{instance_id}"
        instance = Instance(settings, faults, self._folder, name, self._changed, patience_s, version)
        self.instances.append(instance)
        await instance.start()
        return instance

    async def until(self, what: str, holds: Callable[[], bool], timeout_s: float = WAIT_S) -> None:
        """Wait for something that the journals tell."""
        try:
            async with asyncio.timeout(timeout_s), self._changed:
                await self._changed.wait_for(holds)
        except TimeoutError:
            raise AssertionError(f"seed {self.seed}: not {what} after {timeout_s:g} s\n{self.told()}") from None

    async def working(self, *instances: Instance) -> None:
        """Wait until each of these instances works, and every partition is worked on by exactly one of them."""
        wanted = list(range(self.settings.topics.partitions))

        def holds() -> bool:
            shares = [instance.works_on() for instance in instances]
            return all(shares) and sorted(partition for share in shares for partition in share) == wanted

        await self.until(f"all partitions with {', '.join(i.name for i in instances)}", holds)

    def committed(self) -> dict[int, int]:
        """Per partition the furthest input offset that any instance knows to be committed."""
        furthest: dict[int, int] = {}
        for instance in self.instances:
            for partition, position in instance.positions().items():
                furthest[partition] = max(position, furthest.get(partition, 0))
        return furthest

    async def deserted(self) -> None:
        """Wait until the broker has put every member out of the group: whoever comes then comes from nowhere."""
        group, topic = self.settings.engine.application_id, self.settings.topics.state
        async with connected(self.settings, "onlooker") as connection, asyncio.timeout(WAIT_S):
            while True:
                if not await group_members(connection, group, topic):
                    return
                await asyncio.sleep(0.1)  # the broker has no call that waits for it

    async def drained(self) -> None:
        """End the load and wait until all of it is committed."""
        await self.load.finish()
        ends = self.load.ends()

        def holds() -> bool:
            committed = self.committed()
            return all(committed.get(partition, 0) >= end for partition, end in ends.items())

        await self.until(f"drained up to {ends}", holds, DRAIN_S)

    async def finished(self) -> None:
        """Drain, and stop every instance in an orderly way."""
        await self.drained()
        running = [instance for instance in self.instances if not instance.ended]
        for instance in running:
            instance.signal(signal.SIGTERM)
        for instance in running:
            code = await instance.wait()
            self.expect(code == 0, f"{instance.name} ended with {code}")
        self._save()

    async def proven(self, *, inputs: bool = True) -> int:
        """Drain, stop every instance, and let the oracle compare everything; returns how many records it compared.

        O1, O2, O3, O5; with ``inputs`` O7; with a live reader O6.
        """
        await self.finished()
        sent = self.load.acknowledged if inputs else None
        found, compared = await self._differences(sent)
        servers = self.settings.kafka.bootstrap_servers
        ours = f"{self.settings.engine.application_id}-"
        still_open = await asyncio.to_thread(tools.open_transactions, servers)
        found += [f"O5 open transaction: {name}" for name in still_open if name.startswith(ours)]
        self.expect(not found, "\n".join(found))
        return compared

    async def consistent(self, *, quiet: bool = False) -> int:
        """Let the oracle compare what is committed now, while nobody commits (O1 to O3 up to the progress: O4).

        ``quiet`` waits until the broker has ended open transactions.  Returns how many records were compared.
        """
        found, compared = await self._differences(drained=False, quiet=quiet)
        self.expect(not found, "\n".join(found))
        return compared

    async def _differences(
        self, acknowledged: Acknowledged | None = None, *, drained: bool = True, quiet: bool = True
    ) -> tuple[list[str], int]:
        logs = await committed_logs(self.settings, quiet=quiet)
        found = compare(self.settings, logs, await group_offsets(self.settings, quiet=quiet), drained=drained)
        if acknowledged is not None:
            found += inputs(logs[self.settings.topics.state], acknowledged)
        if self._live is not None:
            found += await self._live.differences(logs)
        compared = sum(len(records) for log in logs.values() for records in log.records.values())
        return [str(difference) for difference in found], compared

    def expect(self, condition: bool, message: str) -> None:
        """An assertion that tells the seed and the journals."""
        if not condition:
            raise AssertionError(f"seed {self.seed}: {message}\n{self.told()}")

    def told(self) -> str:
        """The ends of all journals and logs; the whole of them stays in the test's folder."""
        self._save()
        return "\n".join([f"journals and logs: {self._folder}", *(i.told() for i in self.instances[-TOLD_INSTANCES:])])

    def _save(self) -> None:
        for instance in self.instances:
            instance.save()

    async def close(self) -> None:
        """End whatever still runs."""
        for instance in self.instances:
            await instance.kill()
        self._save()


@asynccontextmanager
async def stage(
    bootstrap_servers: str,
    folder: Path,
    *,
    seed: int,
    partitions: int = 4,
    sessions: int = SESSIONS,
    source: Iterator[Event] | None = None,
    settings: Mapping[str, Any] | None = None,
    instance_kafka: Mapping[str, Any] | None = None,
    live: bool = False,
) -> AsyncIterator[Stage]:
    """Fresh topics and a fresh group for one scenario; its processes end with it.

    ``instance_kafka`` settings are the instances' alone: addresses of a proxy, short time-outs.
    With ``live`` a reader of the outputs is there all the time, and must have seen what is committed in the end (O6).
    Where the cluster at ``bootstrap_servers`` has a locked door in use, instances and load log in there.
    """
    made = scenario_settings(bootstrap_servers, partitions, settings or {})
    await create_topics(made)
    access = client_access((await as_party(made, "producer")).kafka)
    outputs = (made.topics.actions, made.topics.metrics, made.topics.dead_letters)
    async with AsyncExitStack() as stack:
        feed = await stack.enter_async_context(
            load(access, made.topics.state, partitions, source or events(seed, sessions))
        )
        reader = await stack.enter_async_context(live_reader(bootstrap_servers, outputs)) if live else None
        scenario = Stage(made, seed, folder, feed, instance_kafka, reader)
        stack.push_async_callback(scenario.close)
        yield scenario


def scenario_settings(
    bootstrap_servers: str, partitions: int, more: Mapping[str, Any], *, config: Path | None = None
) -> Settings:
    """Settings with names that no other scenario has; with a ``config`` file the loop behaves as that says."""
    name = f"faults-{secrets.token_hex(4)}"
    names = {
        f"topics.{role}": f"{name}.{role.replace('_', '-')}"
        for role in ("state", "actions", "metrics", "dead_letters", "changelog")
    }
    quick = (
        SCENARIO_SETTINGS
        if config is None
        else {
            key: value for key, value in SCENARIO_SETTINGS.items() if key.startswith(("topics.", "kafka.", "engine."))
        }
    )
    flags = {
        **quick,
        **names,
        "topics.partitions": partitions,
        "kafka.bootstrap_servers": bootstrap_servers,
        "engine.application_id": name,
        **more,
    }
    return load_settings(config, {}, flags)


async def create_topics(settings: Settings) -> None:
    """What `creative-feedback topics apply` does."""
    settings = await as_party(settings, "topics")
    declared = declared_topology(settings)
    async with connected(settings, "topics") as connection:
        steps = plan(declared, await observe(connection, declared))
        assert not steps.refusals, steps.refusals
        await apply(connection, settings, steps, declared)
