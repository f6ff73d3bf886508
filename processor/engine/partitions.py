"""The partitions of one instance: which it has, and how their memory is brought to what is committed (rule R4)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from processor.engine.lifecycle import TaskState
from processor.engine.observer import Observer
from processor.engine.ports import Cluster, FoldFactory, Input
from processor.engine.restoring import Restorer
from processor.engine.task import Task
from processor.engine.transactions import Transactions
from processor.engine.tuning import Tuning
from processor.errors import Refused
from schemas.progress import Barrier


class Partitions:
    """The tasks and their restores, by partition; restores run beside the work on the others."""

    def __init__(
        self,
        cluster: Cluster,
        factory: FoldFactory,
        tuning: Tuning,
        observer: Observer,
        transactions: Transactions,
        wake: Callable[[], None],
    ) -> None:
        """``wake`` is called at the end of every restore."""
        self.tasks: dict[int, Task] = {}
        self.restores: dict[int, asyncio.Task[bool]] = {}
        self._factory = factory
        self._tuning = tuning
        self._observer = observer
        self._transactions = transactions
        self._wake = wake
        self._restorer = Restorer(cluster, observer, tuning.changelog, tuning.input)
        self._slots = asyncio.Semaphore(tuning.concurrent_restores)
        self._loop = asyncio.get_running_loop()

    def working(self, partition: int) -> Task | None:
        """The partition's task, if it runs."""
        task = self.tasks.get(partition)
        return task if task is not None and task.state is TaskState.RUNNING else None

    def adopt(self, partitions: frozenset[int]) -> None:
        """Exactly these are ours from now on, and none of them is trusted."""
        for partition in set(self.tasks) - partitions:
            self.tasks.pop(partition).move_to(TaskState.CLOSED)
        for partition in sorted(partitions):
            task = self.tasks.get(partition)
            if task is None:
                tuning = self._tuning
                task = Task(partition, self._factory, tuning.partition_count, tuning.version, tuning.application_id)
                self.tasks[partition] = task
            self.restore(task)

    def release(self, reader: Input | None) -> None:
        """None is ours; what is clean is kept, in case it comes back."""
        self.cancel_restores()
        self.restores.clear()
        for task in self.tasks.values():
            if reader is not None:
                reader.forget(task.partition)
            if task.state is not TaskState.KEPT:
                keep = task.state is TaskState.RUNNING and task.clean and task.cause is None
                task.move_to(TaskState.KEPT if keep else TaskState.CLOSED)
        self._observer.revoked(frozenset(self.tasks))
        self.tasks = {p: task for p, task in self.tasks.items() if task.state is TaskState.KEPT}

    def restore(self, task: Task) -> None:
        """Begin; `collect` takes the end."""
        if task.state is TaskState.RUNNING:
            task.move_to(TaskState.RESTORING)
        self._observer.restore_began(task.partition)
        restore = asyncio.create_task(self._restore(task))
        restore.add_done_callback(lambda _: self._wake())
        self.restores[task.partition] = restore

    async def _restore(self, task: Task) -> bool:
        # Not while our own transaction is open on the partition.
        await self._transactions.answered(task.partition)
        token = self._transactions.token
        barrier = Barrier(self._tuning.instance_id, token.generation if token is not None else -1)
        async with self._slots:
            began = self._loop.time()
            kept = await self._restorer.restore(task, barrier)
            task.move_to(TaskState.RUNNING)
            figures = task.fold.figures()
            self._observer.running(task.partition, task.position, kept, self._loop.time() - began, figures)
            return kept

    def collect(self, reader: Input) -> None:
        """What is restored is read on; raises the `Refused` of the last one where all halt."""
        for partition, restore in list(self.restores.items()):
            if not restore.done():
                continue
            del self.restores[partition]
            task = self.tasks[partition]
            error = restore.exception()
            if isinstance(error, Refused):
                task.halt(str(error), self._observer)
                if all(other.state is TaskState.HALTED for other in self.tasks.values()):
                    raise error
            elif error is not None:
                raise error
            elif task.refused or (task.halt_at is not None and task.position >= task.halt_at):
                task.halt(task.cause or "", self._observer)
            else:
                reader.seek(partition, task.position)

    def cancel_restores(self) -> None:
        """None of them goes on."""
        for restore in self.restores.values():
            restore.cancel()
