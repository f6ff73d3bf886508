"""Why a record is not usable, as one closed set of codes.

The same codes appear in the dead letters' header ``error.code`` and in the label of the error counter.
"""

from __future__ import annotations

from typing import Literal, get_args

ErrorCode = Literal[
    "not_decodable",  # no JSON or MessagePack object, no UTF-8, a BOM, a lone surrogate, trailing bytes
    "content_type",  # the header names a format this processor does not read
    "too_large",  # more bytes than engine.max_event_bytes
    "too_deep",  # more nested containers than engine.max_event_depth
    "no_session",  # neither the value nor the key names a session of 1 to 256 characters
    "session_mismatch",  # value and key name different sessions
    "bad_sequence",  # not an integer from 0 to 2**63 - 1
    "bad_timestamp",  # not a string of at most 64 characters
    "state_invalid",  # the envelope is usable, the state is not
]

ERROR_CODES: tuple[ErrorCode, ...] = get_args(ErrorCode)


class InvalidRecord(Exception):
    """The bytes of one input record are not a usable event: it becomes a dead letter.

    `code` is one of `ERROR_CODES`; `message` is one line for a person. Both are a function of the record
    and the limits alone, so that a replay writes the same dead letter.
    """

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code: ErrorCode = code
        self.message = message
