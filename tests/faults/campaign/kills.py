"""SIGKILL: half at the named points of the commit cycle, each as often as the others, half at any moment."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from pathlib import Path

from processor.backends.embedded import EmbeddedKafka
from tests.faults.campaign.crews import MOST_COMMITS, MOST_WAIT_S, PARTITIONS, RATE, crew_stage, workers_of
from tests.faults.campaign.report import Tally
from tests.faults.campaign.rounds import Round, derived
from tests.faults.instance import Instance
from tests.faults.points import POINTS, STARTING_STEPS, Fault
from tests.faults.stage import Stage

WORKING = "any moment of work"
UNSETTLED = "any moment of a start or rebalance"
POWER_CUT = "all workers at once"

MOST_COMMITS_AT_RANDOM = 4
MOST_UNSETTLED_S = 0.6
UNSETTLED_SHARE = 0.3


async def kills(kafka: EmbeddedKafka, folder: Path, part: Round, tally: Tally) -> None:
    """One round: two or three workers, by turns with static and dynamic membership."""
    async with crew_stage(kafka, folder, part) as scenario:
        crew = Crew(scenario, workers_of(part), tally)
        scenario.load.begin(RATE)
        targets = [target(part.seed, index) for index in range(part.first, part.first + part.faults)]
        for index, point in enumerate(targets):
            if index == part.faults // 2:
                await crew.power_cut()
            await (crew.kill_at_random() if point is None else crew.kill_at(point))
        await crew.settle()
        tally.checked(await scenario.proven())


def target(seed: int, index: int) -> str | None:
    """Where the kill number ``index`` (from 0) of a campaign hits: a named point, or None for a random moment.

    Every block of 16 named ones takes each point once, in an order of its own.
    """
    if index % 2 == 0:
        return None
    block, place = divmod(index // 2, len(POINTS))
    return random.Random(derived(seed, "points", block)).sample(POINTS, len(POINTS))[place]


class Crew:
    """The workers of a round by their ids; who was killed starts again when the next fault is known."""

    def __init__(self, scenario: Stage, names: tuple[str, ...], tally: Tally) -> None:
        self._scenario = scenario
        self._dice = scenario.dice
        self._tally = tally
        self._names = names
        self._workers: dict[str, Instance] = {}  # those that run
        self._hit_at_s: float | None = None  # the last kill, until every partition is worked on again

    async def settle(self) -> None:
        """Start whoever is down, and wait until every partition is worked on by exactly one worker."""
        await self._start_missing()
        await self._scenario.working(*self._workers.values())
        if self._hit_at_s is not None:
            self._tally.recovered(time.monotonic() - self._hit_at_s)
            self._hit_at_s = None

    async def kill_at(self, point: str) -> None:
        """A worker kills itself at this point: at one of its next commits, or while it starts."""
        step = point.split()[1]
        if step in STARTING_STEPS:
            victim = await self._one_down()
            reached = 1 if step == "open_epoch" else PARTITIONS // len(self._names)
            fault = Fault(point, self._dice.randrange(1, reached + 1), "kill")
            await self._start(victim, fault)
            await self._start_missing()
        else:
            await self.settle()
            victim = self._dice.choice(self._names)
            self._workers[victim].plan(Fault(point, self._dice.randrange(1, MOST_COMMITS + 1), "kill"))
        instance = self._workers.pop(victim)
        await instance.line("fault", lambda line: line["point"] == point)
        self._expect_killed(instance.name, await instance.wait())
        self._count(point)

    async def kill_at_random(self) -> None:
        """Mostly some milliseconds after some commit, else while workers start and partitions move."""
        # The moment itself is what is random here; nothing is waited for.
        if unsettled := self._dice.random() < UNSETTLED_SHARE:
            await self._start_missing()
            await asyncio.sleep(self._dice.uniform(0, MOST_UNSETTLED_S))
        else:
            await self.settle()
        victim = self._dice.choice(self._names)
        if not unsettled:
            await self._some_commits(self._workers[victim])
        instance = self._workers.pop(victim)
        instance.signal(signal.SIGKILL)
        self._expect_killed(instance.name, await instance.wait())
        self._count(UNSETTLED if unsettled else WORKING)

    async def power_cut(self) -> None:
        """All workers at once; what is committed then must be one consistent cut."""
        await self.settle()
        await self._some_commits(self._workers[self._dice.choice(self._names)])
        for instance in self._workers.values():
            instance.signal(signal.SIGKILL)
        for instance in self._workers.values():
            self._expect_killed(instance.name, await instance.wait())
        self._workers.clear()
        self._tally.fired("power cut", POWER_CUT)
        self._tally.checked(await self._scenario.consistent(quiet=True))

    async def _some_commits(self, instance: Instance) -> None:
        seen = len(instance.lines("offsets"))
        wanted = seen + self._dice.randrange(1, MOST_COMMITS_AT_RANDOM + 1)
        await self._scenario.until("some commits", lambda: len(instance.lines("offsets")) >= wanted)
        await asyncio.sleep(self._dice.uniform(0, MOST_WAIT_S))

    async def _one_down(self) -> str:
        """An id whose worker is to be started; one is stopped in an orderly way if all run."""
        missing = [name for name in self._names if name not in self._workers]
        if missing:
            return self._dice.choice(missing)
        name = self._dice.choice(self._names)
        instance = self._workers.pop(name)
        instance.signal(signal.SIGTERM)
        code = await instance.wait()
        self._scenario.expect(code == 0, f"{instance.name} ended with {code} after SIGTERM")
        return name

    async def _start_missing(self) -> None:
        for name in self._names:
            if name not in self._workers:
                await self._start(name)

    async def _start(self, name: str, *faults: Fault) -> None:
        self._workers[name] = await self._scenario.start(name, *faults)

    def _expect_killed(self, name: str, code: int) -> None:
        self._scenario.expect(code == -signal.SIGKILL, f"{name} ended with {code}, not by SIGKILL")

    def _count(self, point: str) -> None:
        self._hit_at_s = time.monotonic()
        self._tally.fired("kill", point)
