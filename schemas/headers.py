"""Record headers: names, and what they say about the value.

Header names are compared as they are, as Kafka does; of repeated headers the last one counts, as it does
for Kafka's ``lastHeader``.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from schemas.errors import InvalidRecord

Header = tuple[str, bytes]

CONTENT_TYPE: Final = "content-type"
SOURCE_OFFSET: Final = "source.offset"
TRACEPARENT: Final = "traceparent"
TRACESTATE: Final = "tracestate"
TRACE_HEADERS: Final = frozenset({TRACEPARENT, TRACESTATE})

MSGPACK_CONTENT_TYPE: Final[Header] = (CONTENT_TYPE, b"application/msgpack")

_FORMATS: Final = {
    "application/json": False,
    "application/msgpack": True,
    "application/x-msgpack": True,
    "application/vnd.msgpack": True,
}


def is_msgpack(headers: Iterable[tuple[str, bytes | None]]) -> bool:
    """Whether a record's headers say MessagePack (True) or JSON (False, also without a content type).

    Raises `InvalidRecord` ``content_type`` for any other type.
    """
    content_type: bytes | None = None
    given = False
    for name, value in headers:
        if name == CONTENT_TYPE:
            content_type, given = value, True
    return parse_content_type(content_type or b"") if given else False


@lru_cache(maxsize=256)
def parse_content_type(content_type: bytes) -> bool:
    """The same for the header's value: media types are case-insensitive, parameters do not matter."""
    media_type = content_type.split(b";", 1)[0].strip().decode("ascii", "replace").lower()
    try:
        return _FORMATS[media_type]
    except KeyError:
        raise InvalidRecord(
            "content_type", "content-type is neither application/json nor application/msgpack"
        ) from None


def source_offset(offset: int) -> Header:
    """The header every output record carries: where its input lies (ASCII decimal)."""
    return (SOURCE_OFFSET, b"%d" % offset)


def stored_bytes(headers: Iterable[tuple[str, bytes | None]]) -> int:
    """How many bytes the headers take in a record, where each name and value follows its length."""
    return sum(_with_length(len(name.encode())) + _with_length(len(value or b"")) for name, value in headers)


def _with_length(size: int) -> int:
    # A zigzag varint: 7 bits a byte, and one of them is the sign.
    return size + 1 + size.bit_length() // 7
