"""Frames: four bytes of length, then a header and a body (https://kafka.apache.org/protocol.html#protocol_messages)."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

_LENGTH = struct.Struct(">i")
_HEADER = struct.Struct(">hhih")  # API key, version, correlation id, bytes of the client id that follows

ApiName = Literal[
    "Produce",
    "Fetch",
    "ListOffsets",
    "Metadata",
    "FindCoordinator",
    "JoinGroup",
    "Heartbeat",
    "LeaveGroup",
    "SyncGroup",
    "ApiVersions",
    "InitProducerId",
    "AddPartitionsToTxn",
    "AddOffsetsToTxn",
    "EndTxn",
    "TxnOffsetCommit",
]
API_KEYS: dict[ApiName, int] = dict(
    zip(get_args(ApiName), (0, 1, 2, 3, 10, 11, 12, 13, 14, 18, 22, 24, 25, 26, 28), strict=True)
)
_NAMES = {key: name for name, key in API_KEYS.items()}

# Lengths and the fixed part of a header arrive byte by byte, the rest in so many pieces.
_SINGLE_BYTES = 16
_PIECES = 16


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it came; ``frame`` is without its length."""

    api_key: int
    version: int
    correlation_id: int
    client_id: str
    frame: bytes

    @property
    def api(self) -> str:
        """The name in the protocol's documentation; the number of one that no worker sends."""
        return _NAMES.get(self.api_key, str(self.api_key))

    def is_from(self, worker: str | None, role: str | None) -> bool:
        """Whether this instance sent it, over the connection of this role (producer, input, changelog, group).

        An instance's clients are called APPLICATION-INSTANCE-ROLE.
        """
        sender, _, its_role = self.client_id.rpartition("-")
        return (role is None or role == its_role) and (worker is None or sender.endswith(f"-{worker}"))


def parse_request(frame: bytes) -> Request:
    """The header of a request frame; its version 1 and 2 begin alike."""
    api_key, version, correlation_id, size = _HEADER.unpack_from(frame)
    client_id = frame[_HEADER.size : _HEADER.size + max(size, 0)].decode()
    return Request(api_key, version, correlation_id, client_id, frame)


def correlation_id_of(reply: bytes) -> int:
    """A reply frame begins with the correlation id of its request."""
    return int(_LENGTH.unpack_from(reply)[0])


async def read_frame(reader: asyncio.StreamReader) -> bytes | None:
    """The next frame without its length; None at the end of the stream, also in the middle of a frame."""
    try:
        (size,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
        return await reader.readexactly(size)
    except (asyncio.IncompleteReadError, ConnectionError):
        return None


async def write_frame(writer: asyncio.StreamWriter, frame: bytes, *, sliced: bool = False) -> None:
    """Send a frame with its length, in one go or in tiny pieces. Raises `ConnectionError`."""
    whole = _LENGTH.pack(len(frame)) + frame
    for piece in pieces(whole) if sliced else (whole,):
        writer.write(piece)
        await writer.drain()
        if sliced:
            await asyncio.sleep(0)  # without a turn of the loop in between, pieces would leave together


def pieces(whole: bytes) -> Iterator[bytes]:
    """The beginning byte by byte, then a few larger pieces."""
    for at in range(min(_SINGLE_BYTES, len(whole))):
        yield whole[at : at + 1]
    rest = whole[_SINGLE_BYTES:]
    size = len(rest) // _PIECES + 1
    for at in range(0, len(rest), size):
        yield rest[at : at + size]
