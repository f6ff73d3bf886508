"""Who is slow, and who is gone: looked at twice a second, without a timer or a task per client.

- Whoever connects is asked for a sign of life at once: a client that never reads never answers.
- Later everybody is asked again after `PING_S` of silence, but no more than `PINGS_PER_S` in all: a ping and its answer
  cost some 40 µs, and the processor's thread shares this one's interpreter lock.
- Where a socket does not take what was pushed, what waited then must be gone `PATIENCE_S` later.

Slow clients are closed with 1013, those whose socket takes nothing without it.  Time is this window's own: while the
event loop stands still no client's time runs out.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from itertools import islice
from typing import Final

from processor.surfaces.http.stream_frames import CloseCode
from processor.surfaces.http.stream_subscriber import Subscriber
from processor.surfaces.stream_counts import StreamCounts

SWEEP_S: Final = 0.5
PATIENCE_S: Final = 8.0  # with two sweeps, and a round of pushing between them, below 10
PING_S: Final = 20.0
PINGS_PER_S: Final = 50
PARTING_S: Final = 1.0  # for a closing connection to get its last frame out
MAX_QUEUED_BYTES: Final = 64 * 1024 * 1024  # by all clients together

_SLOW: Final = "too slow: what was sent was not read"
_SILENT: Final = "no answer to a ping"


class Patience:
    """All clients' deadlines; ``clock`` counts seconds of sweeps."""

    def __init__(self, counts: StreamCounts) -> None:
        self.clock = 0.0
        self._counts = counts
        self._resting: OrderedDict[Subscriber, float] = OrderedDict()  # by the time of their next ping
        self._asked: OrderedDict[Subscriber, float] = OrderedDict()  # by the time their answer is due
        self._parting: OrderedDict[Subscriber, float] = OrderedDict()  # by the time they are given up
        self._lagging: dict[Subscriber, tuple[float, int]] = {}  # until when, what must be taken

    @property
    def clients(self) -> int:
        """Whoever is looked after."""
        return len(self._resting) + len(self._asked)

    @property
    def lagging(self) -> int:
        """Clients whose socket does not take more."""
        return len(self._lagging)

    def welcome(self, subscriber: Subscriber) -> None:
        """A new client: is anybody there?"""
        self._ask(subscriber)

    def watch(self, subscriber: Subscriber) -> None:
        """Something was written to this client and is not taken yet."""
        if subscriber not in self._lagging:
            self._lagging[subscriber] = (self.clock + PATIENCE_S, subscriber.written)

    def part(self, subscriber: Subscriber, code: CloseCode, reason: str) -> None:
        """Close this connection; when even the close frame is not taken it is given up."""
        subscriber.end(code, reason)
        self._parting[subscriber] = self.clock + PARTING_S

    def forget(self, subscriber: Subscriber) -> None:
        """The connection is gone, or closing: what is still to be sent then has its time as before."""
        for of in (self._resting, self._asked, self._lagging):
            of.pop(subscriber, None)

    def sweep(self, elapsed_s: float) -> None:
        """Look at everybody whose time is up; ``elapsed_s`` is the time since the last sweep."""
        # A sweep that comes late is this process's fault: answers may be there, unread.
        self.clock += min(elapsed_s, 2 * SWEEP_S)
        self._sweep_silent()
        self._sweep_lagging()
        for subscriber in _due(self._parting, self.clock):
            subscriber.abort()

    def _sweep_silent(self) -> None:
        for subscriber in _due(self._asked, self.clock):
            if subscriber.heard_at >= subscriber.pinged_at:
                self._resting[subscriber] = self.clock + PING_S - PATIENCE_S
            elif not subscriber.ended:
                self._counts.slow_closed += 1
                self.part(subscriber, CloseCode.TRY_AGAIN_LATER, _SILENT)
        for subscriber in islice(_due(self._resting, self.clock), int(PINGS_PER_S * SWEEP_S)):
            self._ask(subscriber)

    def _ask(self, subscriber: Subscriber) -> None:
        subscriber.ping(self.clock)
        self._asked[subscriber] = self.clock + PATIENCE_S

    def _sweep_lagging(self) -> None:
        queued = 0
        for subscriber, (deadline, owed) in list(self._lagging.items()):
            waiting = subscriber.queued_bytes
            if subscriber.ended or not waiting:
                del self._lagging[subscriber]
            elif subscriber.written - waiting >= owed:  # slow, but it reads
                self._lagging[subscriber] = (self.clock + PATIENCE_S, subscriber.written)
                queued += waiting
            elif deadline <= self.clock:
                self._give_up(subscriber)
            else:
                queued += waiting
        while queued > MAX_QUEUED_BYTES:
            longest = next(iter(self._lagging))
            queued -= longest.queued_bytes
            self._give_up(longest)

    def _give_up(self, subscriber: Subscriber) -> None:
        del self._lagging[subscriber]
        self._counts.slow_closed += 1
        subscriber.abort()


def _due(waiting: OrderedDict[Subscriber, float], clock: float) -> Iterator[Subscriber]:
    """Take out, one after the other, those whose time has come; the earliest is the first."""
    while waiting and waiting[first := next(iter(waiting))] <= clock:
        del waiting[first]
        yield first
