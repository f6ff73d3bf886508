"""Simulated sessions on a topic: events out at a chosen pace, committed actions back."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from time import monotonic

from msgspec import Struct

from processor.surfaces.ports import Event, Producer, Reader
from processor.surfaces.simulator.closed_loop import hear
from processor.surfaces.simulator.population import Population

TICK_S = 0.01
BURST_EVENTS = 2_000  # handed over at once where no pace is set
FULL_THROTTLE = 0.0


class Quota(Struct, frozen=True):
    """When to stop: after so many events or seconds, whichever comes first; None is no limit.

    ``rate`` is in events per second, `FULL_THROTTLE` as fast as the cluster takes them.
    """

    rate: float
    events: int | None = None
    seconds: float | None = None


async def send_paced(source: Iterator[Event], producer: Producer, quota: Quota, stop: asyncio.Event) -> int:
    """Send events in order at the quota's rate; returns how many, all of them acknowledged."""
    started = monotonic()
    sent = 0
    while not stop.is_set():
        elapsed = monotonic() - started
        if quota.seconds is not None and elapsed >= quota.seconds:
            break
        due = sent + BURST_EVENTS if quota.rate == FULL_THROTTLE else int(elapsed * quota.rate)
        if quota.events is not None:
            due = min(due, quota.events)
        # A sender that fell behind catches up in bursts, so that the loop keeps hearing in between.
        batch = [event for _, event in zip(range(min(due - sent, BURST_EVENTS)), source, strict=False)]
        if batch:
            await producer.send(batch)
            sent += len(batch)
        if quota.events is not None and sent >= quota.events:
            break
        if quota.rate == FULL_THROTTLE:
            await asyncio.sleep(0)
        else:
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), TICK_S)
    await producer.flush()
    return sent


def spoken(population: Population) -> Iterator[Event]:
    """The population's events without end, each session moved under the entropy it heard last."""
    while True:
        yield from population.turn()


async def listen(population: Population, actions: Reader) -> None:
    """Let the sessions hear every committed action, until cancelled."""
    while True:
        for chunk in await actions.read(timeout_s=1.0):
            for record in chunk.records:
                if record.value is not None:
                    hear(population, record.value)
