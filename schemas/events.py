"""State events: what the neighbours send.

Decoding has two paths with one meaning. The fast one lets msgspec fill the typed fields of nearly every
event; whatever it does not take goes to the reference path, which decodes to plain objects and decides
every rule in Python. A property test holds them together.

Source: TORI's state topic, one JSON or MessagePack object per record.
"""

from __future__ import annotations

import json
import math
import re
from typing import Annotated, Any, Final, TypeVar

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from schemas.errors import InvalidRecord
from schemas.nesting import check_json_depth, check_msgpack_depth

MAX_SESSION_ID_CHARACTERS: Final = 256
MAX_TIMESTAMP_CHARACTERS: Final = 64
MAX_SEQUENCE: Final = 2**63 - 1
_SESSION_TEXT: Final = f"UTF-8 text of 1 to {MAX_SESSION_ID_CHARACTERS} characters"
_TIMESTAMP_TEXT: Final = f"text of at most {MAX_TIMESTAMP_CHARACTERS} characters"

SessionId = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=MAX_SESSION_ID_CHARACTERS,
        description="The session; absent or null, the record key names it.",
    ),
]
Sequence = Annotated[
    int,
    Meta(
        ge=0,
        le=MAX_SEQUENCE,
        description="Number of the event in its session; not greater than the last one means a duplicate.",
    ),
]
Timestamp = Annotated[
    str,
    Meta(
        max_length=MAX_TIMESTAMP_CHARACTERS,
        description="When the state was observed, RFC 3339 by convention; echoed as given.",
    ),
]

Score = Annotated[float, Meta(description="Fraction of 1; clamped to 0 … 1 with a warning.")]
_T = TypeVar("_T")
Hint = Annotated[_T, Meta(description="Hint for the choice of a profile.")]

# CPython refuses to convert longer whole numbers (the conversion is quadratic); a float ends at 309 digits.
_MAX_INTEGER_DIGITS: Final = 4300
# One escape of a JSON string; the group catches a surrogate that is not half of a pair.
_ESCAPE = re.compile(
    r"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)"
)


class Limits(Struct, frozen=True):
    """What is refused before it is decoded."""

    max_bytes: int = 1024 * 1024
    max_depth: int = 32


# Ask with isinstance: the MessagePack decoder produces a subclass.
class StateFields(Struct, gc=False):
    """The fields of a state that the loop reads, each of its proper type.

    Scores are fractions of 1; null means absent. Further fields are signals for custom selectors.
    """

    novelty: Score | None = None
    novelty_score: Annotated[float, Meta(description="Alias of novelty.")] | None = None
    aesthetic_score: Score | None = None
    volatility: Score | None = None
    lambda_max: Annotated[float, Meta(description="Above loop.emergency_lambda_max: emergency.")] | None = None
    emergency_override: Annotated[bool, Meta(description="True halts at once.")] | None = None
    force_inject: Annotated[bool, Meta(description="True starts an exploration from stable.")] | None = None
    conversation_stalled: Hint[bool] | None = None
    temperature: Hint[float] | None = None
    user_comfort: Hint[float] | None = None
    user_id: Annotated[str, Meta(description="Unit of an experiment's groups.")] | None = None
    coherence: Annotated[float | str, Meta(description="Informational.")] | None = None
    coherence_state: Annotated[float | str, Meta(description="Alias of coherence.")] | None = None


class StateEvent(Struct, gc=False):
    """One usable envelope.

    `state` is a `StateFields`, or on the reference path a plain dict with string keys, or any other
    value where the sender gave no object: then the state is refused, not the envelope.
    """

    session_id: str
    sequence: int | None
    timestamp: str | None
    state: Any


class WireEvent(StateEvent, gc=False):
    """What the fast path reads from JSON, and what the published schema describes."""

    session_id: SessionId = ""
    sequence: Sequence | None = None
    timestamp: Timestamp | None = None
    state: StateFields | UnsetType = UNSET


# msgspec skips unknown MessagePack fields without looking inside, so that broken text in them would pass
# here and fail on the reference path: an event with unknown fields is the reference path's.
class _KnownStateFields(StateFields, gc=False, forbid_unknown_fields=True):
    pass


class _KnownWireEvent(WireEvent, gc=False, forbid_unknown_fields=True):
    state: _KnownStateFields | UnsetType = UNSET


_decode_json_event = msgspec.json.Decoder(WireEvent).decode
_decode_known_json = msgspec.json.Decoder(_KnownWireEvent).decode
_decode_json_state = msgspec.json.Decoder(StateFields).decode
_decode_json_object = msgspec.json.Decoder().decode
_decode_msgpack_event = msgspec.msgpack.Decoder(_KnownWireEvent).decode
_decode_msgpack_object = msgspec.msgpack.Decoder().decode

DEFAULT_LIMITS: Final = Limits()


