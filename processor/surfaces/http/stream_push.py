"""What one round has to say, encoded once for all who get the same.

Sizes: a batch holds at most `BATCH_METRICS` metrics and, but for its first one, `BATCH_BYTES`; one that does not batch
gets `SINGLE_METRICS` frames in a round.  With a round every 250 ms these are the protocol's 4 batches, 1,000 metrics
and 20 single metrics a second.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Final

from msgspec import UNSET

from processor.surfaces.http.stream_frames import text_frame
from processor.surfaces.watch.seen import Happening, SeenMetric
from schemas.codec import encode_json

BATCH_METRICS: Final = 250
BATCH_BYTES: Final = 128 * 1024
SINGLE_METRICS: Final = 5


class Push:
    """One round for the subscribers of one feed.

    ``frames`` of it are said as they are to all who got everything before; who did not is told in his next batch how
    much that was, so that the counts of what was left out add up for each client.
    """

    def __init__(
        self,
        singles: Sequence[bytes] = (),
        batch: tuple[bytes, int, int] | None = None,
        happened: tuple[bytes, int, int] | None = None,
        overview: bytes = b"",
        left_out: int = 0,
    ) -> None:
        """``batch`` and ``happened``: the open text, how many are in it, how many were left out before it.

        ``singles`` and ``overview`` are whole frames; ``left_out`` counts metrics beside the singles.
        """
        self._singles = b"".join(singles)
        self._batch = batch
        self._happened = happened
        self._overview = overview
        self.left_out_metrics = left_out if batch is None else batch[2]
        self.left_out_happened = 0 if happened is None else happened[2]
        self.metrics = len(singles) if batch is None else batch[1]
        self.happenings = 0 if happened is None else happened[1]
        self.frames = len(singles) + (batch is not None) + (happened is not None) + (overview != b"")
        self.shared = self.to_one_who_missed(0, 0)

    def to_one_who_missed(self, metrics: int, happenings: int) -> bytes:
        """The frames for a client that so much was left out for since its last push."""
        parts = [self._singles]
        if self._batch is not None:
            text, _, left_out = self._batch
            parts.append(text_frame(b"%b%d}" % (text, left_out + metrics)))
        if self._happened is not None:
            text, _, left_out = self._happened
            parts.append(text_frame(b"%b%d}" % (text, left_out + happenings)))
        parts.append(self._overview)
        return b"".join(parts)


def single_frame(seen: SeenMetric, now: bytes) -> bytes:
    """A metric as the seeds' clients read it; its own time where it has one. ``now`` is JSON text."""
    time = now if seen.metric.timestamp is UNSET else encode_json(seen.metric.timestamp)
    return text_frame(b'{"type":"creativity_update","timestamp":%b,"data":%b}' % (time, seen.json))


def single_frames(metrics: Iterable[SeenMetric], now: bytes, raw: bool) -> list[bytes]:
    """A frame for each metric."""
    return [text_frame(seen.json) if raw else single_frame(seen, now) for seen in metrics]


def batch_text(metrics: Iterable[SeenMetric], now: bytes) -> bytes:
    """A batch up to the number of metrics that were left out."""
    updates = b",".join([seen.json for seen in metrics])
    return b'{"type":"creativity_updates","timestamp":%b,"updates":[%b],"left_out":' % (now, updates)


def happened_text(happened: Iterable[Happening]) -> bytes:
    """What happened, up to the number of happenings that were left out."""
    return b'{"type":"happened","data":%b,"left_out":' % encode_json([happening.flat() for happening in happened])


def overview_frame(overview: bytes) -> bytes:
    """``overview`` is JSON text."""
    return text_frame(b'{"type":"overview","data":%b}' % overview)


def fitting(metrics: Iterable[SeenMetric]) -> int:
    """How many of these, from the first on, one batch takes; one at least, where there is one."""
    size = count = 0
    for seen in islice(metrics, BATCH_METRICS):
        size += len(seen.json)
        if size > BATCH_BYTES and count:
            break
        count += 1
    return count
