"""One input partition: its fold, its place in the log, and whether its memory equals what is committed."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from hashlib import blake2b

from processor.engine.lifecycle import TaskState
from processor.engine.observer import Observer
from processor.engine.ownership import refuse_another
from processor.engine.ports import Fold, FoldFactory, InputRecord
from processor.errors import Refused
from schemas.progress import (
    BARRIER_KEY,
    FORMAT,
    PROGRESS_KEY,
    RESET_PREFIX,
    Progress,
    decode_progress,
    encode_progress,
)

log = logging.getLogger(__name__)


def anchor_hash(record: InputRecord) -> bytes:
    """16 bytes that tell whether a record is still the one that was consumed."""
    digest = blake2b(digest_size=16)
    for part in (record.key, record.value):
        digest.update(b"\x00" if part is None else b"\x01" + len(part).to_bytes(8, "big") + part)
    return digest.digest()


class Task:
    """A partition's state machine; it never awaits: `Partitions` restores it, `Transactions` commits it.

    ``position`` is the next input offset the fold has not seen; ``computed`` counts batches computed and
    ``committed`` those answered: the task is clean when they are equal (rule R3).  ``changelog_next`` is the offset
    at which the next writer's first record would land if nobody wrote since our last commit, -1 where unknown; while
    the ``marker_due`` of that commit is still to be written, one less.
    """

    def __init__(
        self, partition: int, factory: FoldFactory, partition_count: int, version: str, application_id: str
    ) -> None:
        self.partition = partition
        self.state = TaskState.CREATED
        self.fold: Fold = factory(partition)
        self.position = 0
        self.computed = 0
        self.committed = 0
        self.changelog_next = -1
        self.marker_due = False
        self.halt_at: int | None = None  # the record whose step raises; everything before it is processed
        self.lost_at: int | None = None  # where the input could not be read on, and a restore looked again
        self.suspect = False  # a step raised: look for the record one by one
        self.refused = False  # the broker refuses what this partition writes
        self.cause: str | None = None
        self._factory = factory
        self._partition_count = partition_count
        self._version = version
        self._application_id = application_id
        self._anchor_record: InputRecord | None = None
        self._anchor_offset = -1
        self._anchor_hash = b""
        self._progress: bytes | None = None

    @property
    def clean(self) -> bool:
        """Memory equals the last answered commit."""
        return self.computed == self.committed

    def move_to(self, state: TaskState) -> None:
        """Raises ``AssertionError`` on a step that the drawing in `lifecycle` does not have."""
        assert state in self.state.successors, f"task {self.partition}: {self.state} -> {state}"
        self.state = state

    def halt(self, cause: str, observer: Observer) -> None:
        """Stop for good, and say why."""
        log.error("partition halted: %s", cause)
        self.cause = cause
        self.move_to(TaskState.HALTED)
        observer.halted(self.partition, cause)

    # Restoring -----------------------------------------------------------------------------------------------

    def begin_restore(self) -> None:
        """Forget everything; the changelog says it anew."""
        self.move_to(TaskState.RESTORING)
        self.fold = self._factory(self.partition)
        self._progress = None
        self._anchor_record = None
        self.changelog_next = -1
        self.marker_due = False
        self.computed = self.committed = 0

    def restore(self, key: bytes, value: bytes | None) -> None:
        """One committed changelog record."""
        if key == PROGRESS_KEY:
            self._progress = value
        elif key != BARRIER_KEY and not key.startswith(RESET_PREFIX):
            self.fold.restore(key, value)

    def end_restore(self, barrier: int, topic: str) -> Progress:
        """Assemble the state; raises `Refused` where the changelog cannot be the truth."""
        if self._progress is None:
            raise Refused(
                f"changelog {topic}-{self.partition} has no progress record: it was truncated, deleted or never "
                "initialised; restore the topic or rebuild it with `creative-feedback rebuild`; on a new one run "
                "`creative-feedback topics apply`"
            )
        try:
            progress = decode_progress(self._progress)
        except ValueError as error:
            raise Refused(
                f"changelog {topic}-{self.partition}: progress record {error}; run the version that wrote it"
            ) from None
        if progress.partition_count != self._partition_count:
            raise Refused(
                f"changelog {topic}-{self.partition} was written for {progress.partition_count} partitions, "
                f"now there are {self._partition_count}: sessions would change partition; "
                "use new topics for another partition count"
            )
        refuse_another(progress, self._application_id, f"changelog {topic}-{self.partition}")
        self.fold.restored(progress.marks)
        self.position = progress.next_offset
        self._anchor_offset = progress.anchor_offset
        self._anchor_hash = progress.anchor_hash
        self.changelog_next = barrier + 1
        return progress

    def survives(self, barrier: int) -> bool:
        """Whether the memory of a kept task is what the changelog holds before the barrier; says where that ends now.

        A commit is answered when it is decided, and its marker is written after that (KIP-98, 5.1 to 5.3):
        a barrier right behind our last record came before the marker, and before whatever anybody else wrote.
        """
        early = self.marker_due and barrier == self.changelog_next - 1
        if self.state is not TaskState.KEPT or not self.clean or not (early or barrier == self.changelog_next):
            return False
        self.changelog_next = barrier + 2 if early else barrier + 1
        self.marker_due = early
        return True

    # Working -------------------------------------------------------------------------------------------------

    def consumed(self, records: Sequence[InputRecord], position: int) -> None:
        """The fold has seen the records; the position is past them and past control records."""
        if records:
            self._anchor_record = records[-1]
        self.position = position

    def go_on_at(self, offset: int) -> None:
        """Take another position, by an operator's word: there is no consumed record to know the log by."""
        self.position = offset
        self._anchor_record = None
        self._anchor_offset, self._anchor_hash = -1, b""

    def answered(self, written: int) -> None:
        """A commit took effect; ``written`` is the offset behind its last changelog record, -1 where unknown."""
        self.committed += 1
        self.marker_due = written >= 0
        # The commit marker takes one offset.
        self.changelog_next = written + 1 if written >= 0 else -1

    def progress(self) -> bytes:
        """The progress record of the state as it is now."""
        if self._anchor_record is not None:
            self._anchor_offset = self._anchor_record.offset
            self._anchor_hash = anchor_hash(self._anchor_record)
            self._anchor_record = None
        return encode_progress(
            Progress(
                FORMAT,
                self._version,
                self._partition_count,
                self.position,
                self._anchor_offset,
                self._anchor_hash,
                self.fold.marks(),
                self._application_id,
            )
        )
