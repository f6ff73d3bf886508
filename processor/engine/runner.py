"""The engine of one instance: what happens when.

One turn of the loop takes what was fetched, lets the folds compute it into the pending batch, and starts the next
commit when the previous one is answered (rules R6 and R7).  Everything that must not race with that -- a doubt, a
new assignment -- is a fact recorded elsewhere and acted upon here, at the beginning of a turn.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging

from processor.engine.computing import Computing
from processor.engine.lifecycle import TaskState
from processor.engine.observer import Observer
from processor.engine.partitions import Partitions
from processor.engine.ports import Cluster, FoldFactory, Input, Membership, Token
from processor.engine.standing import Standing
from processor.engine.task import Task
from processor.engine.transactions import Transactions
from processor.engine.tuning import Tuning
from processor.errors import Fenced, InstanceIdInUse, OutOfMemory, ProcessorError, Refused, Stuck

log = logging.getLogger(__name__)

LAST_WORD_S = 2.0  # for a cluster that answers; where none does, nobody waits for it either


class Runner:
    """Runs the partitions that the group gives to this instance, until told to stop."""

    def __init__(
        self, cluster: Cluster, factory: FoldFactory, tuning: Tuning, observer: Observer | None = None
    ) -> None:
        observer = observer or Observer()
        self._cluster = cluster
        self._tuning = tuning
        self._observer = observer
        self._loop = asyncio.get_running_loop()
        self._wake = asyncio.Event()
        self._stopping = False
        self._input: Input | None = None
        self._membership: Membership | None = None
        self._adopted: Token | None = None
        self._revoking = False
        self._transactions = Transactions(tuning, observer, self._wake.set, self._rejoin)
        self._partitions = Partitions(cluster, factory, tuning, observer, self._transactions, self._wake.set)
        self._computing = Computing(tuning, observer, self._transactions, self._partitions)
        self._standing = Standing(tuning, observer)

    @property
    def tasks(self) -> dict[int, Task]:
        """The tasks by partition, for those who look."""
        return self._partitions.tasks

    async def run(self, stop: asyncio.Event) -> None:
        """Work until ``stop`` is set, then commit, leave the group and return.

        Raises `Refused` (and its kinds) where work is impossible; any other exception is a defect.
        """
        work = asyncio.create_task(self._work())
        stopped = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({work, stopped}, return_when=asyncio.FIRST_COMPLETED)
            self._stopping = True
            self._wake.set()
            done, _ = await asyncio.wait({work}, timeout=self._tuning.shutdown_timeout_s)
            if done:
                work.result()
            else:
                log.warning("not finished within the grace; what was not committed is computed again elsewhere")
        finally:
            for task in (work, stopped):
                task.cancel()
            await asyncio.gather(work, stopped, return_exceptions=True)
            await self._leave()

    async def _work(self) -> None:
        self._transactions.epoch = await self._cluster.open_epoch()
        self._observer.epoch_opened()
        self._input = await self._cluster.open_input(self._wake.set)
        self._membership = await self._cluster.join(self)
        try:
            while not self._stopping:
                await self._turn(self._input, self._membership)
        except BaseException as error:
            # Half a step may be in it, and leaving the group would commit it.
            self._transactions.pending = None
            if isinstance(error, InstanceIdInUse):
                self._transactions.fatal = error
            if isinstance(error, MemoryError):
                raise OutOfMemory(
                    "out of memory: what was not committed is computed again; give the process more, or share the "
                    "partitions among more instances"
                ) from None
            raise
        # What is computed is committed under the token that is still valid, so that nobody has to repeat it.
        await self._transactions.drain()

    async def _leave(self) -> None:
        self._partitions.cancel_restores()
        left_open = self._transactions.cancel()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._tuning.shutdown_timeout_s):
                if self._membership is not None:
                    await self._membership.leave()
                if left_open:
                    await self._end_transaction()
                if self._transactions.epoch is not None:
                    await self._transactions.epoch.close()

    async def _end_transaction(self) -> None:
        """Whoever has the partitions next need not wait until its time-out ends it."""
        try:
            async with asyncio.timeout(LAST_WORD_S):
                await (await self._cluster.open_epoch()).close()
        except (ProcessorError, TimeoutError) as error:
            log.warning("the last transaction stays open until its time-out: %r", error)

    # One turn ------------------------------------------------------------------------------------------------

    async def _turn(self, reader: Input, membership: Membership) -> None:
        self._wake.clear()
        if self._transactions.fatal is not None:
            raise self._transactions.fatal
        try:
            membership.check()
        except Fenced as fenced:
            self._transactions.fenced(fenced)
        if self._transactions.doubt is not None:
            await self._recover(reader)
            return
        if self._transactions.token is not self._adopted:
            await self._adopt()
            return
        self._partitions.collect(reader)
        self._settle(reader)
        self._standing.check(self._loop.time(), self.tasks, reader)
        worked = not self._revoking and self._computing.slice(reader)
        delay_s = self._transactions.maybe_commit()
        if worked:
            # Heartbeats, fetches and the commit in flight take their turn.
            await asyncio.sleep(0)
        else:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(delay_s):
                    await self._wake.wait()

    # Doubt ---------------------------------------------------------------------------------------------------

    def _rejoin(self) -> None:
        if self._membership is not None and not self._revoking:
            self._membership.rejoin()

    async def _recover(self, reader: Input) -> None:
        """Rule R3: first a new epoch, which ends what is open and fences what is late; then restore."""
        transactions = self._transactions
        # The group's word came while a transaction was under way: its own end comes first.
        await transactions.answered()
        doubt, transactions.doubt = transactions.doubt, None
        log.warning("new epoch after: %s", doubt)
        self._observer.doubted(str(doubt))
        transactions.pending = None
        if transactions.doubts_since is None:
            transactions.doubts_since = self._loop.time()
        old, transactions.epoch = transactions.epoch, await self._cluster.open_epoch()
        self._observer.epoch_opened()
        if old is not None:
            await old.close()
        if self._loop.time() - transactions.doubts_since > self._tuning.stuck_timeout_s:
            raise Stuck(f"no transaction succeeded for {self._tuning.stuck_timeout_s:g} s, last: {doubt}")
        for task in self.tasks.values():
            if task.state is TaskState.RUNNING and not task.clean:
                reader.forget(task.partition)
                if transactions.token is not None:
                    self._partitions.restore(task)

    def _settle(self, reader: Input) -> None:
        """Time in which there is nothing to commit is no time without success."""
        transactions = self._transactions
        if transactions.doubts_since is None or self._partitions.restores or not transactions.idle:
            return
        working = [task.partition for task in self.tasks.values() if task.state is TaskState.RUNNING]
        if all(reader.lag(partition) == 0 for partition in working):
            transactions.doubts_since = None
            self._observer.settled()

    # Assignments ---------------------------------------------------------------------------------------------

    def assigned(self, token: Token) -> None:
        """The listener's word: recorded here, acted upon in the next turn (rule R5)."""
        self._transactions.token = token
        self._wake.set()

    async def revoked(self) -> None:
        """Commit what the token still covers, within a deadline; then the token is void."""
        self._revoking = True
        drain = asyncio.create_task(self._transactions.drain())
        await asyncio.wait({drain}, timeout=self._tuning.revoke_timeout_s)
        drain.cancel()
        self._transactions.token = None
        self._transactions.pending = None
        self._revoking = False
        self._partitions.release(self._input)
        self._wake.set()

    async def _adopt(self) -> None:
        token = self._transactions.token
        if self._transactions.inflight is not None:
            # No restore while our own transaction is open on the partition.
            await self._transactions.answered()
            return
        self._adopted = token
        self._transactions.doubts_since = None  # time without a partition is no time without success
        if token is None:
            return
        log.info("generation %d: partitions %s", token.generation, sorted(token.partitions))
        count = self._tuning.partition_count
        if max(token.partitions, default=-1) >= count:
            raise Refused(
                f"input {self._tuning.input} has got more than the {count} partitions of topics.partitions: sessions "
                "would change partition; use new topics for another partition count"
            )
        self._observer.assigned(token.partitions, token.generation)
        self._partitions.adopt(token.partitions)
