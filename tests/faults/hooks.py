"""The engine's `Cluster` and `Epoch`, wrapped: every step can be hit before and after, and its failure is journaled."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

from processor.engine.ports import Buffer, Cluster, Epoch, Input, InputRecord, Listener, Membership, Token
from processor.errors import ProcessorError
from tests.faults.points import Fault, Step

Journal = Callable[..., None]


class Points:
    """Carries out the planned faults, each when its point has been reached often enough since it was planned."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._planned: list[tuple[Fault, Iterator[int]]] = []
        self._go = asyncio.Event()

    def plan(self, fault: Fault) -> None:
        """Expect one fault more, counted from now."""
        self._planned.append((fault, count(1)))
        self._journal("planned", point=fault.point, occurrence=fault.occurrence, action=fault.action)

    def go(self) -> None:
        """Let go of whoever holds."""
        self._go.set()

    @asynccontextmanager
    async def step(self, name: Step) -> AsyncIterator[None]:
        """The points around one step."""
        await self._reach(f"before {name}")
        try:
            yield
        except ProcessorError as error:
            self._journal("refused", step=name, error=type(error).__name__, message=str(error))
            await self._reach(f"refused {name}")
            raise
        await self._reach(f"after {name}")

    async def _reach(self, point: str) -> None:
        for planned in list(self._planned):
            fault, reached = planned
            if fault.point == point and next(reached) == fault.occurrence:
                self._planned.remove(planned)
                await self._act(fault)

    async def _act(self, fault: Fault) -> None:
        # Written with one system call before the signal, so it is known even of a process that is gone.
        self._journal("fault", point=fault.point, action=fault.action)
        if fault.action == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        elif fault.action == "stop":
            os.kill(os.getpid(), signal.SIGSTOP)
        else:
            self._go.clear()
            await self._go.wait()
        self._journal("continued", point=fault.point)


class HookedEpoch:
    """An `Epoch` with points around its steps."""

    def __init__(self, inner: Epoch, points: Points, journal: Journal) -> None:
        self._inner = inner
        self._points = points
        self._journal = journal
        self.buffer = inner.buffer
        self.close = inner.close

    async def add_partitions(self, buffers: Mapping[int, Buffer]) -> None:
        async with self._points.step("add_partitions"):
            await self._inner.add_partitions(buffers)

    async def add_offsets(self) -> None:
        async with self._points.step("add_offsets"):
            await self._inner.add_offsets()

    async def produce(self, buffers: Mapping[int, Buffer]) -> dict[int, int]:
        async with self._points.step("produce"):
            return await self._inner.produce(buffers)

    async def commit_offsets(self, token: Token, positions: Mapping[int, int]) -> None:
        self._journal("offsets", generation=token.generation, positions=positions)
        async with self._points.step("commit_offsets"):
            await self._inner.commit_offsets(token, positions)

    async def end(self) -> None:
        async with self._points.step("end"):
            await self._inner.end()


class HookedCluster:
    """A `Cluster` with points around a new epoch, the barrier and the reading of the changelog."""

    def __init__(self, inner: Cluster, points: Points, journal: Journal) -> None:
        self._inner = inner
        self._points = points
        self._journal = journal

    async def join(self, listener: Listener) -> Membership:
        return await self._inner.join(listener)

    async def open_epoch(self) -> Epoch:
        async with self._points.step("open_epoch"):
            inner = await self._inner.open_epoch()
        return HookedEpoch(inner, self._points, self._journal)

    async def open_input(self, wake: Callable[[], None]) -> Input:
        return await self._inner.open_input(wake)

    async def barrier(self, partition: int, value: bytes) -> int:
        async with self._points.step("barrier"):
            return await self._inner.barrier(partition, value)

    async def read_changelog(
        self,
        partition: int,
        barrier: int,
        each: Callable[[bytes, bytes | None], None],
        waiting: Callable[[int], None],
    ) -> bool:
        self._journal("restoring", partition=partition, barrier=barrier)
        async with self._points.step("read_changelog"):
            return await self._inner.read_changelog(partition, barrier, each, waiting)

    async def input_bounds(self, partition: int) -> tuple[int, int]:
        return await self._inner.input_bounds(partition)

    async def input_record(self, partition: int, offset: int) -> InputRecord | None:
        return await self._inner.input_record(partition, offset)

    async def close(self) -> None:
        await self._inner.close()


class JournaledFold:
    """A fold that remembers, per partition, the next offset it would compute: what would be lost or repeated."""

    def __init__(self, inner: Any, partition: int, computed: dict[int, int]) -> None:
        self._inner = inner
        self._partition = partition
        self._computed = computed
        self.changes = inner.changes
        self.marks = inner.marks
        self.tally = inner.tally
        self.diary = inner.diary
        self.figures = inner.figures
        self.restore = inner.restore
        self.restored = inner.restored

    def process(self, records: Sequence[InputRecord], out: Any) -> None:
        self._inner.process(records, out)
        if records:
            self._computed[self._partition] = records[-1].offset + 1
