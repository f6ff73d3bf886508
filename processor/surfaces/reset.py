"""Where partitions shall go on, and what that means for their input."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

import msgspec
from msgspec import Struct

from processor.errors import ConfigError, Refused
from processor.surfaces.ports import Move, Place, ProgressAdmin

Edge = Literal["earliest", "latest"]
Target = int | datetime | Edge
"""An input offset, a time (of Kafka's records), or an end of what the input holds."""


class PlannedReset(Struct):
    """One partition; all numbers are input offsets.

    ``skipped``: offsets that will never be processed, ``removed`` of which the input no longer holds; ``again``: those
    that will be given to the sessions once more.  A transaction's marker takes an offset, too.
    """

    partition: int
    next_offset: int
    first: int
    end: int
    target: int
    skipped: int
    removed: int
    again: int

    def __str__(self) -> str:
        place = f"partition {self.partition}: at {self.next_offset}, input {self.first}..{self.end}"
        if self.again:
            return f"{place}; back to {self.target}: {self.again} offsets a second time"
        if self.skipped:
            removed = f" ({self.removed} of them already removed)" if self.removed else ""
            return f"{place}; on to {self.target}: {self.skipped} offsets skipped{removed}"
        return f"{place}; stays"


class ResetReport(Struct):
    """All partitions that were asked for. ``members``: who was in the group when it was looked at."""

    partitions: list[PlannedReset]
    members: list[str]
    executed: bool = False

    @property
    def moves(self) -> list[Move]:
        """What is to be done."""
        return [
            Move(plan.partition, plan.next_offset, plan.target)
            for plan in self.partitions
            if plan.target != plan.next_offset
        ]

    def refuse_repetition(self) -> None:
        """Raise `Refused` where input would be processed a second time."""
        for plan in self.partitions:
            if plan.again:
                raise Refused(
                    f"partition {plan.partition} would go back from {plan.next_offset} to {plan.target}: actions of "
                    "what was processed there are committed already and would be written a second time; name the "
                    "partitions that shall move with --partition, or say --again"
                )

    def summary(self) -> str:
        """A line per partition, and what comes next."""
        lines = [str(plan) for plan in self.partitions]
        if self.executed:
            lines.append("done" if self.moves else "nothing to do")
        elif self.moves:
            lines.append("dry run, nothing was changed: say --execute to do it")
            if self.members:
                lines.append(f"before that, stop all instances: {', '.join(self.members)}")
        else:
            lines.append("nothing to do")
        return "\n".join(lines)

    def to_json(self) -> bytes:
        """One JSON object."""
        return msgspec.json.encode(self)


async def plan_reset(admin: ProgressAdmin, partitions: Sequence[int], target: Target) -> ResetReport:
    """Look, and change nothing. Raises `ConfigError` for an offset that an input does not hold."""
    plans = []
    for partition in partitions:
        place = await admin.place(partition)
        plans.append(planned(place, await _offset(admin, place, target)))
    return ResetReport(plans, list(await admin.members()))


def planned(place: Place, target: int) -> PlannedReset:
    """What it means to go on at ``target``."""
    partition, following, first, end = place
    if not first <= target <= end:
        raise ConfigError(f"--to {target}: the input of partition {partition} holds {first}..{end}")
    return PlannedReset(
        partition,
        following,
        first,
        end,
        target,
        skipped=max(0, target - following),
        removed=max(0, min(target, first) - following),
        again=max(0, following - target),
    )


async def _offset(admin: ProgressAdmin, place: Place, target: Target) -> int:
    match target:
        case "earliest":
            return place.first
        case "latest":
            return place.end
        case datetime():
            found = await admin.offset_at(place.partition, int(target.timestamp() * 1000))
            return place.end if found is None else found
        case _:
            return target
