"""What a campaign counts: faults that really happened, what was compared, recoveries, violations."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from msgspec import Struct


class Recoveries(Struct, frozen=True):
    """How long it took from a fault until all partitions were worked on again."""

    count: int
    p50_s: float
    p99_s: float
    max_s: float


class Summary(Struct, frozen=True):
    """The figures of a campaign; ``faults`` by kind and point, ``recoveries`` by kind of round.

    ``observed`` is what followed from faults by chance, and shows that they bite.
    """

    seed: int
    duration_s: float
    faults: dict[str, dict[str, int]]
    faults_total: int
    comparisons: int
    records_compared: int
    recoveries: dict[str, Recoveries]
    observed: dict[str, int]
    violations: int
    violation_texts: list[str]


class Tally:
    """Counts of one campaign; every part of it adds to the same tally."""

    def __init__(self) -> None:
        self._fired: dict[str, Counter[str]] = {}
        self._comparisons = 0
        self._records = 0
        self._observed = Counter[str]()
        self._recoveries_s: dict[str, list[float]] = {}
        self.playing = ""  # the kind of round, for recoveries: they differ
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
        self._recoveries_s.setdefault(self.playing, []).append(seconds)

    def observed(self, what: str) -> None:
        """Something that only a fault that bites brings about."""
        self._observed[what] += 1

    def violation(self, text: str) -> None:
        """A promise was broken; ``text`` tells seed, first difference, journals and how to repeat it."""
        self.violations.append(text)

    def count(self, kind: str, point: str | None = None) -> int:
        """Faults of a kind so far, at one point or at all of them."""
        points = self._fired.get(kind, Counter())
        return points.total() if point is None else points[point]

    def summary(self, seed: int, duration_s: float) -> Summary:
        """The figures so far."""
        return Summary(
            seed=seed,
            duration_s=round(duration_s, 1),
            faults={kind: dict(sorted(points.items())) for kind, points in sorted(self._fired.items())},
            faults_total=sum(points.total() for points in self._fired.values()),
            comparisons=self._comparisons,
            records_compared=self._records,
            recoveries={kind: _quantiles(sorted(times)) for kind, times in self._recoveries_s.items()},
            observed=dict(sorted(self._observed.items())),
            violations=len(self.violations),
            violation_texts=self.violations,
        )


def table(summary: Summary) -> str:
    """The figures for a person."""
    lines = [f"seed {summary.seed}, {summary.duration_s:g} s, {summary.faults_total} faults"]
    for kind, points in summary.faults.items():
        lines.append(f"{kind:<16} {sum(points.values()):>6}")
        lines += [f"  {point:<36} {count:>6}" for point, count in points.items()]
    if summary.observed:
        lines.append("observed")
        lines += [f"  {what:<36} {count:>6}" for what, count in summary.observed.items()]
    lines.append(f"comparisons      {summary.comparisons:>6}   records compared {summary.records_compared}")
    for kind, times in summary.recoveries.items():
        lines.append(
            f"recoveries       {times.count:>6}   after {kind}: "
            f"p50 {times.p50_s:g} s, p99 {times.p99_s:g} s, longest {times.max_s:g} s"
        )
    lines.append(f"violations       {summary.violations:>6}")
    return "\n".join([*lines, *summary.violation_texts])


def _quantiles(ordered_s: Sequence[float]) -> Recoveries:
    """By nearest rank: times that were really measured."""
    p50_s, p99_s, max_s = (round(ordered_s[math.ceil(share * len(ordered_s)) - 1], 3) for share in (0.50, 0.99, 1.0))
    return Recoveries(len(ordered_s), p50_s, p99_s, max_s)
