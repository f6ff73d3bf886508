"""What waits for the next round: of everything the newest, of named sessions all that came.

Whatever comes, a feed holds a bounded amount; what does not fit is counted as left out.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from processor.surfaces.http.stream_push import (
    BATCH_METRICS,
    SINGLE_METRICS,
    Push,
    batch_text,
    fitting,
    happened_text,
    single_frames,
)
from processor.surfaces.http.subscription import Subscription
from processor.surfaces.watch.seen import Happening, SeenMetric

if TYPE_CHECKING:
    from processor.surfaces.http.stream_subscriber import Subscriber

MAX_HAPPENED: Final = 100  # in one round
MAX_WAITING: Final = 1_000  # metrics of one feed of named sessions
MAX_WAITING_BYTES: Final = 256 * 1024


class Sample:
    """The newest metrics of all sessions, one of each; shared by all who want everything."""

    def __init__(self) -> None:
        self._newest: deque[SeenMetric] = deque(maxlen=BATCH_METRICS)
        self._came = 0

    def hear(self, metrics: Sequence[SeenMetric]) -> None:
        """Keep the last ones."""
        self._newest.extend(metrics)
        self._came += len(metrics)

    def take(self) -> tuple[list[SeenMetric], int]:
        """The newest of each session, newest first, and how many came since the last call."""
        newest: dict[str, SeenMetric] = {}
        for seen in reversed(self._newest):
            newest.setdefault(seen.session_id, seen)
        came, self._came = self._came, 0
        self._newest.clear()
        return list(newest.values()), came


class Diary:
    """What happened, shared by all who want to know."""

    def __init__(self) -> None:
        self._happened: deque[Happening] = deque(maxlen=MAX_HAPPENED)
        self._came = 0

    def hear(self, happened: Sequence[Happening]) -> None:
        """Keep the last ones."""
        self._happened.extend(happened)
        self._came += len(happened)

    def take(self) -> tuple[bytes, int, int] | None:
        """As a `Push` wants it, oldest first; None where nothing happened since the last call."""
        count, came = len(self._happened), self._came
        if not came:
            return None
        text = happened_text(self._happened)
        self._happened.clear()
        self._came = 0
        return text, count, came - count


class Round:
    """What there is for everybody; encoded when the first one wants it."""

    def __init__(
        self, sample: tuple[list[SeenMetric], int], happened: tuple[bytes, int, int] | None, overview: bytes, now: bytes
    ) -> None:
        self.happened = happened
        self.overview = overview
        self.now = now
        self._metrics, self._came = sample
        self._batch: tuple[bytes, int, int] | None = None
        self._singles: dict[bool, list[bytes]] = {}

    @property
    def came(self) -> int:
        """Metrics since the round before."""
        return self._came

    def batch(self) -> tuple[bytes, int, int] | None:
        """None where no metric came."""
        if self._batch is None and self._metrics:
            count = fitting(self._metrics)
            self._batch = batch_text(self._metrics[:count], self.now), count, self._came - count
        return self._batch

    def singles(self, raw: bool) -> list[bytes]:
        """The newest few, in the order they came."""
        if raw not in self._singles:
            newest = reversed(self._metrics[:SINGLE_METRICS])
            self._singles[raw] = single_frames(newest, self.now, raw)
        return self._singles[raw]


class Feed:
    """Equal subscriptions: what waits for them, and whose they are (in the order they came)."""

    def __init__(self, subscription: Subscription) -> None:
        self.subscription = subscription
        self.subscribers: dict[Subscriber, None] = {}
        self._waiting: deque[SeenMetric] = deque()
        self._waiting_bytes = 0
        self._left_out = 0

    def hear(self, seen: SeenMetric) -> None:
        """A metric of a session that the subscription names."""
        self._waiting.append(seen)
        self._waiting_bytes += len(seen.json)
        while len(self._waiting) > MAX_WAITING or (self._waiting_bytes > MAX_WAITING_BYTES and len(self._waiting) > 1):
            self._waiting_bytes -= len(self._waiting.popleft().json)
            self._left_out += 1

    def push(self, now: Round) -> Push | None:
        """This round for its subscribers; None where there is nothing to say."""
        wants = self.subscription
        happened = now.happened if wants.happened else None
        overview = now.overview if wants.overview else b""
        if wants.sessions is None:
            if not now.came and happened is None and not overview:
                return None
            if wants.batch:
                return Push((), now.batch(), happened, overview)
            singles = now.singles(wants.raw)
            return Push(singles, None, happened, overview, now.came - len(singles))
        if not self._waiting and happened is None and not overview:
            return None
        left_out, self._left_out = self._left_out, 0
        if not wants.batch:
            return Push(
                single_frames(self._taken(len(self._waiting)), now.now, wants.raw), None, happened, overview, left_out
            )
        taken = list(self._taken(fitting(self._waiting)))
        batch = (batch_text(taken, now.now), len(taken), left_out) if taken else None
        return Push((), batch, happened, overview, left_out)

    def _taken(self, count: int) -> Iterator[SeenMetric]:
        for _ in range(count):
            seen = self._waiting.popleft()
            self._waiting_bytes -= len(seen.json)
            yield seen
