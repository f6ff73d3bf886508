"""Load, instances and faults under one seed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from random import Random

from processor.engine.lifecycle import TaskState
from processor.engine.observer import Committed, Observer
from processor.engine.ports import FoldFactory
from processor.engine.runner import Runner
from processor.engine.tuning import Tuning
from processor.errors import Fenced, InstanceIdInUse, ProcessorError
from schemas.progress import BARRIER_KEY, FORMAT, PROGRESS_KEY, Progress, encode_progress
from tests.simulation.broker import CHANGELOG, INPUT, MAX_BATCH_BYTES, OUTPUTS, ModelKafka
from tests.simulation.client import ModelCluster
from tests.simulation.log import NewRecord
from tests.simulation.network import Fate
from tests.simulation.oracle import Oracle
from tests.simulation.tally_fold import TallyFold
from tests.simulation.virtual_time import Killed, Process, run

log = logging.getLogger(__name__)

Value = Callable[[int, Random], bytes]  # of an input record, from its sequence

STRIDE_STEPS = 200  # a crash at any await falls within so many steps
TOMBSTONE_RETENTION_S = 20.0  # longer than any restore here

POINTS = ("add_partitions", "produce", "add_offsets", "commit_offsets", "end", "init", "barrier", "fetch")

TUNING = Tuning(
    instance_id="",
    application_id="simulation",
    partition_count=0,
    version="simulated",
    changelog=CHANGELOG,
    input=INPUT,
    transaction_timeout_s=0.5,
    revoke_timeout_s=0.4,
    shutdown_timeout_s=5.0,
    stuck_timeout_s=60.0,
)


def tally_value(sequence: int, random: Random) -> bytes:
    """What `TallyFold` reads."""
    return b"%d" % sequence


@dataclass
class Plan:
    """What is simulated; durations in virtual seconds, rates per virtual second, ``faults`` names with weights."""

    seed: int
    events: int = 4_000
    partitions: int = 4
    instances: int = 3
    events_per_s: float = 600.0
    sessions: int = 40
    fault_pause_s: float = 0.5
    faults: Mapping[str, float] = field(
        default_factory=lambda: {
            "kill": 3,
            "pause": 2,
            "long pause": 2,
            "trouble": 4,
            "rebalance": 2,
            "compaction": 2,
            "retention": 1,
            "refusal": 1,
            "foreign transaction": 1,
            "slow markers": 1,
            "leave": 1,
            "group trouble": 1,
            "crash at an await": 3,
            "isolated leader": 2,
            "slow reads": 1,
            "coordinator loading": 1,
            "changelog cut": 1,
            "small batches": 0.5,
            "twin": 0.5,
        }
    )
    fold: FoldFactory = TallyFold
    replay: FoldFactory = TallyFold
    tuning: Tuning = TUNING
    value: Value = tally_value
    often: Mapping[tuple[str, Fate], float] = field(default_factory=dict)  # how often a kind of request meets a fate
    patience_s: float = 120.0
    static_membership: bool = False
    leave_on_stop: bool = False


@dataclass
class Report:
    """Counts of one run; no violations means that every check held."""

    seed: int
    events: int
    commits: int
    requests: int
    virtual_s: float
    faults: dict[str, int]
    sometimes: dict[str, int]
    violations: list[str]
    trace_hash: str


_CAUSES = {"not answered within": "transaction not answered in time", "too large": "batch too large"}
_REFUSED_BATCH = ": refused"  # the only reason for which a partition may halt here


class _Seen(Observer):
    """Counts what an instance reports."""

    def __init__(self, broker: ModelKafka, process: Process, defects: list[str]) -> None:
        self._broker = broker
        self._process = process
        self._defects = defects
        self.halted_partitions: dict[int, str] = {}
        self.committed_records = 0

    def _reached(self, what: str) -> None:
        if not self._process.killed:
            self._broker.reached(what)

    def committed(self, report: Committed) -> None:
        self.committed_records += report.records

    def doubted(self, cause: str) -> None:
        self._reached("new epoch")
        for words, path in _CAUSES.items():
            if words in cause:
                self._reached(path)

    def running(self, partition: int, position: int, kept: bool, seconds: float, figures: Mapping[str, float]) -> None:
        self._reached("kept through a rebalance" if kept else "restored")
        if kept and self._broker.logs[CHANGELOG, partition].behind_a_record(BARRIER_KEY):
            self._reached("kept before its last marker was written")
        if seconds > self._broker.session_timeout_s:
            self._reached("restore slower than the session time-out")

    def halted(self, partition: int, cause: str) -> None:
        self._reached("partition halted")
        self.halted_partitions[partition] = cause
        if not cause.endswith(_REFUSED_BATCH) and not self._process.killed:
            self._defects.append(f"partition {partition} halted: {cause}")


class Instance:
    """One processor process, as long as it lives."""

    def __init__(self, simulation: Simulation, name: str) -> None:
        plan, broker = simulation.plan, simulation.broker
        self.name = name
        self.process = Process(name)
        self.cluster = ModelCluster(
            broker,
            self.process,
            name,
            plan.tuning.transaction_timeout_s,
            static_membership=plan.static_membership,
            leave_on_stop=plan.leave_on_stop,
        )
        self.seen = _Seen(broker, self.process, simulation.defects)
        self.tuning = replace(plan.tuning, instance_id=name, partition_count=plan.partitions)
        self._plan = plan
        self.runner: Runner | None = None
        self.stop: asyncio.Event | None = None
        loop = asyncio.get_running_loop()
        self.main = self.process.context.run(lambda: loop.create_task(self._run()))

    async def _run(self) -> None:
        self.stop = asyncio.Event()
        self.runner = Runner(self.cluster, self._plan.fold, self.tuning, self.seen)
        try:
            await self.runner.run(self.stop)
        finally:
            await self.cluster.close()


class Simulation:
    """One seeded run: `execute` it in a virtual loop."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.random = Random(plan.seed)
        self.broker = ModelKafka(plan.partitions, self.random)
        self.oracle = Oracle(self.broker, plan.replay)
        self.running: dict[str, Instance] = {}
        self.faults: dict[str, int] = {}
        self.defects: list[str] = []
        self._healing = False
        self._sequences: dict[bytes, int] = {}
        self._produced = 0
        if plan.often:
            self.broker.weather.script = self._often
        self._supervisors: set[asyncio.Task[None]] = set()
        self._zombies: list[Instance] = []
        self._compactions: list[tuple[float, list[int]]] = []  # when, and the ends of the changelogs
        for partition in range(plan.partitions):
            progress = Progress(FORMAT, "simulated", plan.partitions, 0, application_id=TUNING.application_id)
            self.broker.logs[CHANGELOG, partition].append([NewRecord(PROGRESS_KEY, encode_progress(progress))])

    async def execute(self) -> Report:
        """Load with faults, then healing, then everything processed and compared."""
        for number in range(self.plan.instances):
            self._start(f"i{number}")
        load = asyncio.create_task(self._load())
        chaos = asyncio.create_task(self._chaos())
        await load
        self._healing = True
        chaos.cancel()
        await asyncio.gather(chaos, return_exceptions=True)
        await self._heal()
        rest = await self._rest()
        wrong = [*self.oracle.violations, *self.defects, *rest]
        if not wrong:
            wrong += self.oracle.at_rest()
        return Report(
            self.plan.seed,
            self.oracle.events,
            self.oracle.commits,
            self.broker.requests,
            self.broker.loop.time(),
            dict(sorted(self.faults.items())),
            dict(sorted(self.broker.sometimes.items())),
            wrong,
            self.broker.trace_hash(),
        )

    # Load ----------------------------------------------------------------------------------------------------

    async def _load(self) -> None:
        random = self.random
        while self._produced < self.plan.events:
            pause_s = random.random() * 0.04
            await asyncio.sleep(pause_s)
            count = max(1, int(self.plan.events_per_s * pause_s * 2 * random.random()))
            if random.random() < 0.02:
                # Silence: sessions expire.
                await asyncio.sleep(1.0 + random.random())
            for _ in range(min(3, self.plan.partitions)):
                self._burst(int(random.random() * self.plan.partitions), count // 3 + 1)

    def _burst(self, partition: int, count: int) -> None:
        random = self.random.random
        input_log = self.broker.logs[INPUT, partition]
        now_ms = int(self.broker.loop.time() * 1000)
        records = []
        for _ in range(count):
            draw = random()
            # A few sessions are rare, so that they expire between two events.
            key = b"%d-%d" % (partition, int(random() ** 3 * self.plan.sessions))
            if draw < 0.02:
                records.append(NewRecord(key, b"bad", (), now_ms))
                continue
            sequence = self._sequences.get(key, 0)
            if draw > 0.95:
                sequence -= int(random() * 3) + 1  # its producer repeats itself
            else:
                self._sequences[key] = sequence + 1
            value = self.plan.value(max(sequence, 0), self.random)
            # Producers' clocks differ, and some records are late.
            delay_ms = int(random() * (20 if draw > 0.2 else 1_500))
            records.append(NewRecord(key, value, (), now_ms - delay_ms))
        self._produced += count
        if random() < 0.05:
            # An upstream transaction: its marker is a hole for readers, an aborted one hides its records.
            input_log.append_open(10_000 + partition, self._produced, 0, records)
            input_log.mark(10_000 + partition, committed=random() < 0.5)
        else:
            input_log.append(records)

    # Instances -----------------------------------------------------------------------------------------------

    def _start(self, name: str) -> None:
        instance = self.running[name] = Instance(self, name)
        supervisor = asyncio.create_task(self._supervise(instance))
        self._supervisors.add(supervisor)
        supervisor.add_done_callback(self._supervisors.discard)

    async def _supervise(self, instance: Instance) -> None:
        """Restart what ends; nothing here is a reason to end, but a twin."""
        try:
            await instance.main
        except InstanceIdInUse:
            self.broker.reached("exit InstanceIdInUse")
        except ProcessorError as refusal:
            self.defects.append(f"{instance.name} refused to work: {refusal!r}")
        except (Killed, asyncio.CancelledError):
            tasks = instance.runner.tasks.values() if instance.runner is not None else ()
            if any(task.state is TaskState.RESTORING for task in tasks):
                self.broker.reached("killed while restoring")
        except Exception as defect:
            log.exception("defect in %s", instance.name)
            self.defects.append(f"{instance.name}: {defect!r}")
        self.broker.kill(instance.process)
        for reader in instance.cluster._inputs:
            reader.detach()
        if instance in self._zombies:
            self._zombies.remove(instance)
        if self.running.get(instance.name) is instance:
            await asyncio.sleep(0.01 if self._healing else 0.05 + self.random.random() * 0.6)
            if self.running.get(instance.name) is instance:
                self._start(instance.name)

    def _often(self, _: str, kind: str) -> Fate | None:
        if not self._healing:
            for (often, fate), share in self.plan.often.items():
                if kind == often and self.random.random() < share:
                    return fate
        return None

    # Faults --------------------------------------------------------------------------------------------------

    async def _chaos(self) -> None:
        names, weights = list(self.plan.faults), list(self.plan.faults.values())
        while names:
            await asyncio.sleep(self.random.expovariate(1 / self.plan.fault_pause_s))
            name = self.random.choices(names, weights)[0]
            self.faults[name] = self.faults.get(name, 0) + 1
            self.broker.trace("fault", name)
            getattr(self, "_" + name.replace(" ", "_"))()

    def _victim(self) -> Instance | None:
        alive = [i for i in self.running.values() if not (i.process.paused or i.process.killed)]
        return self.random.choice(alive) if alive else None

    def _kill(self) -> None:
        self._strike(self.broker.kill)

    def _pause(self) -> None:
        self._strike(partial(self._pause_for, self.random.random() * 0.5))

    def _long_pause(self) -> None:
        self._strike(partial(self._pause_for, self.broker.session_timeout_s + self.random.random() * 1.5))

    def _strike(self, blow: Callable[[Process], None]) -> None:
        """Somebody, now; or whoever comes to the next point of a commit."""
        if self.random.random() < 0.6:
            self.broker.ambush = (self.random.choice(POINTS), blow, self.random.random() < 0.5)
        elif (victim := self._victim()) is not None:
            blow(victim.process)

    def _pause_for(self, seconds: float, process: Process) -> None:
        if not (process.paused or process.killed):
            self.broker.pause(process)
            self.broker.later(seconds, self._resume, process)

    def _resume(self, process: Process) -> None:
        if process.paused and not process.killed:
            self.broker.resume(process)

    def _trouble(self) -> None:
        self.broker.weather.trouble = 0.02 + self.random.random() * 0.2
        self.broker.weather.latency_s = 0.002 + self.random.random() * 0.05
        self.broker.later(0.5 + self.random.random(), self._calm)

    def _calm(self) -> None:
        self.broker.weather.trouble = 0.0
        self.broker.weather.latency_s = 0.002
        self.broker.transactions.slow_markers_s = 0.0
        self.broker.refusing.clear()
        self.broker.weather.slow = {}
        self.broker.max_batch_bytes = MAX_BATCH_BYTES

    def _crash_at_an_await(self) -> None:
        if (victim := self._victim()) is not None:
            victim.process.strike_after(
                1 + int(self.random.random() * STRIDE_STEPS), partial(self._crash, victim.process)
            )

    def _crash(self, process: Process) -> None:
        self.broker.reached("crashed at an await")
        self.broker.kill(process)

    def _isolated_leader(self) -> None:
        topic = self.random.choice([INPUT, CHANGELOG, CHANGELOG, *OUTPUTS])
        log = self.broker.logs[topic, int(self.random.random() * self.plan.partitions)]
        believers = [i.process for i in self.running.values() if self.random.random() < 0.7]
        self.broker.isolate(log, believers, 0.3 + self.random.random() * 2)

    def _slow_reads(self) -> None:
        """Restores take longer than a session lasts."""
        self.broker.weather.slow = {"fetch": self.broker.session_timeout_s * (0.5 + self.random.random())}
        self.broker.later(1 + self.random.random(), self._calm)

    def _coordinator_loading(self) -> None:
        """The transaction coordinator moved: no answer but "again", perhaps past the transaction time-out."""
        self.broker.transactions.loading = True
        self.broker.later(self.random.random() * 0.8, self._loaded)

    def _loaded(self) -> None:
        self.broker.transactions.loading = False

    def _changelog_cut(self) -> None:
        """Whole segments of superseded records go: the log's start moves, under a restore perhaps."""
        for partition in range(self.plan.partitions):
            changelog = self.broker.logs[CHANGELOG, partition]
            changelog.trim(changelog.superseded_before())

    def _small_batches(self) -> None:
        """Somebody lowers max.message.bytes for a while."""
        self.broker.max_batch_bytes = 150 + int(self.random.random() * 1_000)
        self.broker.later(0.1 + self.random.random(), self._calm)

    def _twin(self) -> None:
        """The instance that is frozen is replaced, under the same name, and wakes up later."""
        if (victim := self._victim()) is not None and not self._zombies:
            self._zombies.append(victim)
            self._pause_for(self.random.random() * 3, victim.process)
            self._start(victim.name)

    def _slow_markers(self) -> None:
        self.broker.transactions.slow_markers_s = self.random.random() * 0.5
        self.broker.later(0.5 + self.random.random(), self._calm)

    def _rebalance(self) -> None:
        if self.broker.group.members:
            self.broker.group.rebalance()

    def _group_trouble(self) -> None:
        """The group coordinator of an instance tells it something unexpected."""
        victim = self._victim()
        if victim is not None and victim.cluster.membership is not None:
            victim.cluster.membership.trouble = Fenced("group coordination: unexpected")

    def _compaction(self) -> None:
        now = self.broker.loop.time()
        ends = [self.broker.logs[CHANGELOG, partition].end for partition in range(self.plan.partitions)]
        while len(self._compactions) > 1 and self._compactions[1][0] < now - TOMBSTONE_RETENTION_S:
            del self._compactions[0]
        old = self._compactions[0] if self._compactions else (now, ends)
        self._compactions.append((now, ends))
        for partition in range(self.plan.partitions):
            changelog = self.broker.logs[CHANGELOG, partition]
            tombstones_before = old[1][partition] if old[0] < now - TOMBSTONE_RETENTION_S else 0
            changelog.compact(changelog.last_stable - int(self.random.random() * 20), tombstones_before)

    def _retention(self) -> None:
        for partition, replay in enumerate(self.oracle.replays):
            # What is consumed may go; the anchor, one record before, may go with it.
            self.broker.logs[INPUT, partition].trim(replay.position - int(self.random.random() * 3))
            for topic in OUTPUTS:
                output = self.broker.logs[topic, partition]
                output.trim(output.last_stable)

    def _refusal(self) -> None:
        partition = int(self.random.random() * self.plan.partitions)
        self.broker.refusing.add((self.random.choice([*OUTPUTS, CHANGELOG]), partition))
        self.broker.later(0.05 + self.random.random() * 0.5, self._calm)

    def _foreign_transaction(self) -> None:
        """Somebody opens a transaction on a changelog and forgets it for a while."""
        changelog = self.broker.logs[CHANGELOG, int(self.random.random() * self.plan.partitions)]
        producer = 20_000 + sum(self.faults.values())
        changelog.append_open(producer, 0, 0, [NewRecord(b"sforeign", b"not ours")])
        self.broker.later(0.1 + self.random.random() * 1.5, changelog.mark, producer, False)

    def _leave(self) -> None:
        if (victim := self._victim()) is not None and victim.stop is not None:
            victim.stop.set()

    # The end -------------------------------------------------------------------------------------------------

    async def _heal(self) -> None:
        self.broker.ambush = None
        self._calm()
        self._loaded()
        self.broker.isolations.clear()
        self.broker.trace("heal")
        for zombie in self._zombies:
            self.broker.kill(zombie.process)
        for instance in list(self.running.values()):
            self._resume(instance.process)
            if instance.seen.halted_partitions:
                self.broker.kill(instance.process)  # the operator's restart

    async def _rest(self) -> list[str]:
        """Wait until everything is processed; says what did not come to rest."""
        deadline = self.broker.loop.time() + self.plan.patience_s
        stuck: list[str] = []
        while self.broker.loop.time() < deadline:
            await asyncio.sleep(0.25)
            if self.oracle.violations or self.defects:
                break
            stuck = self.oracle.at_rest()
            if not stuck:
                break
        else:
            stuck = [f"not at rest after {self.plan.patience_s:g} s", *stuck, *self._whereabouts()]
        instances, self.running = list(self.running.values()), {}
        for instance in instances:
            if instance.stop is not None and not stuck:
                instance.stop.set()
        if not stuck:
            await asyncio.wait([i.main for i in instances], timeout=30)
        for instance in instances:
            self.broker.kill(instance.process)
        for supervisor in list(self._supervisors):
            with suppress(asyncio.CancelledError):
                await supervisor
        return stuck

    def _whereabouts(self) -> list[str]:
        group = self.broker.group
        lines = [f"group: generation {group.generation}, members {sorted(group.members)}"]
        for name, instance in self.running.items():
            tasks = instance.runner.tasks.values() if instance.runner is not None else ()
            states = ", ".join(f"{task.partition} {task.state.value} at {task.position}" for task in tasks)
            lines.append(f"{name}: {states or 'nothing'}")
        return lines


def simulate(plan: Plan) -> Report:
    """One run in a virtual loop of its own."""

    async def main() -> Report:
        return await Simulation(plan).execute()

    return run(main())
