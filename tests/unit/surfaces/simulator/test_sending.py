"""Sending at a pace, without a broker."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import repeat
from time import monotonic

import pytest

from processor.surfaces.ports import Chunk, Event
from processor.surfaces.replay import Line
from processor.surfaces.simulator.population import Population
from processor.surfaces.simulator.sending import FULL_THROTTLE, Quota, listen, send_paced

EVENTS = repeat((b"s", b"{}"))


class Sink:
    """A producer that takes everything at once."""

    def __init__(self) -> None:
        self.taken: list[Event] = []
        self.acknowledged = 0

    async def send(self, events: Sequence[Event]) -> None:
        self.taken += events

    async def flush(self) -> None:
        self.acknowledged = len(self.taken)


async def test_exactly_the_number_asked_for_is_sent_and_acknowledged() -> None:
    for rate in (FULL_THROTTLE, 50_000.0):
        sink = Sink()
        assert await send_paced(EVENTS, sink, Quota(rate, events=4321), asyncio.Event()) == 4321
        assert len(sink.taken) == sink.acknowledged == 4321


async def test_rate_is_not_exceeded_and_the_time_is_kept() -> None:
    sink, started = Sink(), monotonic()
    sent = await send_paced(EVENTS, sink, Quota(1000.0, seconds=0.3), asyncio.Event())
    elapsed = monotonic() - started
    assert 0 < sent <= 1000 * elapsed
    assert elapsed >= 0.3


async def test_stop_ends_sending() -> None:
    stop = asyncio.Event()
    sending = asyncio.create_task(send_paced(EVENTS, Sink(), Quota(100.0), stop))
    stop.set()
    assert await asyncio.wait_for(sending, 5) >= 0


async def test_a_source_that_ends_does_not_hang_the_sender() -> None:
    sink = Sink()
    source = iter([(None, b"1"), (None, b"2")])
    assert await send_paced(source, sink, Quota(FULL_THROTTLE, seconds=0.05), asyncio.Event()) == 2


class OneAnswer:
    """A reader with one chunk of actions, then nothing."""

    def __init__(self, *values: bytes) -> None:
        self._chunks = [Chunk("actions", 0, [Line(i, value) for i, value in enumerate(values)])]
        self.drained = asyncio.Event()

    async def read(self, timeout_s: float) -> Sequence[Chunk]:
        if self._chunks:
            return [self._chunks.pop()]
        self.drained.set()
        await asyncio.Event().wait()
        return []


async def test_committed_actions_reach_the_sessions() -> None:
    population, deaf = Population(1, 1), Population(1, 1)
    answers = OneAnswer(b'{"session_id": "sim-00000", "current_factor": 0.8}')
    listening = asyncio.create_task(listen(population, answers))
    await answers.drained.wait()
    listening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await listening
    assert population.turn() != deaf.turn()
