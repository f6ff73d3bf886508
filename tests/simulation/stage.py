"""A quiet simulation for one scenario: instances are started by hand, faults are scripted."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from processor.engine.observer import Committed
from processor.errors import ProcessorError
from tests.simulation.broker import INPUT, ModelKafka
from tests.simulation.log import NewRecord
from tests.simulation.network import Fate
from tests.simulation.simulation import Instance, Plan, Simulation
from tests.simulation.virtual_time import run


def in_virtual_time(scenario: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Make a test of a coroutine function; it runs in a virtual loop of its own."""

    @functools.wraps(scenario)
    def test(*arguments: Any, **keywords: Any) -> None:
        run(scenario(*arguments, **keywords))

    return test


class Stage:
    """Broker, oracle, instances. Partitions are fed with ``feed``; ``settled`` waits until all is processed."""

    def __init__(self, partitions: int = 2, **plan: Any) -> None:
        self.simulation = Simulation(Plan(1, events=0, partitions=partitions, instances=0, faults={}, **plan))
        self.broker: ModelKafka = self.simulation.broker
        self.oracle = self.simulation.oracle
        self.requests: list[tuple[str, str]] = []  # (instance, kind), as they are sent
        self.fates: dict[str, list[Fate]] = {}  # of the next requests of a kind
        self.broker.weather.script = self._script
        self.broker.weather.noticed = 0.0

    def _script(self, process: str, kind: str) -> Fate | None:
        self.requests.append((process, kind))
        waiting = self.fates.get(kind)
        return waiting.pop(0) if waiting else None

    def start(self, name: str = "i0") -> Instance:
        """One instance; nobody restarts it."""
        return Instance(self.simulation, name)

    def feed(self, partition: int, values: Sequence[bytes | int], key: bytes = b"k", timestamp: int = 1) -> None:
        """Input records of one session; numbers are sequences."""
        records = [NewRecord(key, b"%d" % v if isinstance(v, int) else v, (), timestamp) for v in values]
        self.broker.logs[INPUT, partition].append(records)

    async def until(self, condition: Callable[[], object], patience_s: float = 30.0, step_s: float = 0.001) -> None:
        """Wait for a state, in steps of a virtual millisecond."""
        async with asyncio.timeout(patience_s):
            while not condition():  # noqa: ASYNC110 -- virtual time costs nothing
                await asyncio.sleep(step_s)

    async def settled(self, patience_s: float = 30.0) -> None:
        """Everything is processed, committed, marked, and equal to the replay."""
        await self.until(lambda: not self.oracle.at_rest() or self.oracle.violations, patience_s, 0.01)
        assert self.oracle.violations == []

    async def end_of(self, instance: Instance, patience_s: float = 30.0) -> ProcessorError | None:
        """The refusal with which an instance ended, None where it just ended."""
        async with asyncio.timeout(patience_s):
            try:
                await asyncio.shield(instance.main)
            except ProcessorError as refusal:
                return refusal
        return None

    def close(self, *instances: Instance) -> None:
        """No process survives the scenario."""
        for instance in instances:
            self.broker.kill(instance.process)


def reports(instance: Instance) -> list[Committed]:
    """What the instance's observer heard of commits, from now on."""
    heard: list[Committed] = []
    original = instance.seen.committed

    def committed(report: Committed) -> None:
        original(report)
        heard.append(report)

    instance.seen.committed = committed  # type: ignore[method-assign]
    return heard
