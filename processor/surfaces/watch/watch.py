"""Gathers a worker's beat: the engine's words go in, in its event loop; a beat comes out, on any thread.

Per commit this costs a few dictionary updates under a lock that is never held for long.  What nobody takes in time is
thinned out, so that memory stays bounded; counts are never lost.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from processor.engine.observer import Committed, Observer
from processor.engine.ports import Fold
from processor.surfaces.watch.beat import Beat, PartitionBeat, Phase

UNSEEN_S = 3.0  # the engine looks at its partitions twice a second, whatever else it does
TURN_S = 0.1  # the event loop says so often that it turns
STALL_S = 1.0  # not having turned for so long is worth a line of code
SLOW_COMMIT_S = 2.0  # not having been answered for so long puts a transaction in doubt before its time-out does
WAITING_S = 5.0  # a restore that stands still says so about every second; one that is silent reads on
SLOW_START_S = 5.0  # to get a transactional producer usually takes milliseconds
MAX_METRICS = 2_000  # in one beat
MAX_HAPPENED = 2_000
MAX_DURATIONS = 1_000


@dataclass
class Seen:
    """One assigned partition; times are monotonic seconds."""

    beat: PartitionBeat
    since: float
    last_ms: int = -1
    waited_at: float = float("-inf")  # when its restore was last told to stand still


@dataclass
class Moment:
    """What there was since the last beat."""

    tally: dict[str, float] = field(default_factory=dict)
    commits_s: list[float] = field(default_factory=list)
    batches: list[int] = field(default_factory=list)
    latencies_s: list[float] = field(default_factory=list)
    restores_s: list[tuple[float, bool]] = field(default_factory=list)
    doubts: int = 0
    rebalances: int = 0
    happened: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    metrics: list[bytes] = field(default_factory=list)
    metrics_left_out: int = 0
    happened_left_out: int = 0

    def thin(self) -> None:
        """Every other metric goes where there are too many: what is left is spread over all that there was."""
        metrics, happened = self.metrics, self.happened
        while len(metrics) > MAX_METRICS:
            before = len(metrics)
            del metrics[::2]
            self.metrics_left_out += before - len(metrics)
        if len(happened) > MAX_HAPPENED:
            self.happened_left_out += len(happened) - MAX_HAPPENED
            del happened[:-MAX_HAPPENED]
        del self.commits_s[:-MAX_DURATIONS]
        del self.batches[:-MAX_DURATIONS]
        del self.latencies_s[:-MAX_DURATIONS]


class Watch(Observer):
    """One worker as it is seen. Created in the thread whose event loop runs the engine."""

    wants_metrics = True

    def __init__(self, instance: str) -> None:
        self.instance = instance
        self.folds: dict[int, Fold] = {}
        self._lock = threading.Lock()
        self._began = time.time()
        self._sequence = 0
        self._phase: Phase = "starting"
        self._generation = -1
        self._partitions: dict[int, Seen] = {}
        self._moment = Moment()
        self._epoch_opened = False
        self._doubt: str | None = None
        self._doubt_since = time.monotonic()
        self._committing_since: float | None = None
        self._unassigned_since: float | None = time.monotonic()
        self._looked = time.monotonic()
        self._error: str | None = None
        self._thread_id = threading.get_ident()
        self._turned = time.monotonic()
        self._moved = asyncio.Event()

    # In the event loop of the engine ----------------------------------------------------------------------------

    async def turn(self) -> None:
        """Say again and again that the event loop turns; until cancelled."""
        while True:
            self._turned = time.monotonic()
            await asyncio.sleep(TURN_S)

    def made(self, partition: int, fold: Fold) -> Fold:
        """A fold for a partition: it has nothing yet, so the partition is about to be restored. Returns the fold."""
        self.folds[partition] = fold
        with self._lock:
            if (seen := self._partitions.get(partition)) is not None:
                self._enter(seen, "restoring")
        return fold

    def stopping(self) -> None:
        """The engine was told to stop."""
        self._phase = "stopping"

    def ended(self, error: str | None) -> None:
        """The engine has ended, with this error."""
        self._phase, self._error = "ended", error

    def committing(self) -> None:
        self._committing_since = time.monotonic()

    def committed(self, report: Committed) -> None:
        now = time.time()
        with self._lock:
            self._committing_since = None
            moment = self._moment
            moment.commits_s.append(report.seconds)
            moment.batches.append(report.records)
            for tally in report.tallies.values():
                add(moment.tally, tally)
                moment.happened_left_out += int(tally.get("diary_left_out", 0))
            for partition, (first_ms, last_ms) in report.times_ms.items():
                if first_ms >= 0:
                    moment.latencies_s.append(max(0.0, now - first_ms / 1000))
                if (seen := self._partitions.get(partition)) is not None:
                    seen.last_ms = last_ms
            for partition, position in report.positions.items():
                if (seen := self._partitions.get(partition)) is not None:
                    seen.beat.position = position
                    seen.beat.figures = dict(report.figures.get(partition, ()))
            for diary in report.diaries.values():
                moment.happened.extend(diary)
            for metrics in report.metrics.values():
                moment.metrics.extend(metrics)
            moment.thin()
            self._doubt = None
            if self._phase == "recovering":
                self._phase = "working"
        self._tell_moved()

    def epoch_opened(self) -> None:
        self._epoch_opened = True

    def doubted(self, cause: str) -> None:
        with self._lock:
            self._epoch_opened = False
            self._moment.doubts += 1
            if self._doubt is None:
                self._doubt_since = self._committing_since or time.monotonic()
            self._doubt, self._committing_since = cause, None
            if self._phase == "working":
                self._phase = "recovering"

    def settled(self) -> None:
        with self._lock:
            self._settled()

    def assigned(self, partitions: frozenset[int], generation: int) -> None:
        now = time.monotonic()
        # All the sessions of a partition are in its fold: where it moved away, they have to go.
        self.folds = {partition: fold for partition, fold in self.folds.items() if partition in partitions}
        with self._lock:
            self._moment.rebalances += 1
            self._generation = generation
            self._unassigned_since, self._looked = None, now
            self._partitions = {p: Seen(PartitionBeat("assigned"), now) for p in sorted(partitions)}
            self._settled()
            if self._phase == "starting":
                self._phase = "working"

    def revoked(self, partitions: frozenset[int]) -> None:
        with self._lock:
            self._partitions = {p: seen for p, seen in self._partitions.items() if p not in partitions}
            self._unassigned_since = time.monotonic()
            self._settled()
        self._tell_moved()

    def restore_began(self, partition: int) -> None:
        with self._lock:
            if (seen := self._partitions.get(partition)) is not None:
                self._enter(seen, "restoring")
                seen.beat.waiting = None
                seen.beat.standing_s = 0.0

    def restoring(self, partition: int, position: int, barrier: int) -> None:
        with self._lock:
            if (seen := self._partitions.get(partition)) is not None:
                self._enter(seen, "restoring")
                seen.beat.waiting = (position, barrier)
                seen.waited_at = time.monotonic()

    def running(self, partition: int, position: int, kept: bool, seconds: float, figures: Mapping[str, float]) -> None:
        with self._lock:
            self._moment.restores_s.append((seconds, kept))
            if (seen := self._partitions.get(partition)) is not None:
                self._enter(seen, "running")
                seen.beat.position = position
                seen.beat.waiting = None
                seen.beat.figures = dict(figures)
        self._tell_moved()

    def standing(self, ages: Mapping[int, float], lags: Mapping[int, int]) -> None:
        with self._lock:
            self._looked = time.monotonic()
            for partition, seen in self._partitions.items():
                seen.beat.standing_s = ages.get(partition, 0.0)
                seen.beat.lag = lags.get(partition, seen.beat.lag)

    def halted(self, partition: int, cause: str) -> None:
        with self._lock:
            if (seen := self._partitions.get(partition)) is not None:
                if seen.beat.phase != "running":
                    seen.beat.position = -1  # its restore failed: where it would go on, nobody knows
                self._enter(seen, "halted")
                seen.beat.cause = cause
                seen.beat.waiting = None
                seen.beat.standing_s = 0.0
            self._settled()
        self._tell_moved()

    async def past(self, partition: int, offset: int, timeout_s: float) -> bool:
        """Wait until the record at this offset is committed; false where its partition goes away or time is up."""
        deadline = time.monotonic() + timeout_s
        while (seen := self._partitions.get(partition)) is not None:
            if seen.beat.position > offset:
                return True
            if seen.beat.phase == "halted":
                return False
            self._moved.clear()
            try:
                async with asyncio.timeout(deadline - time.monotonic()):
                    await self._moved.wait()
            except TimeoutError:
                return False
        return False

    def _settled(self) -> None:
        """What was in doubt is somebody else's now, or nobody's; without a producer everything is."""
        if not self._epoch_opened:
            return
        self._doubt = None
        if self._phase == "recovering":
            self._phase = "working"

    def _enter(self, seen: Seen, phase: Any) -> None:
        if seen.beat.phase != phase:
            seen.beat.phase = phase
            seen.since = time.monotonic()

    def _tell_moved(self) -> None:
        self._moved.set()

    # On any thread ----------------------------------------------------------------------------------------------

    def partition(self, partition: int) -> PartitionBeat | None:
        """The assigned partition as it is now."""
        seen = self._partitions.get(partition)
        return None if seen is None else seen.beat

    def take(self) -> Beat:
        """Everything since the last call, and how things stand."""
        now, wall = time.monotonic(), time.time()
        stalled_s = max(0.0, now - self._turned - TURN_S)
        stalled = stalled_s >= STALL_S
        where = line_of(sys._current_frames().get(self._thread_id)) if stalled else None
        with self._lock:
            moment, self._moment = self._moment, Moment()
            doubt, doubt_s = self._doubt, now - self._doubt_since
            committing_s = 0.0 if self._committing_since is None else now - self._committing_since
            if doubt is None and committing_s > SLOW_COMMIT_S:
                doubt, doubt_s = "a transaction is not answered", committing_s
            if not self._epoch_opened and self._phase == "starting" and wall - self._began > SLOW_START_S:
                doubt, doubt_s = "no transactional producer yet", wall - self._began
            sequence, self._sequence = self._sequence, self._sequence + 1
            # An engine that waits without saying why does not move its partitions either.
            unseen_s = now - self._looked if doubt is None and not stalled else 0.0
            partitions = {p: _partition_beat(seen, now, wall, unseen_s) for p, seen in self._partitions.items()}
            unassigned_s = 0.0 if self._unassigned_since is None else now - self._unassigned_since
            return Beat(
                self.instance,
                sequence,
                wall,
                self._began,
                self._phase,
                self._generation,
                stalled_s if stalled else 0.0,
                where,
                doubt,
                doubt_s if doubt is not None else 0.0,
                unassigned_s,
                self._error,
                partitions,
                moment.tally,
                moment.commits_s,
                moment.batches,
                moment.latencies_s,
                moment.restores_s,
                moment.doubts,
                moment.rebalances,
                moment.happened,
                moment.metrics,
                moment.metrics_left_out,
                moment.happened_left_out,
            )


def add(sums: dict[str, float], more: Mapping[str, float]) -> None:
    """Add one tally to another."""
    for name, amount in more.items():
        sums[name] = sums.get(name, 0) + amount


def _partition_beat(seen: Seen, now: float, wall: float, unseen_s: float) -> PartitionBeat:
    beat = seen.beat
    standing_s = max(beat.standing_s, unseen_s) if beat.phase == "running" and unseen_s > UNSEEN_S else beat.standing_s
    lag_s = max(0.0, wall - seen.last_ms / 1000) if beat.lag and seen.last_ms >= 0 else 0.0
    return PartitionBeat(
        beat.phase,
        beat.position,
        beat.lag,
        lag_s,
        standing_s,
        now - seen.since,
        beat.waiting if now - seen.waited_at < WAITING_S else None,
        beat.cause,
        dict(beat.figures),
    )


def line_of(frame: FrameType | None) -> str | None:
    """The innermost line of Python that a thread is at; where that is in a library, also whom we called."""
    if frame is None:
        return None
    called = frame
    while called.f_back is not None and not _is_ours(called.f_back):
        called = called.f_back
    inside = called is not frame and called.f_back is not None and not _is_ours(frame)
    if inside and not _module(called).startswith("asyncio"):
        return f"{_place(frame)}, called by {_place(called)}"
    return _place(frame)


def _place(frame: FrameType) -> str:
    return f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno} in {frame.f_code.co_name}"


def _is_ours(frame: FrameType) -> bool:
    return _module(frame).partition(".")[0] == "processor"


def _module(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", ""))
