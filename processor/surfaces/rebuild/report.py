"""What a rebuild found and did, for people and for scripts."""

from __future__ import annotations

from typing import NamedTuple

import msgspec
from msgspec import Struct

from processor.surfaces.audit import Difference
from processor.surfaces.rebuild.extent import Basis

BASES: dict[Basis, str] = {
    "group": "the group's offset",
    "outputs": "the last input that is answered",
    "asked": "--to",
    "nothing": "never processed",
}


class Words(NamedTuple):
    """What an operator allows by name."""

    accept_incomplete: bool = False
    accept_unverified: bool = False
    replace: bool = False


class RebuiltPartition(Struct):
    """What becomes of one partition.

    ``stored``: where its progress record stands, if there is one.  ``first`` and ``end``: the input offsets that are
    folded (end exclusive), ``events`` the records among them, ``state`` the records that it comes to, of ``sessions``
    sessions.  ``compared``: committed records, by role, that equal what is derived.  ``removed``: input offsets before
    ``first`` that may have been processed and are gone; then ``incomplete_events`` of ``incomplete_sessions`` belong
    to sessions of which the beginning may be among them.  ``reason``: why it cannot be rebuilt.
    """

    partition: int
    stored: int | None = None
    left_out: bool = False
    first: int = 0
    end: int = 0
    basis: Basis = "nothing"
    events: int = 0
    sessions: int = 0
    state: int = 0
    compared: dict[str, int] = msgspec.field(default_factory=dict)
    removed: int = 0
    incomplete_events: int = 0
    incomplete_sessions: int = 0
    difference: Difference | None = None
    unverified: bool = False
    reason: str | None = None
    notes: list[str] = msgspec.field(default_factory=list)

    def refusal(self, words: Words) -> str | None:
        """Why it is not done without another word; None where it is, or where nothing is to be done."""
        place = f"partition {self.partition}"
        if self.reason is not None:
            return f"{place} cannot be rebuilt: {self.reason}"
        if self.left_out:
            return None
        if self.stored is not None and not words.replace:
            return (
                f"{place} has a progress record, at input offset {self.stored}: there is nothing to rebuild; leave it "
                "out, or say --replace to throw away what its changelog holds"
            )
        if self.removed and not words.accept_incomplete:
            return (
                f"the input of {place} begins at offset {self.first}, and {self.removed} offsets before it may have "
                f"been processed: {self.incomplete_events:,} events of {self.incomplete_sessions:,} sessions give no "
                "whole state; restore the changelog, or say --accept-incomplete"
            )
        if self.difference is not None and not words.accept_unverified:
            return (
                f"{self.difference}; give the settings of the time, say with --skipped what a reset skipped, or say "
                "--accept-unverified to go on with state that does not fit what was committed"
            )
        if self.unverified and not words.accept_unverified:
            return f"{place}: no output is left to hold the state against; say --accept-unverified to go on"
        return None

    def differs(self, words: Words) -> bool:
        """Whether a difference is what stands against it."""
        return self.difference is not None and (not self.removed or words.accept_incomplete)

    def __str__(self) -> str:
        place = f"partition {self.partition}"
        if self.reason is not None:
            return f"{place}: cannot be rebuilt: {self.reason}"
        if self.left_out:
            return f"{place}: has its progress record, at input offset {self.stored}; left out"
        counts = ", ".join(f"{count:,} {role.replace('_', ' ')}" for role, count in self.compared.items())
        lines = [
            f"{place}: input {self.first}..{self.end} ({BASES[self.basis]}): {self.events:,} events, {self.sessions:,} "
            f"sessions, {self.state:,} state records; equal: {counts or 'nothing'}"
        ]
        if self.removed:
            lines.append(
                f"{place}: INCOMPLETE: {self.removed:,} offsets before {self.first} are gone, "
                f"{self.incomplete_events:,} events of {self.incomplete_sessions:,} sessions give no whole state"
            )
        if self.difference is not None:
            lines.append(f"{place}: DIFFERENT: {self.difference}")
        lines += [f"{place}: {note}" for note in self.notes]
        return "\n".join(lines)


class RebuildReport(Struct):
    """All partitions that were asked for. ``members``: who was in the group when it was looked at."""

    partitions: list[RebuiltPartition]
    members: list[str]
    seconds: float = 0.0
    executed: bool = False

    def refusal(self, words: Words) -> RebuiltPartition | None:
        """The first partition that is not done without another word: then none is."""
        return next((partition for partition in self.partitions if partition.refusal(words) is not None), None)

    @property
    def events(self) -> int:
        """Folded, over all partitions."""
        return sum(partition.events for partition in self.partitions)

    @property
    def idle(self) -> bool:
        """Nothing is to be done."""
        return all(partition.left_out for partition in self.partitions)

    def summary(self, words: Words) -> str:
        """A few lines per partition, and what comes next."""
        lines = [str(partition) for partition in self.partitions]
        if self.events:
            lines.append(f"{self.events:,} events in {self.seconds:.1f} s ({self.events / self.seconds:,.0f}/s)")
        if self.idle:
            lines.append("nothing to do")
        elif self.executed:
            lines.append("done")
        elif self.refusal(words) is None:
            lines.append("dry run, nothing was changed: say --execute to do it")
            if self.members:
                lines.append(f"before that, stop all instances: {', '.join(self.members)}")
        else:
            lines.append("nothing was changed")
        return "\n".join(lines)

    def to_json(self) -> bytes:
        """One JSON object."""
        return msgspec.json.encode(self)
