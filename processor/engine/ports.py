"""What the engine asks of the outside: the fold it runs, the log it reads and writes.

The engine knows neither the domain nor Kafka.  `app` binds a `Fold` (the loop) and a `Log` (the client).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

Header = tuple[str, bytes]


class InputRecord(Protocol):
    """One record of the input partition, as the client delivers it (bytes, undecoded)."""

    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int: ...  # Kafka record timestamp, ms since the epoch; -1 where the log has none
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Sequence[tuple[str, bytes]]: ...


class Outbox(Protocol):
    """Where a fold puts what it produces, in order. Every method is synchronous and only buffers."""

    def action(self, key: bytes | None, value: bytes, headers: Sequence[Header]) -> None: ...
    def metric(self, key: bytes | None, value: bytes, headers: Sequence[Header]) -> None: ...
    def dead_letter(self, key: bytes | None, value: bytes | None, headers: Sequence[Header]) -> None: ...


class Fold(Protocol):
    """The deterministic computation over one input partition.

    Output depends only on the records and the configuration: never on the clock, the batch or the worker.
    """

    def process(self, records: Sequence[InputRecord], out: Outbox) -> None:
        """Consume the records in order. An exception means the partition halts at the failing record."""

    def changes(self) -> Iterable[tuple[bytes, bytes | None]]:
        """State records (changelog key, value or None for a tombstone) changed since the last call.

        At most one per key, in an order that does not depend on hashing.
        """

    def marks(self) -> bytes:
        """Per-partition values of the fold (stream time and the like), carried in the progress record."""

    def tally(self) -> Mapping[str, float]:
        """Counters since the last call (``events``, ``actions``, ``metrics``, ``duplicates``,
        ``dead_letters.CODE``, ``explorations.PROFILE``, ``gain`` …); the engine reports them after the commit."""

    def restore(self, key: bytes, value: bytes | None) -> None:
        """Take one state record of the changelog (later records of a key replace earlier ones)."""

    def restored(self, marks: bytes) -> None:
        """The changelog is read: check and assemble the state; raises `Refused` on corrupt or newer state."""
