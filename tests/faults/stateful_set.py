"""Instances as a StatefulSet runs them: stable names, the highest ordinal goes first, one at a time."""

from __future__ import annotations

import signal
from collections.abc import Iterable
from itertools import pairwise

from tests.faults.instance import Instance
from tests.faults.stage import Stage

NAME = "creative-feedback"


class StatefulSet:
    """The pods by ordinal, all of them members of the group of one scenario."""

    def __init__(self, scenario: Stage) -> None:
        self.pods: list[Instance] = []
        self._scenario = scenario

    async def scale_up(self, count: int) -> None:
        """Start what is missing, all at once, and wait until everything is worked on."""
        for ordinal in range(len(self.pods), count):
            self.pods.append(await self._scenario.start(pod_name(ordinal)))
        await self.working()

    async def working(self) -> None:
        """Wait until these pods, and nobody else, work on everything."""
        await self._scenario.working(*self.pods)

    async def moving(self) -> None:
        """Wait until each partition has gone on under its present owner; there must be load."""
        await self._scenario.until("all moving", lambda: all(moving_s(pod) is not None for pod in self.pods))

    def moving_s(self) -> float:
        """When that was."""
        return max(moving_s(pod) or 0.0 for pod in self.pods)

    async def take_away(self) -> Instance:
        """End the pod with the highest ordinal for good; it does not tell the group."""
        pod = self.pods.pop()
        await self._end(pod)
        return pod

    async def roll(self, version: str | None = None) -> list[tuple[Instance, Instance]]:
        """Restart every pod, as another version where one is given; the next one when this one is ready and moves.

        Returns what was before and what came after, in the order of the restarts.
        """
        restarted = []
        for ordinal in reversed(range(len(self.pods))):
            before = self.pods[ordinal]
            await self._end(before)
            after = self.pods[ordinal] = await self._scenario.start(pod_name(ordinal), version=version)
            await self.working()
            await self.moving()
            restarted.append((before, after))
        return restarted

    async def _end(self, pod: Instance) -> None:
        pod.signal(signal.SIGTERM)
        code = await pod.wait()
        self._scenario.expect(code == 0, f"{pod.name} ended with {code}")


def pod_name(ordinal: int) -> str:
    """Of the StatefulSet's pod."""
    return f"{NAME}-{ordinal}"


def moving_s(pod: Instance) -> float | None:
    """When it had committed something in each of the partitions it was last given; None as long as it has not."""
    given = pod.lines("assigned")[-1]
    left = set(given["partitions"])
    for line in pod.lines("committed"):
        if line["at_s"] > given["at_s"]:
            left -= set(map(int, line["positions"]))
            if not left:
                return float(line["at_s"])
    return None


def pauses_s(instances: Iterable[Instance], since_s: float, until_s: float) -> dict[int, float]:
    """Per partition the longest time without a commit that took it further, where it overlaps with this span.

    Seconds of the journals' clock.  A pause that has not ended by ``until_s`` counts up to there.
    """
    moved: dict[int, list[float]] = {}
    for instance in instances:
        for line in instance.lines("committed"):
            for partition in line["positions"] if line["records"] else ():
                moved.setdefault(int(partition), []).append(line["at_s"])
    longest = {}
    for partition, times_s in sorted(moved.items()):
        known = sorted([*(at_s for at_s in times_s if at_s < until_s), until_s])
        longest[partition] = max(after - before for before, after in pairwise(known) if after > since_s)
    return longest
