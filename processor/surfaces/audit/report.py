"""What an audit found, for people and for scripts."""

from __future__ import annotations

from typing import Any, Final, Literal

import msgspec
from msgspec import Struct

EQUAL: Final = "equal"
DIFFERENT: Final = "different"
CANNOT: Final = "cannot"
Verdict = Literal["equal", "different", "cannot"]
# In the order of weight: what is certainly different outweighs what could not be looked at.
_WEIGHTS: Final[tuple[Verdict, ...]] = (DIFFERENT, CANNOT, EQUAL)

What = Literal["key", "value", "headers", "missing", "surplus", "state", "progress"]

_SHOWN = 400  # of a value, in characters
_BEFORE = 120  # of them in front of where the values part


class Difference(Struct, frozen=True):
    """The first thing in a partition that is not what the replay gives.

    ``offset``: of the record in its own topic, None where there is none; ``input_offset``: of the input record it
    answers, None where it answers none.  ``expected`` and ``found`` are None where nothing should be, or is.
    """

    topic: str
    partition: int
    offset: int | None
    input_offset: int | None
    what: What
    expected: str | None
    found: str | None

    def __str__(self) -> str:
        place = f"{self.topic}-{self.partition}"
        if self.offset is not None:
            place += f" offset {self.offset}"
        if self.input_offset is not None:
            place += f" (input offset {self.input_offset})"
        said = {"missing": "a record is missing", "surplus": "a record too many"}.get(
            self.what, f"the {self.what} {'differ' if self.what == 'headers' else 'differs'}"
        )
        return f"{place}: {said}: replay gives {self.expected or 'nothing'}, committed is {self.found or 'nothing'}"


class PartitionReport(Struct):
    """What became of one partition.

    ``first`` and ``end``: the input offsets that were compared (end exclusive).  ``compared``: records by topic role,
    and with them ``state`` where the changelog was compared.  ``passed_over``: input records of sessions of which
    the log does not hold the beginning.  ``notes`` say what the verdict rests on.
    """

    partition: int
    verdict: Verdict = EQUAL
    first: int = 0
    end: int = 0
    events: int = 0
    compared: dict[str, int] = msgspec.field(default_factory=dict)
    passed_over: int = 0
    sessions_passed_over: int = 0
    notes: list[str] = msgspec.field(default_factory=list)
    difference: Difference | None = None
    reason: str | None = None  # why not, where it cannot be said


class AuditReport(Struct):
    """All partitions that were asked for."""

    partitions: list[PartitionReport]

    @property
    def verdict(self) -> Verdict:
        """Of the worst partition."""
        found = {report.verdict for report in self.partitions}
        return next((verdict for verdict in _WEIGHTS if verdict in found), EQUAL)

    @property
    def compared(self) -> dict[str, int]:
        """Records over all partitions, by role."""
        total: dict[str, int] = {}
        for report in self.partitions:
            for role, count in report.compared.items():
                total[role] = total.get(role, 0) + count
        return total

    def to_json(self) -> bytes:
        """One JSON object."""
        shown: dict[str, Any] = {"verdict": self.verdict, "compared": self.compared}
        shown["events"] = sum(report.events for report in self.partitions)
        shown["partitions"] = msgspec.to_builtins(self.partitions)
        return msgspec.json.encode(shown)

    def summary(self) -> str:
        """What was compared and what that rests on, a few lines."""
        counts = ", ".join(f"{count:,} {role.replace('_', ' ')}" for role, count in self.compared.items())
        events = sum(report.events for report in self.partitions)
        lines = [
            f"{self.verdict}: {events:,} events of {_plural(len(self.partitions), 'partition')} re-derived, "
            f"compared: {counts or 'nothing'}"
        ]
        for report in self.partitions:
            place = f"partition {report.partition}"
            if report.passed_over:
                lines.append(
                    f"{place}: {_plural(report.passed_over, 'event')} of "
                    f"{_plural(report.sessions_passed_over, 'session')} not auditable: the input no longer holds "
                    "their beginning"
                )
            lines += [f"{place}: {note}" for note in report.notes]
        return "\n".join(lines)

    def worst(self) -> str:
        """One line: the first difference, or else the first reason why nothing can be said."""
        worst = next(report for report in self.partitions if report.verdict == self.verdict)
        if worst.verdict == DIFFERENT:
            return f"{worst.difference}"
        return f"partition {worst.partition} cannot be audited: {worst.reason}"


def _plural(count: int, thing: str) -> str:
    return f"{count:,} {thing}{'' if count == 1 else 's'}"


def shown_pair(expected: bytes | None, found: bytes | None) -> tuple[str, str]:
    """Two values as text, long ones cut to where they part."""
    wanted, got = _text(expected), _text(found)
    parts = next(
        (index for index, pair in enumerate(zip(wanted, got, strict=False)) if pair[0] != pair[1]),
        min(len(wanted), len(got)),
    )
    return _cut(wanted, parts), _cut(got, parts)


def _text(value: bytes | None) -> str:
    return "null" if value is None else value.decode("utf-8", "backslashreplace") or '""'


def _cut(text: str, at: int) -> str:
    if len(text) <= _SHOWN:
        return text
    start = max(0, min(at - _BEFORE, len(text) - _SHOWN))
    end = start + _SHOWN
    return ("…" if start else "") + text[start:end] + ("…" if end < len(text) else "")
