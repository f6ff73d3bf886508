"""The failures, each until the probes have told it, and where its cause can go away, until they tell nothing more."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic
from typing import Any

import msgspec
from aiokafka.errors import RebalanceInProgressError

from processor.backends.embedded import EmbeddedKafka
from schemas.progress import BARRIER_KEY
from tests.faults.health.command import Command, command, workers
from tests.faults.health.sighting import Sighting
from tests.faults.instance import WAIT_S
from tests.faults.proxy import KafkaProxy
from tests.faults.stage import Stage, stage
from tests.integration.command import write_changelog
from tests.integration.foreign import foreign_transactions
from tests.oracle.verdict import group_offsets

RATE = 300.0
INSTANCE = "one"
STUCK_AFTER_MS = 2_000

# Limits of minutes are of seconds here; only what a scene does shall end a membership or a transaction.
SETTINGS: dict[str, Any] = {
    "http.port": 0,
    "kafka.request_timeout_ms": 2_000,
    "engine.session_timeout_ms": 6_000,
    "engine.transaction_timeout_ms": 5_000,
}

# The partitions of a killed worker are given to others, and to its successor, after a session time-out.
QUICK: dict[str, Any] = {"engine.session_timeout_ms": 3_000, "engine.transaction_timeout_ms": 2_500}

# Waits as long as a file is there, as code does that asks somebody who does not answer.
SELECTOR = """\
import os, time

def choose(signals):
    while os.path.exists(os.environ["HANGING"]):
        time.sleep(0.02)
    return "constant"
"""


class Scene:
    """A worker behind a proxy, at work, and what may be done to it."""

    def __init__(self, kafka: EmbeddedKafka, scenario: Stage, proxy: KafkaProxy, run: Command, hanging: Path) -> None:
        self.run = run
        self.settings = scenario.settings
        self._kafka = kafka
        self._scenario = scenario
        self._proxy = proxy
        self._hanging = hanging

    async def stuck(self) -> Sighting:
        """No fetch is answered: whether there is something to read, nobody tells."""
        began = monotonic()
        held = self._proxy.rule(INSTANCE, "Fetch", "request", "hold", role="input", times=None)
        seen = await self.run.seen("no fetch of a worker is answered", "partition_stuck", live=False, since=began)
        self._proxy.remove(held)
        await self.run.well()
        return seen

    async def damaged(self) -> Sighting:
        """The last batch of one partition is damaged in the log: it is fetched again and again, and never whole."""
        topic, load = self.settings.topics.state, self._scenario.load
        await load.finish()
        held = self._proxy.rule(INSTANCE, "Fetch", "request", "hold", role="input", times=None)
        await held.happened()  # no fetch is at the broker, where it would take the batch before the damage
        await load.send_raw(1, b"session-00000", b"{}")
        segment = self._kafka.nodes[0].folder / "data" / f"{topic}-1" / f"{0:020d}.log"
        _flip_last_byte(segment)
        began = monotonic()
        self._proxy.remove(held)
        seen = await self.run.seen(
            "one partition's log is damaged", "partition_stuck", where=f"{topic}-1", live=False, since=began
        )
        _flip_last_byte(segment)
        await self.run.well()
        load.begin(RATE)
        return seen

    async def dead_producer(self) -> Sighting:
        """A transaction that does not end, and then no new producer."""
        began = monotonic()
        lost = [
            self._proxy.rule(INSTANCE, api, "request", "drop", role="producer", times=None)
            for api in ("EndTxn", "InitProducerId")
        ]
        seen = await self.run.seen(
            "no EndTxn, no InitProducerId is answered", "producer_dead", where=INSTANCE, live=False, since=began
        )
        self._proxy.remove(*lost)
        await self.run.well()
        return seen

    async def broker_gone(self) -> Sighting:
        """Every connection is cut and every new one refused."""
        began = monotonic()
        await self._proxy.isolate(1, "cut")
        seen = await self.run.seen("the broker is gone", "producer_dead", where=INSTANCE, live=False, since=began)
        self._proxy.rejoin(1)
        await self.run.well()
        return seen

    async def group_silent(self) -> Sighting:
        """A rebalance in which nobody answers: nothing is assigned, and that is no reason to call it ready."""
        unanswered = self._proxy.rule(INSTANCE, "JoinGroup", "request", "drop", times=None)
        rebalance = self._proxy.rule(
            INSTANCE, "Heartbeat", "request", "answer", error_code=RebalanceInProgressError.errno
        )
        await rebalance.happened()
        began = monotonic()
        seen = await self.run.seen("no JoinGroup is answered", "joining", where=INSTANCE, live=False, since=began)
        self._proxy.remove(unanswered, rebalance)
        await self.run.well()
        return seen

    async def stalled(self) -> Sighting:
        """A selector of the operator's own does not return."""
        began = monotonic()
        self._hanging.touch()
        try:
            seen = await self.run.seen(
                "a custom selector does not return", "event_loop_stalled", where=INSTANCE, live=False, since=began
            )
        finally:
            self._hanging.unlink()
        await self.run.well()
        return seen

    async def restore_waits(self) -> Sighting:
        """Somebody else's transaction is open on the changelog while a doubt makes the worker read it."""
        async with foreign_transactions(self.settings.kafka.bootstrap_servers) as foreign:
            await foreign.begin_transaction()
            await foreign.send_and_wait(self.settings.topics.changelog, b"open", BARRIER_KEY, 0)
            began = await self._doubt()
            seen = await self.run.seen(
                "a transaction of others is open on the changelog",
                "restore_waiting",
                where=f"{self.settings.topics.state}-0",
                live=True,
                since=began,
            )
            await foreign.abort_transaction()
            await self.run.well()
        return seen

    async def restore_fails(self) -> Sighting:
        """The changelog holds a record that nobody can read; for good."""
        await write_changelog(self.settings, b"foreign", b"record")
        began = await self._doubt()
        return await self.run.seen(
            "a changelog record is corrupt",
            "restore_failed",
            where=f"{self.settings.topics.state}-0",
            live=True,
            since=began,
        )

    async def stopping(self) -> Sighting:
        """SIGTERM while a transaction is under way: unready first, then the commit, then the end."""
        # A batch without an answer is repeated up to the transaction's time-out; an EndTxn would be given up before.
        slow = self._proxy.rule(INSTANCE, "Produce", "request", "hold", role="producer", times=None)
        await slow.happened()
        began = monotonic()
        self.run.process.send_signal(signal.SIGTERM)
        seen = await self.run.seen("SIGTERM", "stopping", where=INSTANCE, live=True, since=began)
        self._proxy.remove(slow)
        code = await self.run.wait()
        assert code == 0, f"ended with {code}\n{self.run.told()}"
        return seen

    async def _doubt(self) -> float:
        """A transaction of partition 0 whose end nobody knows, so that it is restored; returns when."""
        load = self._scenario.load
        await load.finish()
        async with asyncio.timeout(WAIT_S):
            while await group_offsets(self.settings) != load.ends():  # noqa: ASYNC110 -- a broker tells nobody of a commit
                await asyncio.sleep(0.05)
        lost = self._proxy.rule(INSTANCE, "EndTxn", "request", "cut before", role="producer")
        await load.send_raw(0, b"session", b"{}")
        await lost.happened()
        began = monotonic()
        load.begin(RATE)
        return began


