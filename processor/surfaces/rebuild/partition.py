"""One partition's state from its committed input, held against its committed output on the way."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack, aclosing

from processor.config import APPLICATION_VERSION, Settings
from processor.engine.ownership import refuse_another
from processor.engine.ports import InputRecord
from processor.engine.task import anchor_hash
from processor.errors import Refused
from processor.surfaces.audit import PartitionReport, Told
from processor.surfaces.audit.comparison import OutputComparison
from processor.surfaces.audit.partition import SLICE_RECORDS
from processor.surfaces.ports import Logs, RebuiltState, Standing
from processor.surfaces.rebuild.extent import Extent, answered, extent
from processor.surfaces.rebuild.refolding import NOWHERE, Refolding
from processor.surfaces.rebuild.report import RebuiltPartition, Words
from schemas.progress import (
    FORMAT,
    PROGRESS_KEY,
    RESET_PREFIX,
    Progress,
    Reset,
    decode_progress,
    decode_reset,
    encode_progress,
    encode_reset,
    reset_key,
)
from schemas.state_records import Kind

NO_WORDS = Words()


def _nobody(_partition: int, _done: int, _total: int) -> None:
    """For whoever does not look at the progress."""


async def rebuild_partition(
    logs: Logs,
    settings: Settings,
    standing: Standing,
    words: Words = NO_WORDS,
    *,
    named: bool = False,
    to: int | None = None,
    skipped: Sequence[range] = (),
    told: Told = _nobody,
) -> tuple[RebuiltPartition, RebuiltState | None]:
    """Derive the state up to where the partition was, or up to ``to``; it is None where the report says why.

    ``skipped``: input offsets that resets skipped, in the order of time, beyond those that the changelog still tells.

    A partition that has its progress record is left out, and where it was ``named`` refused, unless the words say
    otherwise.  Goes on behind a difference only where they accept one.  Raises `Unreachable` as the logs do.
    """
    report = RebuiltPartition(standing.partition)
    try:
        report.stored = _stored_offset(standing, settings)
        if report.stored is not None and not words.replace:
            report.left_out = not named
            return report, None
        rebuild = PartitionRebuild(logs, settings, standing, report, skipped)
        return report, await rebuild.run(words, to, told)
    except Refused as error:
        report.reason = str(error)
        return report, None


def _stored_offset(standing: Standing, settings: Settings) -> int | None:
    """Where the progress record stands, None without one. Raises `Refused` for one that no rebuild may replace."""
    stored = standing.own.get(PROGRESS_KEY)
    if stored is None:
        return None
    try:
        progress = decode_progress(stored)
    except ValueError as error:
        raise Refused(
            f"its progress record is {error}; run the version that wrote it, or make the topic anew"
        ) from None
    if progress.partition_count != settings.topics.partitions:
        raise Refused(
            f"its changelog was written for {progress.partition_count} partitions, topics.partitions says "
            f"{settings.topics.partitions}: use new topics for another partition count"
        )
    refuse_another(progress, settings.engine.application_id, "its changelog")
    return progress.next_offset


class PartitionRebuild:
    """What is needed on the way through one partition."""

    def __init__(
        self,
        logs: Logs,
        settings: Settings,
        standing: Standing,
        report: RebuiltPartition,
        skipped: Sequence[range],
    ) -> None:
        self._logs = logs
        self._settings = settings
        self._standing = standing
        self._report = report
        stored = _resets(standing)
        known = {(reset.previous_offset, reset.next_offset) for reset in stored.values()}
        named = [offsets for offsets in skipped if (offsets.start, offsets.stop) not in known]
        following = max(stored, default=-1) + 1
        self._named = {
            reset_key(number): Reset(FORMAT, APPLICATION_VERSION, offsets.start, offsets.stop)
            for number, offsets in enumerate(named, following)
        }
        self._resets = [*stored.values(), *self._named.values()]

    async def run(self, words: Words, to: int | None, told: Told) -> RebuiltState | None:
        """None behind a difference that the words do not accept."""
        report, settings = self._report, self._settings
        outputs = await answered(self._logs, settings.topics, report.partition)
        bounds = await self._logs.bounds(settings.topics.state, report.partition)
        found = extent(bounds, self._standing.committed, outputs, to, report.notes)
        report.first, report.end, report.basis, report.removed = found.start, found.end, found.basis, found.removed
        derivation = Refolding(
            settings, report.partition, [], start=found.start, end=found.end, whole=found.whole, notes=report.notes
        )
        await self._fold(derivation, found, words, told)
        if report.difference is not None and not words.accept_unverified:
            return None
        state, marks = derivation.finish()
        report.state = len(state)
        report.sessions = sum(key[:1] == Kind.SESSION.value for key in state)
        progress = self._progress(found.end, derivation.last, marks)
        told_again = {key: encode_reset(reset) for key, reset in self._named.items()}
        return RebuiltState(self._standing, found.end, {**state, **told_again}, encode_progress(progress))

    async def _fold(self, derivation: Refolding, found: Extent, words: Words, told: Told) -> None:
        report, topics = self._report, self._settings.topics
        compared = PartitionReport(report.partition, notes=report.notes)
        comparison = OutputComparison(self._logs, topics, compared, derivation, whole=found.whole)
        async with AsyncExitStack() as stack:
            await comparison.open(stack, found.start, found.end)
            inputs = self._logs.records(topics.state, report.partition, found.start, found.end)
            async with aclosing(inputs):
                async for batch in inputs:
                    seen = [record for record in batch if not self._was_skipped(record.offset)]
                    for start in range(0, len(seen), SLICE_RECORDS):
                        await self._take(seen[start : start + SLICE_RECORDS], comparison, derivation)
                    if report.difference is not None and not words.accept_unverified:
                        break
                    if batch:
                        told(report.partition, batch[-1].offset + 1 - found.start, found.end - found.start)
            if report.difference is None:
                report.difference = await comparison.rest(found.end, to_the_end=True)
        comparison.tell()
        report.compared = compared.compared
        report.incomplete_events, report.incomplete_sessions = compared.passed_over, compared.sessions_passed_over
        comparable = report.events - report.incomplete_events
        report.unverified = comparable > 0 and not any(report.compared.values())

    async def _take(self, records: Sequence[InputRecord], comparison: OutputComparison, derivation: Refolding) -> None:
        self._report.events += len(records)
        if self._report.difference is None:
            derivation.enter(records[0].offset)
            self._report.difference = await comparison.take(records)
        else:
            derivation.process(records, NOWHERE)

    def _was_skipped(self, offset: int) -> bool:
        return any(reset.previous_offset <= offset < reset.next_offset for reset in self._resets)

    def _progress(self, end: int, last: InputRecord | None, marks: bytes) -> Progress:
        anchor = (-1, b"") if last is None else (last.offset, anchor_hash(last))
        if last is not None and self._resets and last.offset < self._resets[-1].next_offset:
            anchor = -1, b""  # a reset leaves none
        settings = self._settings
        count, application_id = settings.topics.partitions, settings.engine.application_id
        return Progress(FORMAT, APPLICATION_VERSION, count, end, *anchor, marks, application_id)


def _resets(standing: Standing) -> dict[int, Reset]:
    """By the number in their key, in the order of time. Raises `Refused` for what this version cannot read."""
    try:
        return {
            int.from_bytes(key.removeprefix(RESET_PREFIX), "big"): decode_reset(value)
            for key, value in sorted(standing.own.items())
            if key.startswith(RESET_PREFIX)
        }
    except ValueError as error:
        raise Refused(f"its changelog holds {error}; run the version that wrote it, or make the topic anew") from None
