"""What happened to single sessions, told to the log after the commit and never faster than somebody can read."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Final

import structlog

from processor.engine.observer import Committed, Observer
from processor.surfaces.allowance import Allowance

LEFT_OUT_EVENT: Final = "creative_events_left_out"
INTERVAL_S: Final = 1.0

_log = structlog.stdlib.get_logger("creative_feedback")


class Chronicle(Observer):
    """Logs the folds' diaries, up to so many lines a second; how many were left out is told in one line a second.

    The lines: ``creative_mode_transition``, ``creative_exploration_started``, ``creative_exploration_completed`` and,
    with ``loop.debug``, ``creative_injection_debug``; their fields are the diary's, and the ``partition``.
    """

    def __init__(self, lines_per_s: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._told_at = clock()
        self._lines = Allowance(lines_per_s, lines_per_s, self._told_at)
        self._turn = 0
        self._left_out: Counter[str] = Counter()

    def committed(self, report: Committed) -> None:
        now = self._clock()
        diaries = list(report.diaries.items())
        first = self._turn % max(1, len(diaries))
        self._turn += 1
        for partition, diary in diaries[first:] + diaries[:first]:  # what room there is, to each in turn
            told = self._lines.take(len(diary), now)
            for event, fields in diary[:told]:
                _log.info(event, **fields, partition=partition)
            self._left_out.update([event for event, _ in diary[told:]])
        self._tell_left_out(now)

    def standing(self, ages: Mapping[int, float], lags: Mapping[int, int]) -> None:
        # Heard about twice a second, commits or not: what the last one left out is told even if none follows.
        self._tell_left_out(self._clock())

    def close(self) -> None:
        """Tell what is left to tell."""
        self._tell_left_out(float("inf"))

    def _tell_left_out(self, now: float) -> None:
        if self._left_out and now - self._told_at >= INTERVAL_S:
            _log.info(LEFT_OUT_EVENT, count=self._left_out.total(), kinds=dict(sorted(self._left_out.items())))
            self._left_out.clear()
            self._told_at = now
