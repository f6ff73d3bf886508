"""What the fold reads and writes, as far as it needs to know it (`app` binds both to the engine)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class Record(Protocol):
    """One input record; `timestamp` is Kafka's, ms since the epoch, -1 or None where the log has none."""

    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int | None: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Sequence[tuple[str, bytes]]: ...


class Outputs(Protocol):
    """Where actions, metrics and dead letters go, in order."""

    def action(self, key: bytes | None, value: bytes, headers: list[tuple[str, bytes]]) -> None: ...
    def metric(self, key: bytes | None, value: bytes, headers: list[tuple[str, bytes]]) -> None: ...
    def dead_letter(self, key: bytes | None, value: bytes | None, headers: list[tuple[str, bytes]]) -> None: ...
