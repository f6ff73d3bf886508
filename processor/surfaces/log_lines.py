"""Lines to a stream that nobody may be reading: a full pipe or a stopped terminal loses lines, and holds nothing up.

The processor logs from its event loop. A write that blocks there would stop heartbeats and commits for as long as
somebody looks at a pager.
"""

from __future__ import annotations

import json
import logging
import os
import select
import sys
from contextlib import suppress
from time import monotonic
from typing import Final, TextIO

# A pipe that is said to be ready takes so much at once, and keeps it apart from what other workers write into it.
PIECE_BYTES: Final = getattr(select, "PIPE_BUF", 512)
WAITING_BYTES: Final = 64 * 1024
FLUSH_S: Final = 1.0

LOST_EVENT: Final = "log_lines_lost"
FAILED_EVENT: Final = "log_line_failed"


class Lines(logging.StreamHandler[TextIO]):
    """Writes what the stream takes now; keeps a little of the rest, and tells how many lines were lost.

    Streams without a file descriptor are written to as they are. A record that cannot be rendered is named, without
    what it holds.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._descriptor = _descriptor(stream)
        self._encoding = getattr(stream, "encoding", None) or "utf-8"
        self._waiting = bytearray()
        self._lost = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record, or lose it."""
        try:
            line = self.format(record) + self.terminator
        except Exception as error:
            fields = {"level": "error", "event": FAILED_EVENT, "logger": record.name, "error": type(error).__name__}
            line = json.dumps(fields) + self.terminator
        with suppress(OSError, ValueError):  # nobody reads any more
            if self._descriptor is None:
                self.stream.write(line)
                self.stream.flush()
            else:
                if self._waiting:
                    self._write(0.0)  # makes room
                self._take(line.encode(self._encoding, "backslashreplace"))
                self._write(0.0)

    def flush(self) -> None:
        """Write what waits, for at most `FLUSH_S`."""
        with suppress(OSError, ValueError):
            if self._descriptor is None:
                self.stream.flush()
            elif self._waiting:
                self._write(FLUSH_S)

    def _take(self, line: bytes) -> None:
        if len(self._waiting) + len(line) > WAITING_BYTES:
            self._lost += 1
            return
        if self._lost:
            told = logging.LogRecord(__name__, logging.WARNING, "", 0, f"{LOST_EVENT}: {self._lost}", (), None)
            self._waiting += (self.format(told) + self.terminator).encode(self._encoding, "backslashreplace")
            self._lost = 0
        self._waiting += line

    def _write(self, patience_s: float) -> None:
        assert self._descriptor is not None
        self.stream.flush()  # what others have printed there comes first
        ready = select.poll()
        ready.register(self._descriptor, select.POLLOUT)
        until = monotonic() + patience_s
        while self._waiting and ready.poll(max(0.0, until - monotonic()) * 1000):
            try:
                piece = self._waiting[:PIECE_BYTES]
                lines = piece.rfind(b"\n") + 1
                del self._waiting[: os.write(self._descriptor, piece[: lines or len(piece)])]
            except OSError:
                self._waiting.clear()
                raise


def _descriptor(stream: TextIO) -> int | None:
    if sys.platform == "win32":
        return None
    try:
        return stream.fileno()
    except (OSError, AttributeError, ValueError):  # a stream in memory
        return None
