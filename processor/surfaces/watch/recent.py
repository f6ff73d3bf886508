"""Figures over the last moments, in bounded memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence

MAX_VALUES = 4_000


class Recent:
    """Durations of the last ``window_s`` seconds, the newest `MAX_VALUES` of them."""

    def __init__(self, window_s: float) -> None:
        self._window_s = window_s
        self._values: deque[tuple[float, float]] = deque(maxlen=MAX_VALUES)

    def add(self, now: float, seconds: Sequence[float]) -> None:
        """Values that were heard now."""
        self._values.extend((now, value) for value in seconds)

    def percentiles(self, now: float) -> tuple[float | None, float | None]:
        """The 50th and the 99th, in milliseconds; None without values."""
        values = self._values
        while values and now - values[0][0] > self._window_s:
            values.popleft()
        if not values:
            return None, None
        ordered = sorted(value for _, value in values)
        last = len(ordered) - 1
        return round(ordered[last // 2] * 1000, 2), round(ordered[int(last * 0.99)] * 1000, 2)


class Sampled:
    """Counts of the last ``window_s`` seconds."""

    def __init__(self, window_s: float) -> None:
        self._window_s = window_s
        self._counts: deque[tuple[float, Mapping[str, float]]] = deque()
        self._began: float | None = None

    def add(self, now: float, counts: Mapping[str, float]) -> None:
        """What was counted until now."""
        if self._began is None:
            self._began = now
        if counts:
            self._counts.append((now, counts))
        self._drop(now)

    def per_s(self, now: float, name: str) -> float:
        """The rate of one count."""
        self._drop(now)
        if self._began is None:
            return 0.0
        window_s = max(1.0, min(self._window_s, now - self._began))
        return round(sum(counts.get(name, 0) for _, counts in self._counts) / window_s, 2)

    def _drop(self, now: float) -> None:
        while self._counts and now - self._counts[0][0] > self._window_s:
            self._counts.popleft()
