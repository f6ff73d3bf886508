"""The WebSocket stream in numbers: the stream counts, Prometheus' exposition reads."""

from __future__ import annotations

from msgspec import Struct


class StreamCounts(Struct):
    """The stream in numbers, since the process began; ``subscribers`` now.

    ``left_out`` counts metrics that a client wanted and did not get, once for each such client; ``refused`` those that
    came when there were too many, ``hostile_closed`` those that broke the protocol, ``round_s`` is the time from
    one round to the next.
    """

    subscribers: int = 0
    frames: int = 0
    bytes: int = 0
    left_out: int = 0
    slow_closed: int = 0
    refused: int = 0
    hostile_closed: int = 0
    round_s: float = 0.0
