"""The engine's numbers, and how they adapt: interval and size of a transaction, and isolation of what is refused."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from processor.errors import InDoubt, Rejected, TimedOut

ISOLATE_AFTER = 2  # refused batches in a row before partitions are committed one by one
HALT_AFTER = 3  # refusals of a partition alone before it halts
BUSY_RECORDS = 1_000  # a transaction of more records than this is worth a longer interval


@dataclass(frozen=True)
class Tuning:
    """Fixed numbers; seconds where the name says ``_s``."""

    instance_id: str
    application_id: str
    partition_count: int
    version: str
    changelog: str
    input: str
    commit_interval_s: float = 0.02
    max_commit_interval_s: float = 0.1
    max_batch_records: int = 10_000
    max_batch_bytes: int = 16 * 1024 * 1024
    transaction_timeout_s: float = 10.0
    revoke_timeout_s: float = 5.0
    shutdown_timeout_s: float = 20.0
    stuck_timeout_s: float = 120.0
    concurrent_restores: int = 4


class Pace:
    """How large the next transaction may be, when it is due, and which partition goes alone.

    Rule R7: the interval grows under load, and the batch is halved after a failure, down to one record.  Rule R10:
    after refusals in a row one partition goes at a time; one that is refused alone repeatedly halts.
    """

    def __init__(self, tuning: Tuning) -> None:
        self._tuning = tuning
        self.interval_s = tuning.commit_interval_s
        self.limit = tuning.max_batch_records
        self.last_commit = float("-inf")
        self.alone: int | None = None
        self._refused = 0
        self._refused_alone = 0
        self._sent = tuning.max_batch_records
        self._comfortable = tuning.max_batch_records  # grown to quickly, exceeded with care

    def room(self, records: int, size: int) -> int:
        """Records that still fit a batch of so many records and bytes."""
        return self.limit - records if size < self._tuning.max_batch_bytes else 0

    def started(self, now: float, records: int) -> None:
        """A commit of so many records begins."""
        self.last_commit = now
        self._sent = records
        wanted = self.interval_s * (1.25 if records > BUSY_RECORDS else 0.8)
        self.interval_s = min(max(wanted, self._tuning.commit_interval_s), self._tuning.max_commit_interval_s)

    def succeeded(self, partitions: Iterable[int]) -> None:
        """A commit was answered with success."""
        if self.limit < self._comfortable:
            self.limit = min(self.limit * 2, self._comfortable)
        else:
            # Doubling would meet the same time-out again and again on a machine that is merely slow.
            self.limit = self._comfortable = min(self.limit + self.limit // 10 + 1, self._tuning.max_batch_records)
        self._refused = 0
        if self.alone is not None and self.alone in partitions:
            self.alone, self._refused_alone = None, 0

    def failed(self, doubt: InDoubt) -> int | None:
        """A commit failed; returns the partition that must halt, if that is the remedy."""
        if isinstance(doubt, TimedOut):
            self.limit = self._comfortable = max(1, min(self.limit, self._sent) // 2)
        else:
            self.limit = max(1, self.limit // 2)
        if not isinstance(doubt, Rejected):
            return None
        self._refused += 1
        if self.alone is not None and doubt.partition == self.alone:
            self._refused_alone += 1
            if self._refused_alone >= HALT_AFTER and (self.limit == 1 or not doubt.too_large):
                culprit = self.alone
                self.alone, self._refused_alone = None, 0
                return culprit
        elif self._refused >= ISOLATE_AFTER:
            self.alone, self._refused_alone = doubt.partition, 0
        return None
