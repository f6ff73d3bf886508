"""What only grows: counters and histograms, summed over the beats of all workers of this process.

Everything whose labels are known beforehand begins at 0, so that the first increment is one for `rate()` as well.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence

from processor.config import Settings
from processor.config.consistency import BUILT_IN_PROFILES
from processor.loop.session import MODES
from processor.surfaces.prometheus import names
from processor.surfaces.prometheus.names import Declared
from processor.surfaces.watch.beat import Beat
from schemas.errors import ERROR_CODES

Labels = tuple[str, ...]
Series = dict[Labels, float]

# The tally's names, and those of them that end in a label's value.
PLAIN: Mapping[str, Declared] = {
    "events": names.EVENTS,
    "actions": names.ACTIONS,
    "metrics": names.METRICS,
    "duplicates": names.DUPLICATES,
    "aborted": names.ABORTED,
    "successes": names.SUCCESSES,
    "sessions.created": names.SESSIONS_CREATED,
    "sessions.expired": names.SESSIONS_EXPIRED,
    "fits": names.FITS,
    "predictions": names.PREDICTIONS,
    "prediction_error_squared": names.SQUARED_ERROR,
}
LABELLED: Mapping[str, tuple[Declared, ...]] = {
    "explorations": (names.EXPLORATIONS,),
    "exploration_steps": (names.STEPS,),
    "transitions": (names.TRANSITIONS,),
    "dead_letters": (names.ERRORS, names.DEAD_LETTERS),
}


class Distribution:
    """A histogram without labels."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)  # per bucket, not cumulated; the last one is what exceeds all bounds
        self.sum = 0.0

    def add(self, values: Iterable[float]) -> None:
        """Take in observations."""
        for value in values:
            self.counts[bisect_left(self.bounds, value)] += 1
            self.sum += value


class AddingUp:
    """Counters by their label values, and histograms, from the beginning of this process."""

    def __init__(self, settings: Settings) -> None:
        profiles = [*BUILT_IN_PROFILES, *settings.profiles.custom]
        self.counters: dict[Declared, Series] = {metric: {(): 0.0} for metric in PLAIN.values()}
        self.counters[names.REBALANCES] = {}
        self.counters[names.STALLED] = {}
        for metric, values in (
            (names.EXPLORATIONS, profiles),
            (names.STEPS, profiles),
            (names.GAIN_WON, profiles),
            (names.GAIN_LOST, profiles),
            (names.TRANSITIONS, MODES),
            (names.ERRORS, ERROR_CODES),
            (names.DEAD_LETTERS, ERROR_CODES),
            (names.TRANSACTIONS, ("committed", "in_doubt")),
            (names.RESTORES, ("changelog", "memory")),
            (names.LEFT_OUT, ("metrics", "happenings")),
        ):
            self.counters[metric] = {(value,): 0.0 for value in values}
        self.histograms = {metric: Distribution(metric.buckets) for metric in names.OWN if metric.kind == "histogram"}
        self._stalls: dict[str, float] = {}  # of each worker, as last heard

    def hear(self, beat: Beat) -> None:
        """Add what a beat and its diaries tell."""
        self._tally(beat.tally)
        self._count(names.TRANSACTIONS, len(beat.commits_s), "committed")
        self._count(names.TRANSACTIONS, beat.doubts, "in_doubt")
        self._count(names.REBALANCES, beat.rebalances, beat.instance)
        self._count(names.LEFT_OUT, beat.metrics_left_out, "metrics")
        self._count(names.LEFT_OUT, beat.happened_left_out, "happenings")
        self.histograms[names.COMMIT].add(beat.commits_s)
        self.histograms[names.BATCH].add(beat.batches)
        self.histograms[names.END_TO_END].add(beat.latencies_s)
        for seconds, kept in beat.restores_s:
            self._count(names.RESTORES, 1, "memory" if kept else "changelog")
            if not kept:
                self.histograms[names.RESTORE_DURATION].add((seconds,))
        # All that the beat brings: a picture of very much shows only some.
        self.histograms[names.EXPLORATION_DURATION].add(
            [
                fields["steps_executed"]
                for kind, fields in beat.happened
                if kind == "creative_exploration_completed" and fields["actual_gain"] is not None
            ]
        )
        # A stall is heard of as it grows; what is less than before belongs to another one.
        before, self._stalls[beat.instance] = self._stalls.get(beat.instance, 0.0), beat.stalled_s
        grown_s = beat.stalled_s - before if beat.stalled_s >= before else beat.stalled_s
        self._count(names.STALLED, grown_s, beat.instance)

    def _tally(self, tally: Mapping[str, float]) -> None:
        for name, amount in tally.items():
            if (metric := PLAIN.get(name)) is not None:
                self._count(metric, amount)
                continue
            start, _, value = name.partition(".")
            if start == "gains":  # a sum that also falls is two that only grow
                self._count(names.GAIN_WON if amount > 0 else names.GAIN_LOST, abs(amount), value)
            for metric in LABELLED.get(start, ()):
                self._count(metric, amount, value)

    def _count(self, metric: Declared, amount: float, *labels: str) -> None:
        series = self.counters[metric]
        series[labels] = series.get(labels, 0.0) + amount