@asynccontextmanager
async def one_worker(kafka: EmbeddedKafka, folder: Path, stuck_after_ms: int = STUCK_AFTER_MS) -> AsyncIterator[Scene]:
    """It is seen starting first; on leaving it is ended."""
    changed = {**SETTINGS, "http.stuck_after_ms": stuck_after_ms}
    (folder / "hanging.py").write_text(SELECTOR)
    hanging = folder / "hanging"
    environment = {"PYTHONPATH": str(folder), "HANGING": str(hanging)}
    servers = kafka.bootstrap_servers
    async with KafkaProxy(servers) as proxy:
        async with stage(servers, folder, seed=501, partitions=2, settings=changed) as scenario:
            settings = scenario.settings
            theirs = msgspec.structs.replace(
                settings,
                kafka=msgspec.structs.replace(settings.kafka, bootstrap_servers=proxy.bootstrap_servers),
                profiles=msgspec.structs.replace(settings.profiles, selector="hanging:choose"),
            )
            late = proxy.rule(INSTANCE, "JoinGroup", "request", "hold", times=None)
            async with command(theirs, folder, "--instance", INSTANCE, environment=environment) as run:
                since = monotonic()
                await run.seen("the group does not answer yet", "starting", where=INSTANCE, live=True, since=since)
                scenario.load.begin(RATE)
                proxy.remove(late)
                await run.well()
                yield Scene(kafka, scenario, proxy, run, hanging)


async def two_workers(kafka: EmbeddedKafka, folder: Path, stuck_after_ms: int = STUCK_AFTER_MS) -> list[Sighting]:
    """One killed, one frozen: the address is the supervisor's and answers all the time."""
    changed = {**SETTINGS, **QUICK, "http.stuck_after_ms": stuck_after_ms}
    async with stage(kafka.bootstrap_servers, folder, seed=502, partitions=4, settings=changed) as scenario:
        scenario.load.begin(RATE)
        async with command(scenario.settings, folder, "--workers", "2", "--instance", "crew") as run:
            answers = await run.until("well", lambda answers: answers.well)
            assert answers.instances == 2, "ready before both workers were"
            names = {process: _instance(process) for process in workers(run.process.pid)}
            killed, frozen = names
            began = monotonic()
            os.kill(killed, signal.SIGKILL)
            await run.seen("SIGKILL of one of two workers", "worker_ended", where=names[killed], live=True, since=began)
            await run.well()

            began = monotonic()
            os.kill(frozen, signal.SIGSTOP)
            await run.seen(
                "SIGSTOP of one of two workers", "worker_silent", where=names[frozen], live=False, since=began
            )
            os.kill(frozen, signal.SIGCONT)
            await run.well()

            run.process.send_signal(signal.SIGTERM)
            code = await run.wait()
            assert code == 0, f"ended with {code}\n{run.told()}"
        return run.sightings


def _flip_last_byte(file: Path) -> None:
    with file.open("r+b") as log:
        log.seek(-1, os.SEEK_END)
        last = log.read(1)[0]
        log.seek(-1, os.SEEK_END)
        log.write(bytes([last ^ 0xFF]))


def _instance(process: int) -> str:
    """The name that a worker's command line gives it."""
    words = Path(f"/proc/{process}/cmdline").read_bytes().decode().split("\0")
    return words[words.index("--instance") + 1]


async def play(kafka: EmbeddedKafka, folder: Path, stuck_after_ms: int, tell: Callable[[str], None]) -> list[Sighting]:
    """All of them, in this order."""
    async with one_worker(kafka, folder, stuck_after_ms) as scene:
        for failure in (
            scene.stuck,
            scene.damaged,
            scene.dead_producer,
            scene.broker_gone,
            scene.group_silent,
            scene.stalled,
            scene.restore_waits,
            scene.restore_fails,
            scene.stopping,
        ):
            seen = await failure()
            tell(f"{seen.what}: {seen.message}")
        sightings = scene.run.sightings
    return sightings + await two_workers(kafka, folder, stuck_after_ms)
