"""The model broker: logs, coordinators, and the way requests take to them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextvars import Context
from hashlib import blake2b
from random import Random
from typing import Any, NamedTuple, TypeVar

from processor.engine.assignment import Owned
from processor.engine.ports import Token
from processor.errors import InDoubt, ProcessorError, Rejected
from tests.simulation.group import GroupCoordinator
from tests.simulation.log import Log, NewRecord, SequenceGap
from tests.simulation.network import Fate, Weather
from tests.simulation.transactions import Transactional, TransactionCoordinator, TryAgain
from tests.simulation.virtual_time import Process

T = TypeVar("T")

INPUT, ACTIONS, METRICS, DEAD_LETTERS, CHANGELOG = "input", "actions", "metrics", "dead-letters", "changelog"
OUTPUTS = (ACTIONS, METRICS, DEAD_LETTERS)
MAX_BATCH_BYTES = 1 << 20
ABORT_INTERVAL_S = 1.0  # between two looks for overdue transactions: they may stay open longer than a session

Decided = Callable[[Transactional], None]

_REPLIED = frozenset({Fate.ANSWERED, Fate.TWICE})


class Bounds(NamedTuple):
    """Of a log, as a leader tells them."""

    start: int
    last_stable: int
    end: int


class Isolation:
    """A leader that nobody follows any more and that does not know it, and those who still believe in it."""

    def __init__(self, bounds: Bounds, believers: set[Process]) -> None:
        self.bounds = bounds
        self.believers = believers


class ModelKafka:
    """Everything outside the processes. ``decided`` hears of every commit when it is decided."""

    def __init__(
        self, partitions: int, random: Random, *, session_timeout_s: float = 0.6, max_batch_bytes: int = MAX_BATCH_BYTES
    ) -> None:
        self.partitions = partitions
        self.random = random
        self.session_timeout_s = session_timeout_s
        self.max_batch_bytes = max_batch_bytes
        self.weather = Weather(random)
        self.decided: Decided | None = None
        self.refusing: set[tuple[str, int]] = set()  # topic partitions that refuse every batch
        # At the next request of that kind: the blow, and whether it falls before the request leaves.
        self.ambush: tuple[str, Callable[[Process], None], bool] | None = None
        self.isolations: dict[Log, Isolation] = {}
        self.sometimes: dict[str, int] = {}
        self.requests = 0
        self.logs = {
            (topic, partition): Log(topic, partition)
            for topic in (INPUT, *OUTPUTS, CHANGELOG)
            for partition in range(partitions)
        }
        self.loop = asyncio.get_running_loop()
        self.transactions = TransactionCoordinator(self.later, self.loop.time, random, self._decided, self._group_mark)
        self.group = GroupCoordinator(partitions, self.later, random)
        self._context = Context()
        self._hash = blake2b(digest_size=16)
        self._silences: dict[Process, int] = {}
        self._members: dict[Process, tuple[str, Callable[[], None]]] = {}
        self.later(ABORT_INTERVAL_S, self._abort_overdue)

    # Time and traces -----------------------------------------------------------------------------------------

    def later(self, delay_s: float, function: Callable[..., object], *args: Any) -> None:
        """Call outside of any process."""
        self.loop.call_later(delay_s, function, *args, context=self._context)

    def trace(self, *what: object) -> None:
        """One line of what happened; equal traces have equal hashes."""
        self._hash.update(f"{self.loop.time():.6f} {what}\n".encode())

    def trace_hash(self) -> str:
        """Of everything so far."""
        return self._hash.hexdigest()

    def reached(self, what: str) -> None:
        """Count a rare path."""
        self.sometimes[what] = self.sometimes.get(what, 0) + 1

    # Requests ------------------------------------------------------------------------------------------------

    async def ask(self, process: Process, kind: str, effect: Callable[[], T]) -> T:
        """One request and its reply. Raises what the effect raises, or `InDoubt` where no reply came."""
        process.check()
        self._spring(process, kind)
        while process.paused or process.killed:
            await asyncio.sleep(0)  # it goes on when the process does
            process.check()
        self.requests += 1
        answer: asyncio.Future[T] = self.loop.create_future()
        fate, out_s, back_s, patience_s, copy_s = self.weather.journey(process.name, kind)
        if fate is not Fate.LOST:
            reply_s = back_s if fate in _REPLIED else None
            self.later(out_s, self._arrive, process, kind, effect, answer, reply_s)
        if fate is Fate.TWICE:
            self.later(copy_s, self._arrive, process, kind, effect, answer, None, True)
        elif fate is not Fate.ANSWERED:
            self.later(patience_s, _fail, answer, InDoubt(f"{kind}: no reply"))
        result = await answer
        process.check()
        return result

    async def insist(self, process: Process, kind: str, effect: Callable[[], T]) -> T:
        """Again until there is a reply: for requests that may be repeated in any epoch."""
        while True:
            try:
                return await self.ask(process, kind, effect)
            except (InDoubt, TryAgain):
                await asyncio.sleep(0.01)

    def _arrive(
        self,
        process: Process,
        kind: str,
        effect: Callable[[], T],
        answer: asyncio.Future[T],
        back_s: float | None,
        copy: bool = False,
    ) -> None:
        late = answer.done()
        if copy:
            self.reached(f"copy of {kind} arrived")
        try:
            result = effect()
        except (ProcessorError, TryAgain) as error:
            self.trace(process.name, kind, type(error).__name__, late)
            if late:
                self.reached(f"late {kind} refused")
            if back_s is not None:
                self.later(back_s, _fail, answer, error)
        else:
            self.trace(process.name, kind, late)
            if late or back_s is None:
                self.reached(f"{kind} took effect unanswered")
            if back_s is not None:
                self.later(back_s, _answer, answer, result)

    # Produce -------------------------------------------------------------------------------------------------

    def produce(
        self,
        process: Process,
        name: str,
        epoch: int,
        batches: Sequence[tuple[Log, int, Sequence[NewRecord]]],
        acknowledge: Callable[[Mapping[int, int] | ProcessorError], None],
    ) -> None:
        """Batches (log, sequence, records) of one topic, repeated until a reply comes.

        ``acknowledge`` gets the offset behind each partition's batch, or the error.
        """
        if process.killed:
            return
        if process.paused:
            self.later(0.05, self.produce, process, name, epoch, batches, acknowledge)
            return
        if self._spring(process, "produce"):
            self.later(0.01, self.produce, process, name, epoch, batches, acknowledge)
            return
        self.requests += 1
        fate, out_s, back_s, patience_s, copy_s = self.weather.journey(process.name, "produce")
        if self.isolations and any(self.misled(process, log) for log, _, _ in batches):
            # A leader without followers cannot acknowledge what all of them must have.
            fate, patience_s = Fate.LOST, self.weather.request_timeout_s
            for log, _, _ in batches:
                self.refresh(process, log)
        if fate is not Fate.LOST:
            reply_s = back_s if fate in _REPLIED else None
            self.later(out_s, self._write, process, name, epoch, batches, acknowledge, reply_s)
        if fate is Fate.TWICE:
            self.reached("copy of produce arrived")
            self.later(copy_s, self._write, process, name, epoch, batches, acknowledge, None)
        elif fate is not Fate.ANSWERED:
            self.later(patience_s + 0.01, self.produce, process, name, epoch, batches, acknowledge)

    def _write(
        self,
        process: Process,
        name: str,
        epoch: int,
        batches: Sequence[tuple[Log, int, Sequence[NewRecord]]],
        acknowledge: Callable[[Mapping[int, int] | ProcessorError], None],
        back_s: float | None,
    ) -> None:
        written: dict[int, int] = {}
        failure: ProcessorError | None = None
        again = False
        for log, sequence, records in batches:
            key = log.topic, log.partition
            try:
                if key in self.refusing:
                    raise Rejected(log.partition, log.topic, f"{log.topic}-{log.partition}: refused")
                if sum(len(record.value or b"") for record in records) > self.max_batch_bytes:
                    raise Rejected(log.partition, log.topic, f"{log.topic}-{log.partition}: too large", too_large=True)
                known = self.transactions.verify(name, epoch, key)
                first = log.append_open(known.producer, epoch, sequence, records)
                written[log.partition] = first + len(records)
            except ProcessorError as error:
                failure = failure or error
            except TryAgain:
                again = True
            except SequenceGap:
                failure = failure or InDoubt("OUT_OF_ORDER_SEQUENCE_NUMBER")
        self.trace(process.name, "produce", batches[0][0].topic, len(written), type(failure).__name__)
        if back_s is None:
            self.reached("late produce refused" if failure else "produce took effect unanswered")
        elif again and failure is None:
            self.later(back_s + 0.01, self.produce, process, name, epoch, batches, acknowledge)
        else:
            self.later(back_s, acknowledge, failure or written)

    def _spring(self, process: Process, kind: str) -> bool:
        """What lies in wait for a request of this kind strikes: true before it leaves, or while it is on its way."""
        if self.ambush is None or self.ambush[0] != kind:
            return False
        _, strike, before = self.ambush
        self.ambush = None
        self.reached(f"struck {'before' if before else 'at'} {kind}")
        if before:
            strike(process)
        else:
            self.later(self.random.random() * 2 * self.weather.latency_s, strike, process)
        return before

    # Leaders -------------------------------------------------------------------------------------------------

    def isolate(self, log: Log, believers: Iterable[Process], seconds: float) -> None:
        """A new leader takes over; the old one goes on answering the believers with what it had."""
        isolation = Isolation(Bounds(log.start, log.last_stable, log.end), set(believers))
        self.isolations[log] = isolation

        def end() -> None:
            if self.isolations.get(log) is isolation:
                del self.isolations[log]

        self.later(seconds, end)

    def misled(self, process: Process, log: Log) -> bool:
        """Whether the process asks the old leader of the partition."""
        isolation = self.isolations.get(log)
        return isolation is not None and process in isolation.believers

    def refresh(self, process: Process, log: Log) -> None:
        """Fresh metadata, from a broker that may be the isolated one itself."""
        if self.misled(process, log) and self.random.random() < 0.6:
            self.isolations[log].believers.discard(process)

    def bounds(self, process: Process, log: Log) -> Bounds:
        """What the leader tells that the process asks."""
        if self.isolations and self.misled(process, log):
            stale = self.isolations[log].bounds
            if stale.last_stable < log.last_stable:
                self.reached(f"asked an isolated leader of {log.topic}")
            return stale
        return Bounds(log.start, log.last_stable, log.end)

    # Processes -----------------------------------------------------------------------------------------------

    def join(
        self,
        process: Process,
        member_id: str | None,
        owned: Owned,
        rejoin: Callable[[], None],
        instance_id: str | None = None,
    ) -> tuple[str, asyncio.Future[Token | None]]:
        """JoinGroup: member id and future of the token; heartbeats of the process keep the member alive."""
        if process.killed:
            raise InDoubt("its connection is closed")
        replacements = self.group.replacements
        member, token = self.group.join(member_id, owned, rejoin, instance_id)
        if self.group.replacements > replacements:
            self.reached("static member replaced without a rebalance")
        self._members[process] = (member.member_id, rejoin)
        return member.member_id, token

    def pause(self, process: Process) -> None:
        """SIGSTOP: its session ends unless it is resumed in time."""
        process.pause()
        self.trace(process.name, "paused")
        self.silent(process)

    def resume(self, process: Process) -> None:
        """SIGCONT: the next heartbeat says whether it is still a member."""
        self.trace(process.name, "resumed")
        self._silences[process] = self._silences.get(process, 0) + 1
        process.resume()
        member_id, rejoin = self._members.get(process, ("", None))
        if rejoin is not None and member_id not in self.group.members:
            self.reached("zombie resumed")
            self.later(self.random.random() * 0.1, rejoin)

    def kill(self, process: Process) -> None:
        """SIGKILL: its requests on the way still arrive, its session ends by time."""
        if process.killed:
            return
        process.kill()
        self.trace(process.name, "killed")
        self.silent(process)

    def silent(self, process: Process) -> None:
        """No heartbeat comes any more."""
        serial = self._silences[process] = self._silences.get(process, 0) + 1
        self.later(self.session_timeout_s, self._expire, process, serial)

    def _expire(self, process: Process, serial: int) -> None:
        if self._silences[process] == serial and process in self._members:
            self.group.expel(self._members[process][0])

    # Inside --------------------------------------------------------------------------------------------------

    def _decided(self, transaction: Transactional) -> None:
        self.trace(transaction.name, "commit decided", transaction.epoch)
        if self.decided is not None:
            self.decided(transaction)

    def _group_mark(self, producer: int, committed: bool) -> None:
        self.group.mark(producer, committed)

    def _abort_overdue(self) -> None:
        for name in self.transactions.abort_overdue():
            self.trace(name, "overdue")
            self.reached("transaction timed out")
        self.later(ABORT_INTERVAL_S, self._abort_overdue)


def _answer(future: asyncio.Future[T], result: T) -> None:
    if not future.done():
        future.set_result(result)


def _fail(future: asyncio.Future[Any], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
        future.exception()  # its reader may be dead
