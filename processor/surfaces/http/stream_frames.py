"""The server's WebSocket frames (RFC 6455) as bytes, so that one encoding serves all who get the same.

A server does not mask: a frame depends on its payload only, and a push may hold several frames.
"""

from __future__ import annotations

from enum import IntEnum
from struct import pack
from typing import Final

from schemas.codec import encode_json

TEXT: Final = 0x81  # final frame of a text message
CLOSE: Final = 0x88
PING: Final = b"\x89\x00"
PONG: Final = 0x8A


class CloseCode(IntEnum):
    """Why a connection ends, by RFC 6455 and the IANA's registry."""

    GOING_AWAY = 1001
    UNSUPPORTED_DATA = 1003
    INVALID_TEXT = 1007
    POLICY_VIOLATION = 1008
    TRY_AGAIN_LATER = 1013


def frame(first: int, payload: bytes) -> bytes:
    """A frame with this first byte."""
    size = len(payload)
    if size < 126:
        return bytes((first, size)) + payload
    if size < 65_536:
        return pack("!BBH", first, 126, size) + payload
    return pack("!BBQ", first, 127, size) + payload


def text_frame(payload: bytes) -> bytes:
    """A whole text message; ``payload`` is UTF-8."""
    return frame(TEXT, payload)


def close_frame(code: int, reason: str) -> bytes:
    """``reason`` is ASCII of at most 123 letters, so that the frame is a control frame's."""
    return frame(CLOSE, pack("!H", code) + reason.encode("ascii"))


PONG_FRAME: Final = text_frame(b'{"type":"pong"}')


def error_frame(code: str, message: str) -> bytes:
    """Told to a client whose message was understood, but cannot be obeyed."""
    return text_frame(encode_json({"type": "error", "code": code, "message": message}))
