"""How far a partition was processed, and from where on: what the group and the committed outputs still say.

The outputs of an input record are committed together with the progress past it, and every event has an action or a
dead letter unless it is a duplicate.  So whatever lies behind the furthest input offset that an output answers was
either not processed or is a duplicate, which changes nothing when it is processed once more.  In the same way the
first offset that is answered is where the partition began, since the first event of all is no duplicate.
"""

from __future__ import annotations

from contextlib import aclosing
from typing import Literal, NamedTuple

from processor.config import TopicsConfig
from processor.errors import Refused
from processor.surfaces.audit.outputs import source_of
from processor.surfaces.ports import Bounds, Logs

Basis = Literal["group", "outputs", "asked", "nothing"]
"""What says how far a partition was processed; ``nothing``: it never was."""

TAIL_OFFSETS = 1_000  # looked at first from the end of a log


class Answered(NamedTuple):
    """Input offsets that outputs answer: from ``first`` up to ``end`` (exclusive).

    ``first`` is None where it cannot be known, since an output lost its beginning or the actions all they had, or where
    there is none; ``end`` is 0 where there is none.  ``cut``: outputs are gone that may have answered more.
    """

    first: int | None
    end: int
    cut: bool


class Extent(NamedTuple):
    """Input to be folded: from ``start`` up to ``end`` (exclusive).

    ``whole``: nothing was processed before ``start``; otherwise ``removed`` offsets were, or may have been.
    """

    start: int
    end: int
    basis: Basis
    whole: bool
    removed: int


async def answered(logs: Logs, topics: TopicsConfig, partition: int) -> Answered:
    """What the outputs of one partition say; waits for transactions that are open there."""
    firsts: list[int] = []
    ends = [0]
    answering: set[str] = set()
    gone = False
    from_beginning = True
    for topic in (topics.actions, topics.dead_letters, topics.metrics):
        bounds = await logs.bounds(topic, partition)
        last = await _last_source(logs, topic, partition, bounds)
        if last is not None:
            answering.add(topic)
            ends.append(last + 1)
            first = await _first_source(logs, topic, partition, bounds)
            firsts += [] if first is None else [first]
        elif bounds.first > 0:
            gone = True
        if topic != topics.metrics:  # they are not given for every event, and do not say where the partition began
            from_beginning &= bounds.first == 0
    # Actions that are not there while other output is were removed, or lost like the changelog.
    no_actions = bool(answering) and topics.actions not in answering
    # Without its dead letters an event that follows the last action is answered once more, and nobody sees both.
    cut = no_actions or (gone and not answering)
    return Answered(min(firsts, default=None) if from_beginning and not no_actions else None, max(ends), cut)


def extent(bounds: Bounds, committed: int | None, outputs: Answered, asked: int | None, notes: list[str]) -> Extent:
    """What is to be folded; ``asked`` is an operator's word.

    Raises `Refused` where nothing says how far it was, or where what says it cannot be true.
    """
    end, basis = _end(bounds, committed, outputs, asked, notes)
    if end > bounds.end:
        raise Refused(
            f"it was processed up to input offset {end}, and the input ends at {bounds.end}: the topic was recreated "
            "or truncated; restore it, or start with new topics"
        )
    if outputs.first is not None:
        began: int | None = outputs.first
    else:
        never = outputs.end == 0 and not outputs.cut and end <= bounds.first
        began = bounds.first if never or bounds.first == 0 else None
    whole = began is not None and bounds.first <= began
    start = bounds.first if began is None else max(began, bounds.first)
    removed = 0 if whole else min(start, end) - (began or 0)
    return Extent(min(start, end), end, basis, whole, removed)


def _end(
    bounds: Bounds, committed: int | None, outputs: Answered, asked: int | None, notes: list[str]
) -> tuple[int, Basis]:
    if asked is not None:
        if asked < outputs.end:
            raise Refused(
                f"outputs answer the input up to offset {outputs.end - 1}: going on at {asked} would write them a "
                f"second time; say --to {outputs.end} or more"
            )
        return asked, "asked"
    if committed is not None and committed >= outputs.end:
        return committed, "group"
    if committed is not None:
        notes.append(f"the group's offset {committed} lies before input that is answered: the outputs decide")
    if outputs.end > 0 and (not outputs.cut or committed is not None):
        return outputs.end, "outputs"
    if outputs.cut:
        raise Refused(
            "the group has no committed offset, and the output is gone that would say how far it was processed: say "
            "it with --to OFFSET"
        )
    return bounds.first, "nothing"


async def _last_source(logs: Logs, topic: str, partition: int, bounds: Bounds) -> int | None:
    """The furthest input offset that is answered there; None where nothing is."""
    end, width = bounds.end, TAIL_OFFSETS
    while end > bounds.first:
        start = max(bounds.first, end - width)
        sources: list[int] = []
        async with aclosing(logs.records(topic, partition, start, end)) as batches:
            async for batch in batches:
                sources += [source for record in batch if (source := source_of(record)) is not None]
        if sources:
            return max(sources)
        end, width = start, 4 * width
    return None


async def _first_source(logs: Logs, topic: str, partition: int, bounds: Bounds) -> int | None:
    async with aclosing(logs.records(topic, partition, bounds.first, bounds.end)) as batches:
        async for batch in batches:
            for record in batch:
                source = source_of(record)
                if source is not None:
                    return source
    return None
