"""The same words again and again: told once, then every few seconds with the number that was left out.

A client of an unreachable broker says so twenty times a second; the log is to be read by somebody who is looking
for the cause.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Final

INTERVAL_S: Final = 5.0
DISTINCT_LINES: Final = 10  # of one template within the interval: partitions and nodes are told apart up to here
REMEMBERED: Final = 1_000

Name = tuple[str, int, str]


class _Quiet:
    """Until when, and how many were left out."""

    __slots__ = ("left_out", "lines", "until")

    def __init__(self, until: float) -> None:
        self.until = until
        self.lines = 0
        self.left_out = 0


class Throttle(logging.Filter):
    """Lets the first record of each message pass, then one per interval, which gets ``record.left_out``.

    A message is what is written, with its values; those with one template (`record.msg`) share a limit of
    `DISTINCT_LINES` per interval. Not touched: debugging records, asked for to see all of them, and what structlog
    writes below a warning, the record of what happened, bounded by who writes it.
    """

    def __init__(self, interval_s: float = INTERVAL_S, *, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._interval_s = interval_s
        self._clock = clock
        self._messages: dict[Name, _Quiet] = {}
        self._templates: dict[Name, _Quiet] = {}
        self._lock = threading.Lock()  # the exporter and the HTTP server log from threads of their own

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to write the record."""
        if isinstance(record.msg, dict):  # of structlog
            if record.levelno < logging.WARNING:
                return True
            template = message = str(record.msg.get("event"))
        else:
            if record.levelno < logging.INFO:
                return True
            template, message = str(record.msg), _message(record)
        with self._lock:
            left_out = self._judge(record.name, record.levelno, template, message)
        if left_out:
            record.left_out = left_out
        return left_out is not None

    def _judge(self, name: str, level: int, template: str, message: str) -> int | None:
        """How many were left out before this one; None where it is itself."""
        now = self._clock()
        told = self._messages.get((name, level, message))
        if told is not None and now < told.until:
            told.left_out += 1
            return None
        family = self._templates.get((name, level, template))
        if family is None:
            family = self._remember(self._templates, (name, level, template), now)
        elif now >= family.until:
            family.until, family.lines = now + self._interval_s, 0
        if family.lines >= DISTINCT_LINES:
            family.left_out += 1
            return None
        left_out = family.left_out
        if told is not None:
            left_out += told.left_out
            del self._messages[name, level, message]
        self._remember(self._messages, (name, level, message), now)
        family.lines += 1
        family.left_out = 0
        return left_out

    def _remember(self, known: dict[Name, _Quiet], name: Name, now: float) -> _Quiet:
        while len(known) >= REMEMBERED:
            del known[next(iter(known))]  # the one that was told the longest ago
        quiet = known[name] = _Quiet(now + self._interval_s)
        return quiet


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # arguments that do not fit: the handler will tell
        return str(record.msg)