def decode_event(
    value: bytes | None,
    key: bytes | None,
    msgpack: bool = False,
    limits: Limits = DEFAULT_LIMITS,
    want_signals: bool = False,
) -> StateEvent:
    """One input record's value and key as an event.

    `want_signals` keeps every field of the state, as a dict (selectors and debug records ask for it).

    Raises `InvalidRecord` with the code of the first rule broken, and nothing else, whatever the bytes.
    """
    if not value:
        raise InvalidRecord("not_decodable", "value is empty" if value is not None else "value is null")
    if len(value) > limits.max_bytes:
        raise InvalidRecord("too_large", f"value has {len(value)} bytes, more than {limits.max_bytes}")
    if msgpack:
        check_msgpack_depth(value, limits.max_depth)
    else:
        check_json_depth(value, limits.max_depth)
    if want_signals:
        return _decode_reference(value, key, msgpack=msgpack)
    try:
        if msgpack:
            event: WireEvent = _decode_msgpack_event(value)
            if event.state is UNSET:
                return _decode_reference(value, key, msgpack=True)
        else:
            if not value.isascii():
                value.decode()  # fields that are skipped must be UTF-8 too
            event = _decode_json_event(value)
            if event.state is UNSET:
                event.state = _decode_json_state(value)
    except ValueError:  # msgspec's errors and UnicodeDecodeError
        return _decode_reference(value, key, msgpack=msgpack)
    session_id = event.session_id
    if not session_id:
        if not key:
            return _decode_reference(value, key, msgpack=msgpack)
        event.session_id = _session_of_key(key)
    elif key and key != session_id.encode():
        raise _mismatch()
    return event


class EventDecoder:
    """`decode_event` for one stream of events.

    An event of known fields only needs no check of its nesting nor of text that is skipped, because nothing else
    would have been decoded.  A stream whose events carry more is not asked twice.
    """

    __slots__ = ("_known_only", "limits", "want_signals")

    def __init__(self, limits: Limits = DEFAULT_LIMITS, want_signals: bool = False) -> None:
        self.limits = limits
        self.want_signals = want_signals
        self._known_only = not want_signals

    def decode(self, value: bytes | None, key: bytes | None, msgpack: bool) -> StateEvent:
        """See `decode_event`."""
        tried = self._known_only and not msgpack
        if tried and value and len(value) <= self.limits.max_bytes:
            try:
                event = _decode_known_json(value)
            except ValueError:
                pass
            else:
                session_id = event.session_id
                if session_id and event.state is not UNSET:
                    if key and key != session_id.encode():
                        raise _mismatch()
                    return event
        decoded = decode_event(value, key, msgpack, self.limits, self.want_signals)
        if tried and isinstance(decoded.state, StateFields):
            self._known_only = False
        return decoded


def _decode_reference(value: bytes, key: bytes | None, *, msgpack: bool) -> StateEvent:
    fields = _msgpack_object(value) if msgpack else _json_object(value)
    session_id = fields.pop("session_id", None)
    if session_id is None:
        session_id = _session_of_key(key)
    elif not isinstance(session_id, str) or not 1 <= len(session_id) <= MAX_SESSION_ID_CHARACTERS:
        raise InvalidRecord("no_session", f"session_id is no text of 1 to {MAX_SESSION_ID_CHARACTERS} characters")
    elif key and key != session_id.encode():
        raise _mismatch()
    sequence = fields.pop("sequence", None)
    if sequence is not None and not (type(sequence) is int and 0 <= sequence <= MAX_SEQUENCE):
        raise InvalidRecord("bad_sequence", "sequence is no integer from 0 to 2**63 - 1")
    timestamp = fields.pop("timestamp", None)
    if timestamp is not None and (not isinstance(timestamp, str) or len(timestamp) > MAX_TIMESTAMP_CHARACTERS):
        raise InvalidRecord("bad_timestamp", f"timestamp is no {_TIMESTAMP_TEXT}")
    state = fields.get("state", fields)
    if isinstance(state, dict) and msgpack:
        state = {name: given for name, given in state.items() if isinstance(name, str)}
    return StateEvent(session_id, sequence, timestamp, state)


def _session_of_key(key: bytes | None) -> str:
    # An empty key can name no session, so it counts as absent (some producers cannot write a null key).
    try:
        session_id = key.decode() if key else ""
    except UnicodeDecodeError:
        session_id = ""
    if not 1 <= len(session_id) <= MAX_SESSION_ID_CHARACTERS:
        raise InvalidRecord("no_session", f"session_id is absent and the key is no {_SESSION_TEXT}")
    return session_id


def _mismatch() -> InvalidRecord:
    return InvalidRecord("session_mismatch", "session_id and the record key name different sessions")


def _msgpack_object(value: bytes) -> dict[Any, Any]:
    try:
        fields = _decode_msgpack_object(value)
    except ValueError as error:
        raise InvalidRecord("not_decodable", f"value is not MessagePack: {_reason(error)}") from None
    if not isinstance(fields, dict):
        raise InvalidRecord("not_decodable", "value is no MessagePack map")
    return fields


def _json_object(value: bytes) -> dict[str, Any]:
    try:
        text = value.decode()
        try:
            fields = _decode_json_object(value)
        except ValueError:
            # NaN, Infinity and numbers out of range must not cost the envelope: an emergency gets through.
            fields = _decode_lenient_json(text)
    except ValueError as error:
        raise InvalidRecord("not_decodable", f"value is not JSON: {_reason(error)}") from None
    if not isinstance(fields, dict):
        raise InvalidRecord("not_decodable", "value is no JSON object")
    return fields


def _decode_lenient_json(text: str) -> Any:
    fields = json.loads(text, parse_int=_whole_number)
    for escape in _ESCAPE.finditer(text):
        if escape[1] is not None:
            raise ValueError(f"lone surrogate (character {escape.start()})")
    return fields


def _whole_number(digits: str) -> int | float:
    if len(digits) <= _MAX_INTEGER_DIGITS:
        return int(digits)
    return -math.inf if digits.startswith("-") else math.inf


def _reason(error: ValueError) -> str:
    if isinstance(error, UnicodeDecodeError):
        return f"no UTF-8 (byte {error.start})"
    return str(error)
