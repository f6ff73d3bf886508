"""Bringing a task's memory to the end of its changelog, and checking that the input is still the same log."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass

from processor.engine.observer import Observer
from processor.engine.ports import Cluster
from processor.engine.task import Task, anchor_hash
from processor.errors import InputLost, Refused
from schemas.progress import Barrier, Progress, encode_barrier

log = logging.getLogger(__name__)

LOOKS_AGAIN = 5  # at an input that seems to end too early
LOOK_AGAIN_S = 0.5


@dataclass(frozen=True)
class Restorer:
    """Rule R4. ``changelog`` and ``input`` are topic names, for messages."""

    cluster: Cluster
    observer: Observer
    changelog: str
    input: str

    async def restore(self, task: Task, barrier: Barrier) -> bool:
        """Bring the task to the committed end; true where its memory was already there.

        Raises `Refused` where changelog or input cannot be the truth.  Never ends by time: whoever holds the
        changelog back is reported through the observer.
        """
        # Nothing accepted under an older generation can land behind this record, so its offset is the end.
        offset = await self.cluster.barrier(task.partition, encode_barrier(barrier))
        if task.survives(offset):
            return True
        try:
            await self._read(task, offset)
        except Refused as refused:
            # Somebody may have the partition now and be far ahead: compaction has removed what is replaced behind our
            # barrier, or retention the input that they have processed.  A barrier of this moment tells.
            log.warning("restored once more: %s", refused)
            await self._read(task, await self.cluster.barrier(task.partition, encode_barrier(barrier)))
        return False

    async def _read(self, task: Task, offset: int) -> None:
        """All that lies before the barrier at this offset. Raises `Refused` where it or the input is not whole."""
        complete = False
        while not complete:
            task.begin_restore()
            complete = await self.cluster.read_changelog(
                task.partition,
                offset,
                task.restore,
                lambda position: self.observer.restoring(task.partition, position, offset),
            )
        await self._check_input(task, task.end_restore(offset, self.changelog))

    async def _bounds(self, partition: int, following: int) -> tuple[int, int]:
        """Earliest and end offset of the input.

        An isolated leader knows no better than that its log ends before what a newer one took and we processed:
        asked again, fresh metadata names the newer one.
        """
        earliest, end = await self.cluster.input_bounds(partition)
        for _ in range(LOOKS_AGAIN):
            if following <= end:
                break
            await asyncio.sleep(LOOK_AGAIN_S)
            earliest, end = await self.cluster.input_bounds(partition)
        return earliest, end

    async def _check_input(self, task: Task, progress: Progress) -> None:
        name = f"{self.input}-{task.partition}"
        following = progress.next_offset
        earliest, end = await self._bounds(task.partition, following)
        if following < earliest:
            raise InputLost(
                task.partition,
                f"input {name} lost {following}..{earliest - 1}: retention removed records before they were "
                "processed; lengthen retention, then `creative-feedback reset` to accept the gap",
            )
        anchor = progress.anchor_offset
        if following > end:
            raise Refused(
                f"input {name} ends at {end}, before the committed position {following}: the topic was recreated "
                "or truncated; restore it, or start with new topics"
            )
        if earliest <= anchor < end:
            record = await self.cluster.input_record(task.partition, anchor)
            # A compacted or aborted hole proves nothing; a different record does.
            if record is not None and anchor_hash(record) != progress.anchor_hash:
                raise Refused(
                    f"input {name} offset {anchor} is not the record that was processed: the topic was recreated "
                    "or its log was cut and grew again; restore it, or start with new topics"
                )
