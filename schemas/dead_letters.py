"""Dead letters: the input's key and value untouched, the cause in headers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Final

from msgspec import Meta, Struct

from schemas.errors import ErrorCode, InvalidRecord
from schemas.headers import SOURCE_OFFSET, Header

ERROR_CODE: Final = "error.code"
ERROR_MESSAGE: Final = "error.message"
SOURCE_TOPIC: Final = "source.topic"
SOURCE_PARTITION: Final = "source.partition"
SOURCE_TIMESTAMP: Final = "source.timestamp"

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
