"""How much may wait: for one client in frames as in bytes, and for all clients together."""

from __future__ import annotations

import asyncio
from typing import cast

from processor.surfaces.http import stream_patience
from processor.surfaces.http.stream_patience import MAX_QUEUED_BYTES, SWEEP_S, Patience
from processor.surfaces.http.stream_push import Push
from processor.surfaces.http.stream_subscriber import QUEUE_FRAMES, Subscriber
from processor.surfaces.stream_counts import StreamCounts


class Clogged(asyncio.WriteTransport):
    """A socket that takes nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting = 0
        self.aborted = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.waiting += len(data)

    def get_write_buffer_size(self) -> int:
        return self.waiting

    def is_closing(self) -> bool:
        return self.aborted

    def abort(self) -> None:
        self.aborted = True
        self.waiting = 0


def test_small_frames_are_bounded_by_their_number() -> None:
    counts = StreamCounts()
    socket = Clogged()
    subscriber = Subscriber(socket, counts, raw=False)
    push = Push(singles=[b"frame"])
    for _ in range(QUEUE_FRAMES + 50):
        subscriber.offer(push)
    assert counts.frames == QUEUE_FRAMES
    assert counts.left_out == 50
    socket.waiting = 0
    subscriber.offer(push)
    assert counts.frames == QUEUE_FRAMES + 1


def test_too_much_for_all_together_ends_those_who_lag_longest() -> None:
    counts = StreamCounts()
    patience = Patience(counts)
    share = MAX_QUEUED_BYTES // 4
    clogged = [Subscriber(Clogged(), counts, raw=False) for _ in range(6)]
    for subscriber in clogged:
        subscriber.offer(Push(singles=[bytes(share)]))
        patience.watch(subscriber)
    assert stream_patience.PATIENCE_S > SWEEP_S
    patience.sweep(SWEEP_S)  # long before anybody's time is up
    assert [cast(Clogged, subscriber._transport).aborted for subscriber in clogged] == [True] * 2 + [False] * 4
    assert (counts.slow_closed, patience.lagging) == (2, 4)
    assert sum(subscriber.queued_bytes for subscriber in clogged) <= MAX_QUEUED_BYTES
