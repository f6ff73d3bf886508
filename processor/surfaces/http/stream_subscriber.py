"""One client of the stream, as the fan-out sees it: a socket with a bounded queue, and what it owes.

The queue is the transport's own: a push goes to the socket at once, and what the socket does not take waits there.
Nothing waits for a client, so none costs a task or a timer.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from processor.surfaces.allowance import Allowance
from processor.surfaces.http.stream_frames import PING, close_frame
from processor.surfaces.http.stream_push import Push
from processor.surfaces.stream_counts import StreamCounts

if TYPE_CHECKING:
    from processor.surfaces.http.stream_feed import Feed

QUEUE_BYTES: Final = 128 * 1024  # left unsent; a push into an empty queue is taken whatever its size
QUEUE_FRAMES: Final = 256
MESSAGES_PER_S: Final = 20.0  # from a client, of any kind
MESSAGES_BURST: Final = 40.0


class Subscriber:
    """``heard_at`` and ``pinged_at`` are on the clock of `Patience`; ``raw`` is the connection's for good."""

    __slots__ = (
        "_counts",
        "_messages",
        "_missed_happened",
        "_missed_metrics",
        "_queued_frames",
        "_transport",
        "ended",
        "feed",
        "heard_at",
        "pinged_at",
        "raw",
        "written",
    )

    def __init__(self, transport: asyncio.WriteTransport, counts: StreamCounts, raw: bool) -> None:
        self._transport = transport
        self._counts = counts
        self.raw = raw
        self.feed: Feed | None = None
        self.heard_at = -1.0
        self.pinged_at = 0.0
        self.ended = False  # a close frame was written, or there is no connection any more
        self.written = 0  # bytes
        self._queued_frames = 0
        self._missed_metrics = 0
        self._missed_happened = 0
        self._messages = Allowance(MESSAGES_PER_S, MESSAGES_BURST, 0.0)

    @property
    def queued_bytes(self) -> int:
        """What the socket has not taken yet."""
        return self._transport.get_write_buffer_size()

    def offer(self, push: Push) -> int:
        """Write it, or leave it out where too much is waiting. Returns the bytes written."""
        if self.ended or self._transport.is_closing():
            return 0
        queued = self._transport.get_write_buffer_size()
        if queued:
            self._queued_frames += push.frames
            if self._queued_frames > QUEUE_FRAMES or queued + len(push.shared) > QUEUE_BYTES:
                self._miss(push)
                return 0
        else:
            self._queued_frames = push.frames
        if self._missed_metrics or self._missed_happened:
            frames = push.to_one_who_missed(self._missed_metrics, self._missed_happened)
            self._missed_metrics = self._missed_happened = 0
        else:
            frames = push.shared
        self._counts.left_out += push.left_out_metrics
        self._write(frames, push.frames)
        return len(frames)

    def reply(self, frame: bytes) -> None:
        """Answer a message of the client's, unless too much is waiting."""
        if not self.ended and not self._transport.is_closing() and self.queued_bytes + len(frame) <= QUEUE_BYTES:
            self._write(frame, 1)

    def ping(self, clock: float) -> None:
        """Ask whether anybody is there."""
        self.pinged_at = clock
        self.reply(PING)

    def may_send(self, now: float) -> bool:
        """Whether another message is within the limit; ``now`` in seconds of any one clock."""
        return self._messages.take(1, now) == 1

    def say_goodbye(self, code: int, reason: str) -> None:
        """Write the close frame; the connection stays for the client's."""
        if not self.ended and not self._transport.is_closing():
            self._write(close_frame(code, reason), 1)
        self.ended = True

    def end(self, code: int, reason: str) -> None:
        """Write the close frame and close the connection behind it, without waiting for the client's."""
        self.say_goodbye(code, reason)
        self._transport.close()

    def abort(self) -> None:
        """Give the connection up, with all that waits for it."""
        self.ended = True
        self._transport.abort()

    def _miss(self, push: Push) -> None:
        self._missed_metrics += push.metrics + push.left_out_metrics
        self._missed_happened += push.happenings + push.left_out_happened
        self._counts.left_out += push.metrics + push.left_out_metrics

    def _write(self, frames: bytes, count: int) -> None:
        self._transport.write(frames)
        self.written += len(frames)
        self._counts.frames += count
        self._counts.bytes += len(frames)
