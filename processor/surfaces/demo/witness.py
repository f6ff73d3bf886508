"""What the demo sees of the processor: nothing but committed records, read like anybody else's."""

from __future__ import annotations

import asyncio
from collections import deque
from time import monotonic

from processor.config import Settings
from processor.surfaces.audit import Auditor, Output
from processor.surfaces.folds import partition_fold
from processor.surfaces.ports import Reader
from processor.surfaces.simulator.population import Population
from processor.surfaces.story import Story

RATE_WINDOW_S = 3.0


class Witness:
    """Reads all topics, audits them, tells the story and lets the sessions hear their actions."""

    def __init__(self, settings: Settings, population: Population) -> None:
        self._input = settings.topics.state
        self._actions = settings.topics.actions
        self._population = population
        self.auditor = Auditor(
            settings.topics,
            lambda partition: partition_fold(settings, partition),
        )
        self.story = Story()
        self.own_inputs = 0
        self._seen: deque[tuple[float, int]] = deque([(monotonic(), 0)])
        self._moved = asyncio.Event()

    async def watch(self, reader: Reader) -> None:
        """Until cancelled."""
        while True:
            chunks = await reader.read(timeout_s=1.0)
            for chunk in chunks:
                self.auditor.take(chunk)
                if chunk.topic == self._input:
                    self.own_inputs += sum(self._population.owns(record.key) for record in chunk.records)
                if chunk.topic == self._actions:
                    for record in chunk.records:
                        if record.value is not None:
                            action = self.story.hear(record.value)
                            if action.error is None:
                                self._population.hear(action.session_id, action.current_factor)
                # A backlog is worked off in slices, so that the view and the sender have their turns.
                await asyncio.sleep(0)
            if chunks:
                self._moved.set()

    def rate(self, now: float) -> float:
        """Committed actions per second over the last seconds."""
        total = self.actions
        self._seen.append((now, total))
        while len(self._seen) > 2 and now - self._seen[0][0] > RATE_WINDOW_S:
            self._seen.popleft()
        since, before = self._seen[0]
        return (total - before) / (now - since) if now > since else 0.0

    @property
    def actions(self) -> int:
        """Committed actions read so far."""
        return self.auditor.committed[Output.ACTIONS]

    async def caught_up(self, events: int) -> None:
        """Wait until that many of the population's records are read and everything they give is committed."""
        while self.own_inputs < events or not self.auditor.settled:
            self._moved.clear()
            await self._moved.wait()
