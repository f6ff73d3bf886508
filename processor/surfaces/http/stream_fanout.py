"""Pushes rounds to all subscribers, for a small and bounded share of one core.

Equal subscriptions make one feed, whose push is encoded once.  A round goes through the feeds in slices of at most two
milliseconds, and the time to the next one grows with what it cost, so that pushing takes `SHARE` of this process's CPU
time however many clients there are: this thread holds the interpreter lock that the processor's thread needs.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Final

from processor.surfaces.http.stream_feed import Diary, Feed, Round, Sample
from processor.surfaces.http.stream_patience import Patience
from processor.surfaces.http.stream_push import overview_frame
from processor.surfaces.http.stream_subscriber import Subscriber
from processor.surfaces.http.subscription import Subscription
from processor.surfaces.stream_counts import StreamCounts
from processor.surfaces.watch.beat import Beat
from processor.surfaces.watch.seen import Happening, SeenMetric, rfc3339
from schemas.codec import encode_json

ROUND_S: Final = 0.25
SHARE: Final = 0.025  # with the lock handed to and fro for it, beats and pings, that stays below 4 %
PATIENT_SHARES: Final = 3.0  # an idle processor takes little CPU time, and needs none of ours
OVERVIEW_S: Final = 1.0
SLICE_SUBSCRIBERS: Final = 100  # to write to one costs some 15 µs
SLICE_BYTES: Final = 1024 * 1024
PAUSE_S: Final = 0.002  # between two slices the lock is the processor's

_log = logging.getLogger(__name__)


class Fanout:
    """All feeds; hears the picture's beats. ``overview`` gives its JSON text."""

    def __init__(self, overview: Callable[[], bytes], counts: StreamCounts, patience: Patience) -> None:
        self._overview = overview
        self._counts = counts
        self._patience = patience
        self._feeds: dict[Subscription, Feed] = {}
        self._naming: dict[str, dict[Feed, None]] = {}  # session: the feeds that name it
        self._sample = Sample()
        self._diary = Diary()
        self._overview_at = 0.0

    @property
    def feeds(self) -> int:
        """How many different subscriptions there are."""
        return len(self._feeds)

    # What comes in ------------------------------------------------------------------------------------------------

    def heard(self, beat: Beat, metrics: Sequence[SeenMetric], happened: Sequence[Happening]) -> None:
        """A beat (`processor.surfaces.watch.picture.Listener`)."""
        if not self._feeds:
            return
        self._sample.hear(metrics)
        self._diary.hear(happened)
        if self._naming:
            for seen in metrics:
                for feed in self._naming.get(seen.session_id, ()):
                    feed.hear(seen)

    @property
    def named(self) -> Collection[str]:
        """The sessions that somebody subscribed to by name, as they come and go."""
        return self._naming

    def subscribe(self, subscriber: Subscriber, subscription: Subscription | None) -> None:
        """From now on the client gets this, or nothing, instead of what it got so far."""
        if (left := subscriber.feed) is not None:
            del left.subscribers[subscriber]
            if not left.subscribers:
                self._end_feed(left)
        subscriber.feed = None
        if subscription is not None:
            feed = self._feeds.get(subscription) or self._begin_feed(subscription)
            feed.subscribers[subscriber] = None
            subscriber.feed = feed

    def _begin_feed(self, subscription: Subscription) -> Feed:
        feed = self._feeds[subscription] = Feed(subscription)
        for session in subscription.sessions or ():
            self._naming.setdefault(session, {})[feed] = None
        return feed

    def _end_feed(self, feed: Feed) -> None:
        del self._feeds[feed.subscription]
        for session in feed.subscription.sessions or ():
            naming = self._naming[session]
            del naming[feed]
            if not naming:
                del self._naming[session]

    # What goes out ------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Round after round, until cancelled."""
        while True:
            began, began_cpu = time.monotonic(), time.thread_time()
            try:
                await self.round()
            except Exception:  # a defect, which would otherwise leave all clients without a word, and nobody told
                _log.exception("a round of the stream failed")
            share_s = (time.thread_time() - began_cpu) / SHARE
            # In CPU time of this process, so that on a busy machine, where it gets little, the share is the same.
            until_cpu, until = time.process_time() + share_s, time.monotonic() + PATIENT_SHARES * share_s
            await asyncio.sleep(max(0.0, began + ROUND_S - time.monotonic()))
            while time.process_time() < until_cpu and time.monotonic() < until:  # noqa: ASYNC110  # CPU time wakes nobody
                await asyncio.sleep(ROUND_S)
            self._counts.round_s = time.monotonic() - began

    async def round(self) -> None:
        """What came since the last round, to everybody."""
        now = time.monotonic()
        overview = b""
        if now - self._overview_at >= OVERVIEW_S and any(feed.subscription.overview for feed in self._feeds.values()):
            self._overview_at = now
            overview = overview_frame(self._overview())
        this = Round(self._sample.take(), self._diary.take(), overview, encode_json(rfc3339(time.time())))
        written: list[Subscriber] = []
        size = 0
        for subscriber, count in self._offers(this):
            size += count
            written.append(subscriber)
            if len(written) >= SLICE_SUBSCRIBERS or size >= SLICE_BYTES:
                await asyncio.sleep(PAUSE_S)
                self._look_after(written)
                written.clear()
                size = 0
        if written:
            await asyncio.sleep(PAUSE_S)
            self._look_after(written)

    def _offers(self, this: Round) -> Iterator[tuple[Subscriber, int]]:
        for feed in list(self._feeds.values()):
            push = feed.push(this)
            if push is not None:
                for subscriber in list(feed.subscribers):
                    yield subscriber, subscriber.offer(push)

    def _look_after(self, subscribers: Sequence[Subscriber]) -> None:
        """The event loop has turned: what a socket took is out of its queue."""
        for subscriber in subscribers:
            if not subscriber.ended and subscriber.queued_bytes:
                self._patience.watch(subscriber)
