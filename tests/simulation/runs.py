"""One run after the other, the same whoever computes them."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import replace
from itertools import count
from multiprocessing import get_context

from tests.quiet import quiet
from tests.simulation.plans import PLANS, ROTATION
from tests.simulation.simulation import Plan, Report, simulate

EVENTS_PER_RUN = 20_000
EVENTS_PER_S = 2_500.0  # virtual: faults meet transactions of about fifty records
RUNS_PER_WORKER_PROCESS = 50  # then a fresh one: memory cannot add up


def run_of(seed: int, number: int, events: int) -> Report:
    """The run with this number of a seed."""
    plan = Plan(seed * 1_000_003 + number, events=events, events_per_s=EVENTS_PER_S)
    with quiet():
        return simulate(replace(plan, **PLANS[ROTATION[number % len(ROTATION)]]))


def reports(seed: int, events: int, workers: int) -> Generator[Report, None, None]:
    """Of run after run, in order."""
    if workers == 1:
        for number in count():
            yield run_of(seed, number, events)
    with ProcessPoolExecutor(
        workers, mp_context=get_context("spawn"), max_tasks_per_child=RUNS_PER_WORKER_PROCESS
    ) as pool:
        waiting: deque[Future[Report]] = deque()
        try:
            for number in count():
                waiting.append(pool.submit(run_of, seed, number, events))
                if len(waiting) > workers:
                    yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)
