"""What can happen to a request between a process and the broker."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from random import Random
from typing import NamedTuple


class Fate(Enum):
    """Of one request."""

    ANSWERED = "answered"
    LOST = "lost"  # never arrives
    UNANSWERED = "unanswered"  # takes effect, the reply is lost
    LATE = "late"  # takes effect after its sender has given up
    TWICE = "twice"  # takes effect and is answered, and a copy arrives later


class Journey(NamedTuple):
    """Seconds until the request arrives, until its reply does after that, and until its sender gives up.

    ``copy_s``: until a copy arrives.
    """

    fate: Fate
    out_s: float
    back_s: float
    patience_s: float = 0.0
    copy_s: float = 0.0


# The client library joins; how it mends a lost join is not what is tried here.
_UNTROUBLED = frozenset({"join", "leave"})
# A copy comes of a client that repeats: ours never repeats these two, and TCP copies nothing.
_NEVER_REPEATED = frozenset({"commit_offsets", "end"})
_TROUBLES = (Fate.LOST, Fate.UNANSWERED, Fate.LATE, Fate.TWICE)

Script = Callable[[str, str], Fate | None]


class Weather:
    """Draws journeys. ``trouble`` is the share of requests that do not go well; a script decides first."""

    def __init__(self, random: Random, *, request_timeout_s: float = 0.2) -> None:
        self.random = random
        self.request_timeout_s = request_timeout_s
        self.latency_s = 0.002
        self.trouble = 0.0
        self.slow: dict[str, float] = {}  # kind of request to the seconds it takes longer
        self.noticed = 0.5  # share of the troubles that the sender notices at once: its connection broke
        self.script: Script | None = None
        self.counts: dict[tuple[str, Fate], int] = {}

    def journey(self, process: str, kind: str) -> Journey:
        """For one request of that kind."""
        random = self.random.random
        fate = self.script(process, kind) if self.script is not None else None
        if fate is None and self.trouble and kind not in _UNTROUBLED and random() < self.trouble:
            fate = _TROUBLES[int(random() * (3 if kind in _NEVER_REPEATED else 4))]
        out_s, back_s = random() * self.latency_s, random() * self.latency_s
        if self.slow and kind in self.slow:
            out_s += self.slow[kind]
        if fate is None or fate is Fate.ANSWERED:
            return Journey(Fate.ANSWERED, out_s, back_s)
        self.counts[kind, fate] = self.counts.get((kind, fate), 0) + 1
        if fate is Fate.TWICE:
            return Journey(fate, out_s, back_s, copy_s=out_s + random() * (0.1 if random() < 0.6 else 1.5))
        patience_s = out_s + back_s if random() < self.noticed else self.request_timeout_s
        if fate is Fate.LATE:
            # Most late requests meet the next transaction, some a later epoch.
            out_s = patience_s + random() * (0.05 if random() < 0.6 else 1.5)
        return Journey(fate, out_s, back_s, patience_s)
