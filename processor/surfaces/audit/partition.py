"""The audit of one partition: its input folded again, era by era, and compared on the way."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, aclosing

from processor.config import Settings
from processor.engine.ownership import refuse_another
from processor.engine.ports import InputRecord
from processor.engine.task import anchor_hash
from processor.errors import Refused
from processor.surfaces.audit.comparison import OutputComparison
from processor.surfaces.audit.derivation import Derivation
from processor.surfaces.audit.report import CANNOT, DIFFERENT, Difference, PartitionReport
from processor.surfaces.audit.span import WHOLE, Span
from processor.surfaces.audit.state import compare_progress, compare_state
from processor.surfaces.audit.stored import NotAuditable, StoredState, read_stored
from processor.surfaces.ports import Bounds, Logs

SLICE_RECORDS = 500

Told = Callable[[int, int, int], None]
"""Partition, input records done, and how many there are at most."""


async def audit_partition(
    logs: Logs, settings: Settings, partition: int, span: Span = WHOLE, told: Told | None = None
) -> PartitionReport:
    """Compare what ``span`` names with its replay; ``settings`` say where, and how where no era says it.

    Raises `Unreachable` as the logs do; what this partition lacks is in the report.
    """
    report = PartitionReport(partition)
    try:
        stored = await read_stored(logs, settings.topics.changelog, partition)
        bounds = await logs.bounds(settings.topics.state, partition)
        audit = PartitionAudit(logs, settings, span, report, stored, bounds)
        difference = await audit.run(told)
    except Refused as error:
        report.verdict, report.reason = CANNOT, str(error)
        return report
    if difference is not None:
        report.difference = difference
        report.verdict = DIFFERENT
        if audit.assumed and (difference.input_offset is not None or difference.what == "state"):
            report.verdict = CANNOT
            report.reason = f"not all settings of the time are recorded, and under the given ones {difference}"
    return report


class PartitionAudit:
    """What is needed on the way through one partition."""

    def __init__(
        self,
        logs: Logs,
        settings: Settings,
        span: Span,
        report: PartitionReport,
        stored: StoredState,
        bounds: Bounds,
    ) -> None:
        self._logs = logs
        self._settings = settings
        self._report = report
        self._stored = stored
        self._bounds = bounds
        self._partition = report.partition
        progress, eras = stored.progress, stored.eras
        self._untouched = progress.anchor_offset < 0 and not eras and not stored.resets
        first_known = next((era.first_offset for era in eras[:1] if era.initial), None)
        if self._untouched:
            self._start, self._whole = progress.next_offset, True
        elif first_known is not None:
            self._start, self._whole = max(bounds.first, first_known), bounds.first <= first_known
        else:
            self._start, self._whole = bounds.first, bounds.first == 0
        self._to_progress = span.end is None
        report.end = self._end = progress.next_offset if span.end is None else span.end
        report.first = span.start if self._whole else max(span.start, self._start)
        self._derivation = Derivation(
            settings,
            self._partition,
            eras,
            start=self._start,
            end=self._end,
            whole=self._whole,
            notes=report.notes,
        )
        self._comparison = OutputComparison(logs, settings.topics, report, self._derivation, whole=self._whole)

    @property
    def assumed(self) -> bool:
        """The given settings stood in for some that are not recorded."""
        return self._derivation.assumed

    async def run(self, told: Told | None) -> Difference | None:
        """The first difference, None where all is equal."""
        self._check()
        if self._stored.progress.next_offset > self._bounds.end:
            return self._ahead_of_input()
        try:
            async with AsyncExitStack() as stack:
                await self._comparison.open(stack, self._report.first, self._end)
                difference = await self._compare_outputs(told)
        finally:
            self._comparison.tell()
        return self._compare_changelog() if difference is None else difference

    async def _compare_outputs(self, told: Told | None) -> Difference | None:
        inputs = self._logs.records(self._settings.topics.state, self._partition, self._start, self._end)
        async with aclosing(inputs):
            async for batch in inputs:
                seen = [record for record in batch if not self._was_skipped(record.offset)]
                for start in range(0, len(seen), SLICE_RECORDS):
                    difference = await self._take(seen[start : start + SLICE_RECORDS])
                    if difference is not None:
                        return difference
                if told is not None and batch:
                    told(self._partition, batch[-1].offset + 1 - self._start, self._end - self._start)
        return await self._comparison.rest(self._end, to_the_end=self._to_progress)

    def _check(self) -> None:
        progress, topics = self._stored.progress, self._settings.topics
        if progress.partition_count != topics.partitions:
            raise NotAuditable(
                f"it was written for {progress.partition_count} partitions, topics.partitions says {topics.partitions}"
            )
        refuse_another(
            progress, self._settings.engine.application_id, f"changelog {topics.changelog}-{self._partition}"
        )
        if self._end > progress.next_offset:
            raise NotAuditable(f"it is processed up to input offset {progress.next_offset}, not yet up to {self._end}")
        for reset in self._stored.resets:
            went_back = reset.next_offset < reset.previous_offset
            if went_back and (self._to_progress or reset.next_offset < self._end):
                remedy = f"; audit with --to {reset.next_offset}" if reset.next_offset else ""
                raise NotAuditable(
                    f"a reset took it back from input offset {reset.previous_offset} to {reset.next_offset}, and what "
                    f"follows may stand twice{remedy}"
                )
        if self._report.first > self._end:
            raise NotAuditable(f"there is nothing from input offset {self._report.first} up to {self._end}")
        if not self._whole and self._start >= self._end:
            raise NotAuditable(f"the input before offset {self._bounds.first} is gone: retention or a reset removed it")
        self._report.notes += [
            f"input offsets {reset.previous_offset}..{reset.next_offset - 1} were skipped by a reset"
            for reset in self._stored.resets
            if reset.previous_offset < min(reset.next_offset, self._end)
        ]

    def _was_skipped(self, offset: int) -> bool:
        return any(reset.previous_offset <= offset < reset.next_offset for reset in self._stored.resets)

    def _ahead_of_input(self) -> Difference:
        return Difference(
            self._settings.topics.changelog,
            self._partition,
            self._stored.progress_offset,
            None,
            "progress",
            f"at most {self._bounds.end}, where the input ends",
            f"next offset {self._stored.progress.next_offset}",
        )

    async def _take(self, records: Sequence[InputRecord]) -> Difference | None:
        derivation = self._derivation
        while records:
            self._report.end = records[0].offset  # so far, should this be as far as it goes
            derivation.enter(records[0].offset)
            self._report.end = self._end
            length = bisect_left(records, derivation.until, key=lambda record: record.offset)
            piece, records = records[:length], records[length:]
            difference = await self._comparison.take(piece)
            if difference is not None:
                return difference
        return None

    def _compare_changelog(self) -> Difference | None:
        """The progress record, and the state where all of it was derived again."""
        if not self._to_progress:
            return None
        place = self._settings.topics.changelog, self._partition
        difference = None
        last = self._derivation.last
        if last is not None:
            anchor = last.offset, anchor_hash(last)
            if self._stored.resets and last.offset < self._stored.resets[-1].next_offset:
                anchor = -1, b""  # a reset leaves none
            difference = compare_progress(place, self._stored, anchor, self._derivation.marks())
        if difference is not None or not self._whole:
            return difference
        if not self._stored.whole:
            self._report.notes.append(f"{place[0]} is cut at its beginning: the state was not compared")
            return None
        difference = compare_state(place, self._derivation.state, self._stored.state)
        if difference is None:
            self._report.compared["state"] = len(self._derivation.state)
        return difference
