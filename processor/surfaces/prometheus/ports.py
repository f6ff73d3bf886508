"""What the metrics are read from; any object that has this shape will do."""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct

from processor.surfaces.watch.beat import Beat


class Worker(Protocol):
    """One worker as the picture has it; ``heard_at`` is the time of its last beat (monotonic seconds)."""

    @property
    def beat(self) -> Beat: ...
    @property
    def heard_at(self) -> float: ...
    @property
    def connected(self) -> bool: ...
    @property
    def restarts(self) -> int: ...


class StreamCounts(Protocol):
    """The WebSocket clients: how many there are, and what was counted since the process began."""

    @property
    def subscribers(self) -> int: ...
    @property
    def frames(self) -> int: ...
    @property
    def bytes(self) -> int: ...
    @property
    def left_out(self) -> int: ...
    @property
    def slow_closed(self) -> int: ...
    @property
    def refused(self) -> int: ...
    @property
    def hostile_closed(self) -> int: ...
    @property
    def round_s(self) -> float: ...


class NoStream(Struct, frozen=True):
    """Nobody is pushed anything."""

    subscribers: int = 0
    frames: int = 0
    bytes: int = 0
    left_out: int = 0
    slow_closed: int = 0
    refused: int = 0
    hostile_closed: int = 0
    round_s: float = 0.0
