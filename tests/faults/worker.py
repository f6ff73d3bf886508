"""A worker process: one instance as `creative-feedback run` runs it, with faults planned in it.

The journal goes to standard output, one JSON object a line, each written at once.  SIGTERM ends the instance in an
orderly way, a second one at once.  Standard input brings further faults as JSON lines, and ``go`` for a point that
holds; its end ends the instance, so that nothing outlives the test.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import cast
from unittest import mock

import msgspec
from msgspec import Struct

from processor.backends.kafka.admin import check
from processor.backends.kafka.cluster import KafkaCluster
from processor.backends.kafka.run import tuning
from processor.config import Settings, declared_topology
from processor.engine.observer import Committed, Observer
from processor.engine.ports import Fold
from processor.engine.runner import Runner
from processor.engine.transactions import Transactions
from processor.errors import ProcessorError
from processor.loop.partition import PartitionFold
from processor.surfaces.cli.event_loop import run_async
from processor.surfaces.cli.signals import stop_on_signals
from tests.faults.hooks import HookedCluster, JournaledFold, Points
from tests.faults.points import Fault

ORPHANED = 3
VERSIONED = ("processor.loop.partition", "processor.backends.kafka.run")


class Plan(Struct):
    """What the parent wants; given as a JSON file.

    ``patience_s`` replaces the instance's own deadline for a commit, so that a zombie lives to hear the broker's word,
    ``version`` the application's.
    """

    settings: Settings
    faults: list[Fault]
    patience_s: float | None = None
    version: str | None = None


def journal(what: str, **facts: object) -> None:
    """One line in one system call: a SIGKILL right after it loses nothing."""
    line = msgspec.json.encode({"what": what, "at_s": round(time.monotonic(), 4), **facts}) + b"\n"
    os.write(sys.stdout.fileno(), line)


class Journaling(Observer):
    """The engine's own words."""

    def committed(self, report: Committed) -> None:
        journal("committed", records=report.records, seconds=report.seconds, positions=report.positions)

    def doubted(self, cause: str) -> None:
        journal("doubted", cause=cause)

    def assigned(self, partitions: frozenset[int], generation: int) -> None:
        journal("assigned", partitions=sorted(partitions), generation=generation)

    def revoked(self, partitions: frozenset[int]) -> None:
        journal("revoked", partitions=sorted(partitions))

    def restoring(self, partition: int, position: int, barrier: int) -> None:
        journal("waiting", partition=partition, position=position, barrier=barrier)

    def running(self, partition: int, position: int, kept: bool, seconds: float, figures: Mapping[str, float]) -> None:
        journal("running", partition=partition, position=position, kept=kept, seconds=seconds)

    def halted(self, partition: int, cause: str) -> None:
        journal("halted", partition=partition, cause=cause)


async def work(plan: Plan) -> int:
    """Returns the exit code."""
    settings = plan.settings
    instance_id = settings.engine.instance_id
    assert instance_id is not None
    stop = asyncio.Event()
    points = Points(journal)
    for fault in plan.faults:
        points.plan(fault)
    computed: dict[int, int] = {}

    def fold(partition: int) -> Fold:
        return cast(Fold, JournaledFold(PartitionFold(settings, settings.topics.state, partition), partition, computed))

    ear = asyncio.create_task(_listen(points))
    watcher = asyncio.create_task(_tell_stop(stop))
    code = 0
    error: str | None = None
    try:
        with stop_on_signals(stop):
            journal("began", pid=os.getpid(), instance=instance_id)
            await check(settings, declared_topology(settings))
            cluster = KafkaCluster(settings, instance_id)
            await cluster.open()
            try:
                hooked = HookedCluster(cluster, points, journal)
                numbers = tuning(settings, instance_id)
                if plan.patience_s is not None:
                    # Without its own deadline it cannot tell a transaction that timed out from a twin that fenced it.
                    mock.patch.object(Transactions, "_suspect_twin").start()
                    numbers = dataclasses.replace(numbers, transaction_timeout_s=plan.patience_s)
                await Runner(hooked, fold, numbers, Journaling()).run(stop)
            finally:
                await cluster.close()
    except ProcessorError as failure:
        code, error = 3, f"{type(failure).__name__}: {failure}"
    finally:
        ear.cancel()
        watcher.cancel()
    journal("ended", error=error, computed=_sorted(computed))
    return code


async def _tell_stop(stop: asyncio.Event) -> None:
    await stop.wait()
    journal("stopping")


async def _listen(points: Points) -> None:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin.buffer)
    with contextlib.suppress(asyncio.CancelledError):
        while line := await reader.readline():
            if line == b"go\n":
                points.go()
            else:
                points.plan(msgspec.json.decode(line, type=Fault))
        os._exit(ORPHANED)


def _sorted(numbers: Mapping[int, int]) -> dict[int, int]:
    return dict(sorted(numbers.items()))


def run(plan_file: Path) -> int:
    """Work as the plan says; returns the exit code."""
    plan = msgspec.json.decode(plan_file.read_bytes(), type=Plan)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    logging.getLogger("aiokafka").setLevel(logging.WARNING)
    with as_version(plan.version) if plan.version is not None else contextlib.nullcontext():
        return run_async(work(plan))


@contextlib.contextmanager
def as_version(version: str) -> Iterator[None]:
    """Everything that writes the application's version into a log writes this one."""
    with ExitStack() as stack:
        for module in VERSIONED:
            stack.enter_context(mock.patch(f"{module}.APPLICATION_VERSION", version))
        yield
