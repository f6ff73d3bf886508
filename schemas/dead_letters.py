"""Dead letters: the input's key and value untouched, the cause in headers.

Only a record that came compressed can be larger than its topic allows, and larger than any output topic: such a one
is cut to its beginning, and a header says so.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Final

from msgspec import Meta, Struct

from schemas.errors import ErrorCode, InvalidRecord
from schemas.headers import SOURCE_OFFSET, Header, stored_bytes

ERROR_CODE: Final = "error.code"
ERROR_MESSAGE: Final = "error.message"
SOURCE_TOPIC: Final = "source.topic"
SOURCE_PARTITION: Final = "source.partition"
SOURCE_TIMESTAMP: Final = "source.timestamp"
ERROR_CUT: Final = "error.cut"

# What is kept of key and of value, each, where the whole would not fit.
KEPT_BYTES: Final = 64 * 1024

# Messages quote at most a little of what a sender chose: the headers must fit into what the output topics
# allow beyond the input's own size.
MAX_MESSAGE_BYTES: Final = 1024

Decimal = Annotated[str, Meta(pattern=r"^(0|[1-9][0-9]*)$")]


class DeadLetterHeaders(
    Struct,
    frozen=True,
    rename={
        name: name.replace("_", ".")
        for name in (
            "error_code",
            "error_message",
            "error_cut",
            "source_topic",
            "source_partition",
            "source_offset",
            "source_timestamp",
        )
    },
):
    """The headers a dead letter adds after the input's own; every value is UTF-8 text."""

    error_code: ErrorCode
    error_message: str
    source_topic: str
    source_partition: Decimal
    source_offset: Decimal
    source_timestamp: Annotated[
        str,
        Meta(pattern=r"^(-1|0|[1-9][0-9]*)$", description="Kafka record time, ms since the epoch; -1: none."),
    ]
    error_cut: Annotated[
        str | None,
        Meta(
            description="Only where the input was too large to be written again: its bytes with key and headers. Of "
            "key and value the first 64 KiB are left each, the input's own headers are left out."
        ),
    ] = None


def fitted(
    key: bytes | None, value: bytes | None, own_headers: Iterable[Header], max_bytes: int
) -> tuple[bytes | None, bytes | None, list[Header]]:
    """Key, value and headers of a dead letter as far as they are the input's own, cut where all of it is too large."""
    headers = list(own_headers)
    size = len(key or b"") + len(value or b"") + stored_bytes(headers)
    if size <= max_bytes:
        return key, value, headers
    return key and key[:KEPT_BYTES], value and value[:KEPT_BYTES], [(ERROR_CUT, b"%d" % size)]


def dead_letter_headers(
    error: InvalidRecord,
    own_headers: Iterable[tuple[str, bytes]],
    *,
    topic: str,
    partition: int,
    offset: int,
    timestamp_ms: int,
) -> list[Header]:
    """The headers of one dead letter.

    The input's own come first, so that the last of a name, which is what readers take, is this processor's.
    """
    return [
        *own_headers,
        (ERROR_CODE, error.code.encode()),
        (ERROR_MESSAGE, _cut(error.message)),
        (SOURCE_TOPIC, topic.encode()),
        (SOURCE_PARTITION, b"%d" % partition),
        (SOURCE_OFFSET, b"%d" % offset),
        (SOURCE_TIMESTAMP, b"%d" % timestamp_ms),
    ]


def _cut(message: str) -> bytes:
    text = message.encode("utf-8", "backslashreplace")
    return text if len(text) <= MAX_MESSAGE_BYTES else text[:MAX_MESSAGE_BYTES].decode("utf-8", "ignore").encode()
