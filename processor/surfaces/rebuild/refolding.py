"""A derivation whose state is to be worked on with: all records that are there, and all that is to be stored."""

from __future__ import annotations

from processor.engine.ports import Header, InputRecord
from processor.loop.partition import PartitionFold
from processor.surfaces.audit.derivation import Derivation
from schemas.state_records import FORMAT, Marks, encode_state

TAKEN_EVERY_RECORDS = 20_000  # a session that changes often is encoded once in so many


class Nowhere:
    """An outbox for output that is not looked at."""

    def action(self, key: bytes | None, value: bytes, headers: list[Header]) -> None:
        """Drop it."""

    def metric(self, key: bytes | None, value: bytes, headers: list[Header]) -> None:
        """Drop it."""

    def dead_letter(self, key: bytes | None, value: bytes | None, headers: list[Header]) -> None:
        """Drop it."""


NOWHERE = Nowhere()


class Refolding(Derivation):
    """Under the given settings.

    Sessions whose beginning is gone are folded from what is left of them: their counters are too low, but they know
    their last sequence, so that a repeated event stays a duplicate.
    """

    _untaken = 0  # records whose changes are still the fold's

    @property
    def clock_known(self) -> bool:
        """With a shared model no session is what it was, from wherever it is followed."""
        return super().clock_known and (self._whole or self._fold is None or self._fold.shared_model is None)

    def pass_over(self, record: InputRecord) -> None:
        """A record of a session whose beginning is gone."""
        self.process([record], NOWHERE)

    def finish(self) -> tuple[dict[bytes, bytes], bytes]:
        """State records by key, and the marks of the progress record; empty marks where nothing was ever processed."""
        fold = self.enter(self._start) if self._fold is None else self._fold
        self._store(fold)
        untouched = self.last is None and self._whole
        return self.state, b"" if untouched else fold.marks()

    def _begin_late(self, fold: PartitionFold) -> None:
        # With a stream time the era that begins now does not say that nothing was processed before it.
        fold.restored(encode_state(Marks(FORMAT, 0, fold.fingerprint)))

    def _take_changes(self, fold: PartitionFold, records: int) -> None:
        self._untaken += records
        if self._untaken >= TAKEN_EVERY_RECORDS:
            self._store(fold)

    def _store(self, fold: PartitionFold) -> None:
        self._untaken = 0
        for key, value in fold.changes():
            if value is None:
                self.state.pop(key, None)
            else:
                self.state[key] = value
