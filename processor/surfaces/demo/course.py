"""The order of a demo: broker, topics, workers, sessions, and at the end the verdict."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from time import monotonic
from typing import Any

from msgspec import Struct

from processor.config import Settings, declared_topology
from processor.errors import Refused, Unreachable
from processor.surfaces.audit import Output
from processor.surfaces.demo.outcome import Durations, Outcome, outcome_of
from processor.surfaces.demo.witness import Witness
from processor.surfaces.demo.workers import Crew
from processor.surfaces.ports import Broker, Kafka, Producer
from processor.surfaces.simulator.population import Population
from processor.surfaces.simulator.sending import Quota, send_paced, spoken
from processor.surfaces.terminal import Pulse
from topology import plan

READY_S = 60.0  # for the workers to take their partitions, a cold interpreter on a busy machine included
CATCH_UP_S = 60.0  # for what was sent to be committed; what is not by then is named in the verdict
HURRIED_CATCH_UP_S = 4.0  # the same where somebody wants to leave
WORKERS_GRACE_S = 2.5
VIEW_INTERVAL_S = 0.25

Show = Callable[[Witness, Pulse], None]
Tell = Callable[[str], None]


class Plot(Struct, frozen=True):
    """What a demo is to be."""

    sessions: int
    rate: float
    workers: int
    duration_s: float | None
    worker_options: Sequence[str]
    log: Path


async def prepare_topics(kafka: Kafka, settings: Settings) -> None:
    """As ``topics apply`` does."""
    async with kafka.topics(settings) as admin:
        planned = plan(declared_topology(settings), await admin.observe())
        if planned.refusals:
            raise Refused("; ".join(map(str, planned.refusals)))
        await admin.apply(planned)


async def play(
    kafka: Kafka,
    broker: Broker,
    settings: Settings,
    population: Population,
    plot: Plot,
    show: Show,
    tell: Tell,
    tell_address: Tell,
    stop: asyncio.Event,
) -> Outcome:
    """Run until ``stop`` or the end of the duration; then drain, compare and stop the workers."""
    tell("creating the topics")
    await prepare_topics(kafka, settings)
    witness = Witness(settings, population)
    async with AsyncExitStack() as stack:
        tell(f"starting {plot.workers} workers")
        crew = await Crew.start(plot.workers, plot.worker_options, plot.log)
        stack.push_async_callback(crew.stop, WORKERS_GRACE_S)
        # Told before our own clients have started: the dashboard shows how the workers begin.
        listening = asyncio.ensure_future(crew.listen())
        stack.push_async_callback(_ended, listening)
        telling = asyncio.ensure_future(_tell_address(crew, tell_address))
        stack.push_async_callback(_ended, telling)
        producer = await stack.enter_async_context(kafka.producer(settings))
        reader = await stack.enter_async_context(kafka.reader(settings, witness.auditor.topics))
        # Whichever of these fails ends the demo: a group cancels the others and hands the error on.
        failures = asyncio.ensure_future(_first_failure(_result(listening), witness.watch(reader)))
        stack.push_async_callback(_ended, failures)
        await _unless_failed(failures, _ready(crew, settings.topics.partitions, stop))

        started = monotonic()
        quota = Quota(plot.rate, seconds=plot.duration_s)
        view = _View(show, witness, crew, producer, broker, started)
        showing = asyncio.ensure_future(view.refresh())
        stack.push_async_callback(_ended, showing)
        sent = await _unless_failed(failures, send_paced(spoken(population), producer, quota, stop))
        seconds = monotonic() - started
        await _unless_failed(failures, _catch_up(witness, sent, stop))
        await _ended(showing)
        view.draw()
        return outcome_of(
            witness.auditor,
            crew.commits,
            sent=sent,
            broker=broker.kind,
            why_fallback=broker.why_fallback,
            workers=plot.workers,
            sessions=plot.sessions,
            seconds=seconds,
            stopped=stop.is_set(),
        )


class _View:
    """Draws the state of things every quarter of a second."""

    def __init__(
        self, show: Show, witness: Witness, crew: Crew, producer: Producer, broker: Broker, started: float
    ) -> None:
        self._show = show
        self._witness = witness
        self._crew = crew
        self._producer = producer
        self._broker = broker
        self._started = started

    async def refresh(self) -> None:
        while True:
            self.draw()
            await asyncio.sleep(VIEW_INTERVAL_S)

    def draw(self) -> None:
        now = monotonic()
        auditor = self._witness.auditor
        commits: Durations = self._crew.commits
        self._show(
            self._witness,
            Pulse(
                title=f"creative-feedback demo on {self._broker.kind} at {self._broker.bootstrap_servers}",
                dashboard=self._crew.address,
                elapsed_s=now - self._started,
                sent=self._producer.acknowledged,
                processed=auditor.inputs,
                actions=self._witness.actions,
                metrics=auditor.committed[Output.METRICS],
                dead_letters=auditor.committed[Output.DEAD_LETTERS],
                duplicates=int(auditor.tally.get("duplicates", 0)),
                events_per_s=self._witness.rate(now),
                lag=auditor.missing(),
                commit_p50_ms=commits.percentile(0.5),
                commit_p99_ms=commits.percentile(0.99),
                workers={
                    name: f"partitions {', '.join(map(str, report.running)) or 'none'}"
                    for name, report in self._crew.latest.items()
                },
                audit=auditor.standing(),
                audit_equal=auditor.difference is None,
            ),
        )


async def _tell_address(crew: Crew, tell_address: Tell) -> None:
    tell_address(await crew.addressed())


async def _ready(crew: Crew, partitions: int, stop: asyncio.Event) -> None:
    stopped = asyncio.ensure_future(stop.wait())
    working = asyncio.ensure_future(crew.all_running(partitions))
    done, left = await asyncio.wait({stopped, working}, timeout=READY_S, return_when=asyncio.FIRST_COMPLETED)
    for waiting in left:
        waiting.cancel()
    if not done:
        raise Unreachable(
            f"the workers took {crew.running} of {partitions} partitions in {READY_S:g} s: is the machine too busy? "
            "With --folder their log is kept"
        )


async def _catch_up(witness: Witness, sent: int, stop: asyncio.Event) -> None:
    """Wait until everything sent is committed and compared, not for ever, and not for long once ``stop`` is set."""
    caught_up = asyncio.ensure_future(witness.caught_up(sent))
    stopped = asyncio.ensure_future(stop.wait())
    await asyncio.wait({caught_up, stopped}, timeout=CATCH_UP_S, return_when=asyncio.FIRST_COMPLETED)
    if stop.is_set():
        await asyncio.wait({caught_up}, timeout=HURRIED_CATCH_UP_S)
    for waiting in (caught_up, stopped):
        waiting.cancel()


async def _result(work: asyncio.Future[None]) -> None:
    await work


async def _first_failure(*endless: Any) -> None:
    async with asyncio.TaskGroup() as group:
        for work in endless:
            group.create_task(work)


async def _unless_failed(failures: asyncio.Future[None], work: Any) -> Any:
    """The result of ``work``, or the first failure of what runs beside it."""
    working = asyncio.ensure_future(work)
    await asyncio.wait({working, failures}, return_when=asyncio.FIRST_COMPLETED)
    if failures.done():
        working.cancel()
        with suppress(asyncio.CancelledError):
            await working
        try:
            failures.result()
        except ExceptionGroup as group:
            raise group.exceptions[0] from None
    return await working


async def _ended(work: asyncio.Future[None]) -> None:
    work.cancel()
    with suppress(asyncio.CancelledError, ExceptionGroup):
        await work
