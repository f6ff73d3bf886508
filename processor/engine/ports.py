"""What the engine asks of the outside: the fold it runs, the log it reads and writes.

The engine knows neither the domain nor Kafka.  ``app`` binds a `Fold` (the loop) and a `Cluster` (the client).
Offsets are always the next one to read or write.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

Header = tuple[str, bytes]


class InputRecord(Protocol):
    """One record of the input partition, as the client delivers it (bytes, undecoded)."""

    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int | None: ...  # Kafka record timestamp, ms since the epoch; -1 where there is none
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Sequence[tuple[str, bytes]]: ...


class Outbox(Protocol):
    """Where a fold puts what it produces, in order. Every method is synchronous and only buffers."""

    def action(self, key: bytes | None, value: bytes, headers: list[Header]) -> None: ...
    def metric(self, key: bytes | None, value: bytes, headers: list[Header]) -> None: ...
    def dead_letter(self, key: bytes | None, value: bytes | None, headers: list[Header]) -> None: ...


LogEvent = tuple[str, dict[str, Any]]  # name and fields


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

    def diary(self) -> Sequence[LogEvent]:
        """What happened to single sessions since the last call; the engine reports it after the commit."""

    def figures(self) -> Mapping[str, float]:
        """How things stand now (``sessions.MODE``, ``gain`` …), at no cost that grows with the sessions."""

    def restore(self, key: bytes, value: bytes | None) -> None:
        """Take one state record of the changelog (later records of a key replace earlier ones)."""

    def restored(self, marks: bytes) -> None:
        """The changelog is read: check and assemble the state; raises `Refused` on corrupt or newer state."""


FoldFactory = Callable[[int], Fold]


class Token(NamedTuple):
    """Right to work on ``partitions``, given by one assignment and void from the next revocation (rule R1)."""

    generation: int
    member_id: str
    group_instance_id: str | None
    partitions: frozenset[int]


class Fetched(NamedTuple):
    """Records of one input partition, and the position behind them (past control records), taken in one step."""

    partition: int
    records: Sequence[InputRecord]
    position: int


class Buffer(Outbox, Protocol):
    """The outgoing records of one partition in one transaction."""

    def change(self, key: bytes, value: bytes | None) -> None:
        """A changelog record."""

    def size(self) -> int:
        """Bytes buffered so far, approximately."""


class Epoch(Protocol):
    """One epoch of the instance's transactional producer; after any doubt it is thrown away (rule R3).

    Every method has a deadline and raises `Fenced`, `InDoubt` or `Rejected`, nothing else.
    """

    def buffer(self, partition: int) -> Buffer: ...

    async def add_partitions(self, buffers: Mapping[int, Buffer]) -> None:
        """Register every topic partition that the buffers write to."""

    async def add_offsets(self) -> None:
        """Register the consumer group's offsets."""

    async def produce(self, buffers: Mapping[int, Buffer]) -> dict[int, int]:
        """Write everything and await every delivery.

        Returns per partition the changelog offset behind its last record there, -1 where the broker did not say.
        """

    async def commit_offsets(self, token: Token, positions: Mapping[int, int]) -> None:
        """TxnOffsetCommit v3 with the token's own values."""

    async def end(self) -> None:
        """EndTxn(commit), sent at most once."""

    async def close(self) -> None: ...


class Input(Protocol):
    """The input partitions that are being read."""

    def seek(self, partition: int, offset: int) -> None:
        """Begin to read a partition at an offset."""

    def forget(self, partition: int) -> None:
        """Stop reading it and drop what was fetched."""

    def take(self, max_records: int, only: int | None = None) -> list[Fetched]:
        """Whatever is here now, fairly over the partitions (or of ``only`` one); raises `InputLost`."""

    def lag(self, partition: int) -> int | None:
        """Records between the position and the last stable offset; None before the first answer since `seek`."""

    def silence_s(self, partition: int) -> float:
        """For how long nobody has answered what is asked for the partition; 0 while nothing has to be asked."""


class Membership(Protocol):
    """The instance's place in the consumer group."""

    def check(self) -> None:
        """Raises what the group coordinator reported: `Fenced`, `Refused`, `Stuck`."""

    def rejoin(self) -> None:
        """Ask for a new assignment."""

    async def leave(self) -> None: ...


class Listener(Protocol):
    """What the membership tells the engine; no method raises."""

    async def revoked(self) -> None: ...
    def assigned(self, token: Token) -> None: ...


class Cluster(Protocol):
    """The log as a whole."""

    async def join(self, listener: Listener) -> Membership: ...
    async def open_epoch(self) -> Epoch: ...
    async def open_input(self, wake: Callable[[], None]) -> Input: ...
    async def barrier(self, partition: int, value: bytes) -> int:
        """Append a plain record to the changelog partition, acks=all; returns its offset."""

    async def read_changelog(
        self, partition: int, barrier: int, each: Callable[[bytes, bytes | None], None], waiting: Callable[[int], None]
    ) -> bool:
        """Read read_committed from the beginning until the position is past the barrier (rule R4).

        ``waiting`` hears the position whenever the read stands still.  False where the beginning of the log moved
        away underneath: what was read must be forgotten.
        """

    async def input_bounds(self, partition: int) -> tuple[int, int]:
        """Earliest and end offset of the input partition, from its leader, on fresh metadata."""

    async def input_record(self, partition: int, offset: int) -> InputRecord | None:
        """The record at exactly that offset, None where there is none."""

    async def close(self) -> None: ...
