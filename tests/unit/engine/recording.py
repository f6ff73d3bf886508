"""Ports that write down what the engine asks of them."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping

from processor.engine.ports import Buffer, Token
from tests.simulation.client import ModelBuffer


class RecordingEpoch:
    """An `Epoch`; every step is noted when it begins (``produce``) and when it ends (``produced``).

    ``failures`` are raised by the step of that name; ``hold`` keeps a step from ending until it is set.
    """

    def __init__(self) -> None:
        self.steps: list[str] = []
        self.tokens: list[Token] = []
        self.positions: list[dict[int, int]] = []
        self.failures: dict[str, BaseException] = {}
        self.hold: dict[str, asyncio.Event] = {}
        self.began: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self.behind = 100

    def buffer(self, partition: int) -> Buffer:
        return ModelBuffer()

    async def add_partitions(self, buffers: Mapping[int, Buffer]) -> None:
        await self._step("add_partitions")

    async def add_offsets(self) -> None:
        await self._step("add_offsets")

    async def produce(self, buffers: Mapping[int, Buffer]) -> dict[int, int]:
        await self._step("produce")
        return dict.fromkeys(buffers, self.behind)

    async def commit_offsets(self, token: Token, positions: Mapping[int, int]) -> None:
        self.tokens.append(token)
        self.positions.append(dict(positions))
        await self._step("commit_offsets")

    async def end(self) -> None:
        await self._step("end")

    async def close(self) -> None:
        self.steps.append("close")

    async def _step(self, name: str) -> None:
        self.steps.append(name)
        self.began[name].set()
        await asyncio.sleep(0)
        if name in self.hold:
            await self.hold[name].wait()
        if name in self.failures:
            raise self.failures[name]
        self.steps.append(name + " done")
