"""The input folded again, a few records at a time, and what that gives held against what is committed.

Where the input log no longer holds the partition's beginning, a session is followed from where its committed action
says that it is new (its first step, or a refusal that found no session): before that nothing can be said of it.
Where idle sessions end within an hour, that counts only an hour behind the log's new beginning: until then a lost
record may have set the partition's time further than is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack

import msgspec

from processor.config import TopicsConfig
from processor.engine.ports import InputRecord
from processor.surfaces.audit.derivation import Derivation
from processor.surfaces.audit.outputs import CommittedOutput, ReplayedOutputs
from processor.surfaces.audit.report import Difference, PartitionReport
from processor.surfaces.ports import Logs
from schemas.codec import decode_action
from schemas.errors import InvalidRecord
from schemas.headers import is_msgpack
from schemas.nesting import check_json_depth, check_msgpack_depth

MOST_NESTED = 128  # in an action; what others wrote there must not end the program


class OutputComparison:
    """Of one partition.  ``whole``: the derivation begins where the partition began.

    ``report`` gets what was compared, what had to be passed over, and what the comparison rests on.
    """

    def __init__(
        self, logs: Logs, topics: TopicsConfig, report: PartitionReport, derivation: Derivation, *, whole: bool
    ) -> None:
        self._logs = logs
        self._topics = topics
        self._report = report
        self._derivation = derivation
        self._whole = whole
        self._replayed = ReplayedOutputs()
        self._outputs: dict[str, CommittedOutput] = {}
        self._followed: set[str] = set()
        self._passed_over: set[str] = set()

    async def open(self, stack: AsyncExitStack, first: int, end: int) -> None:
        """Compare what answers the inputs from ``first`` up to ``end``; the stack closes what is opened.

        What was committed when the partition's progress was read lies before where the outputs end now.
        """
        topics = self._topics
        for role, topic in (
            ("actions", topics.actions),
            ("metrics", topics.metrics),
            ("dead_letters", topics.dead_letters),
        ):
            bounds = await self._logs.bounds(topic, self._report.partition)
            batches = self._logs.records(topic, self._report.partition, bounds.first, bounds.end)
            cut = bounds.first > 0
            output = CommittedOutput(topic, self._report.partition, batches, first, cut=cut)
            self._outputs[role] = output
            stack.push_async_callback(output.close)
            if not await output.begin():
                output.start = end
                self._report.notes.append(f"{topic} holds nothing any more: not compared")
            elif output.start > first:
                self._report.notes.append(f"{topic} is compared from input offset {output.start} on, where it begins")

    async def take(self, records: Sequence[InputRecord]) -> Difference | None:
        """Fold records of one era and compare what they give: the difference at the lowest input offset."""
        difference = await (self._compare(records) if self._whole else self._follow(records))
        self._report.events += len(records)
        return difference

    async def rest(self, end: int, *, to_the_end: bool) -> Difference | None:
        """No other record may answer an input before ``end``; see `CommittedOutput.rest`."""
        for output in self._outputs.values():
            difference = await output.rest(end, to_the_end=to_the_end)
            if difference is not None:
                return difference
        return None

    def tell(self) -> None:
        """Put the counts into the report."""
        self._report.sessions_passed_over = len(self._passed_over)
        self._report.compared = {role: output.compared for role, output in self._outputs.items()}

    async def _compare(self, records: Sequence[InputRecord]) -> Difference | None:
        self._derivation.process(records, self._replayed)
        found = []
        for role, given in self._replayed.of.items():
            difference = await self._outputs[role].compare(given)
            if difference is not None:
                found.append(difference)
            given.clear()
        return min(found, key=lambda difference: difference.input_offset or 0, default=None)

    async def _follow(self, records: Sequence[InputRecord]) -> Difference | None:
        """The same for the sessions that are known from their beginning, one record at a time."""
        for record in records:
            session_id = self._derivation.session_of(record)
            if session_id is None or session_id in self._followed or await self._begins(record.offset, session_id):
                difference = await self._compare([record])
                if difference is not None:
                    return difference
                continue
            self._report.passed_over += 1
            self._passed_over.add(session_id)
            self._derivation.pass_over(record)
            for output in self._outputs.values():
                if await output.at(record.offset) is not None:
                    output.pass_over()
        return None

    async def _begins(self, offset: int, session_id: str) -> bool:
        """Whether the committed answer says that there was no such session before."""
        if not self._derivation.clock_known:
            return False
        answer = await self._outputs["actions"].at(offset)
        if answer is None or answer.value is None or answer.key != session_id.encode():
            return False
        try:
            msgpack = is_msgpack(answer.headers)
            (check_msgpack_depth if msgpack else check_json_depth)(answer.value, MOST_NESTED)
            action = decode_action(answer.value, msgpack=msgpack)
        except (InvalidRecord, msgspec.DecodeError):
            return False
        if action.step != (1 if action.error is msgspec.UNSET else 0):
            return False
        self._followed.add(session_id)
        return True
