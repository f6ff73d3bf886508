"""What a campaign counts: faults that really happened, what was compared, recoveries, violations."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from msgspec import Struct


class Summary(Struct, frozen=True):
    """The figures of a campaign; ``faults`` by kind and point, recoveries in seconds (None: there were none)."""

    seed: int
    duration_s: float
    faults: dict[str, dict[str, int]]
    faults_total: int
    comparisons: int
    records_compared: int
    recoveries: int
    recovery_p50_s: float | None
    recovery_p99_s: float | None
    recovery_max_s: float | None
    violations: int
    violation_texts: list[str]


class Tally:
    """Counts of one campaign; every part of it adds to the same tally."""

    def __init__(self) -> None:
        self._fired: dict[str, Counter[str]] = {}
        self._comparisons = 0
        self._records = 0
        self._recoveries_s: list[float] = []
        self.violations: list[str] = []

    def fired(self, kind: str, point: str) -> None:
        """One fault happened; ``kind`` as in "kill" or "doubt", ``point`` where or how it hit."""
        self._fired.setdefault(kind, Counter())[point] += 1

    def checked(self, n: int) -> None:
        """The oracle made one comparison, of ``n`` records."""
        self._comparisons += 1
        self._records += n

    def recovered(self, seconds: float) -> None:
        """From a fault until all partitions were worked on again."""
        self._recoveries_s.append(seconds)

    def violation(self, text: str) -> None:
        """A promise was broken; ``text`` tells seed, first difference, journals and how to repeat it."""
        self.violations.append(text)

    def count(self, kind: str, point: str | None = None) -> int:
        """Faults of a kind so far, at one point or at all of them."""
        points = self._fired.get(kind, Counter())
        return points.total() if point is None else points[point]

    def summary(self, seed: int, duration_s: float) -> Summary:
        """The figures so far."""
        times = sorted(self._recoveries_s)
        return Summary(
            seed=seed,
            duration_s=round(duration_s, 1),
            faults={kind: dict(sorted(points.items())) for kind, points in sorted(self._fired.items())},
            faults_total=sum(points.total() for points in self._fired.values()),
            comparisons=self._comparisons,
            records_compared=self._records,
            recoveries=len(times),
            recovery_p50_s=_quantile(times, 0.50),
            recovery_p99_s=_quantile(times, 0.99),
            recovery_max_s=_quantile(times, 1.0),
            violations=len(self.violations),
            violation_texts=self.violations,
        )


def table(summary: Summary) -> str:
    """The figures for a person."""
    lines = [f"seed {summary.seed}, {summary.duration_s:g} s, {summary.faults_total} faults"]
    for kind, points in summary.faults.items():
        lines.append(f"{kind:<16} {sum(points.values()):>6}")
        lines += [f"  {point:<36} {count:>6}" for point, count in points.items()]
    lines.append(f"comparisons      {summary.comparisons:>6}   records compared {summary.records_compared}")
    if summary.recoveries:
        lines.append(
            f"recoveries       {summary.recoveries:>6}   p50 {summary.recovery_p50_s} s, "
            f"p99 {summary.recovery_p99_s} s, longest {summary.recovery_max_s} s"
        )
    lines.append(f"violations       {summary.violations:>6}")
    return "\n".join([*lines, *summary.violation_texts])


def _quantile(ordered: Sequence[float], share: float) -> float | None:
    """Nearest rank: a time that was really measured."""
    return round(ordered[math.ceil(share * len(ordered)) - 1], 3) if ordered else None
