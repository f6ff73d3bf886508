"""Decoding state events: laws that hold for every input."""

from __future__ import annotations

import json
import math
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from schemas.errors import ERROR_CODES, InvalidRecord
from schemas.events import EventDecoder, Limits, StateEvent, StateFields, decode_event

LIMITS = Limits(max_bytes=2000, max_depth=8)
STATE_NAMES = StateFields.__struct_fields__

numbers = st.one_of(
    st.floats(),
    st.integers(),
    st.integers(-(2**70), 2**70),
    st.sampled_from([0, -0.0, 1, 1.0, 5e-324, 1.7976931348623157e308, 2**63, 2**64, 10**400]),
)
scalars = st.one_of(st.none(), st.booleans(), numbers, st.text(max_size=8))
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
names = st.sampled_from([*STATE_NAMES, "mood", "novélty", ""])
states = st.one_of(st.dictionaries(names, st.one_of(values, numbers), max_size=6), values)
envelopes = st.fixed_dictionaries(
    {},
    optional={
        "session_id": st.one_of(st.text(max_size=5), values),
        "sequence": st.one_of(st.integers(0, 2**64), values),
        "timestamp": st.one_of(st.text(max_size=70), values),
        "state": states,
        "mood": values,
        "novelty": values,
    },
)
keys = st.one_of(
    st.none(), st.binary(max_size=5), st.text(max_size=5).map(lambda text: text.encode("utf-8", "replace"))
)


def outcome(value: bytes | None, key: bytes | None, *, msgpack: bool, want_signals: bool) -> Any:
    """The event, or what it is refused with; anything else escapes and fails the test."""
    try:
        return decode_event(value, key, msgpack=msgpack, limits=LIMITS, want_signals=want_signals)
    except InvalidRecord as error:
        refusal = error.code, error.message
    assert refusal[0] in ERROR_CODES
    assert refusal[1].isprintable()
    return refusal


def shown(value: Any) -> str:
    """The value as text: NaN equals itself, and an extension's bytes count, not its address."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{shown(key)}:{shown(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(shown, value)) + "]"
    if isinstance(value, msgspec.msgpack.Ext):
        return f"extension {value.code} {bytes(value.data).hex()}"
    return repr(value)


def streamed(value: bytes | None, key: bytes | None, *, msgpack: bool) -> Any:
    """The outcome as the first event of a stream, where only known fields are expected."""
    try:
        return EventDecoder(LIMITS).decode(value, key, msgpack)
    except InvalidRecord as error:
        return error.code, error.message


def assert_one_meaning(value: bytes | None, key: bytes | None, *, msgpack: bool) -> None:
    for fast in (
        streamed(value, key, msgpack=msgpack),
        outcome(value, key, msgpack=msgpack, want_signals=False),
    ):
        assert_means_the_same(fast, value, key, msgpack=msgpack)


def assert_means_the_same(fast: Any, value: bytes | None, key: bytes | None, *, msgpack: bool) -> None:
    reference = outcome(value, key, msgpack=msgpack, want_signals=True)
    if not isinstance(reference, StateEvent):
        assert fast == reference
        return
    assert isinstance(fast, StateEvent)
    assert (fast.session_id, fast.sequence, fast.timestamp) == (
        reference.session_id,
        reference.sequence,
        reference.timestamp,
    )
    if not isinstance(fast.state, StateFields):
        assert shown(fast.state) == shown(reference.state)
        return
    for name in STATE_NAMES:
        typed, plain = getattr(fast.state, name), reference.state.get(name)
        if isinstance(typed, float):
            # Only a MessagePack NaN passes the typed decoder; JSON has none.
            assert not isinstance(plain, bool)
            assert typed == float(plain) or (math.isnan(typed) and math.isnan(plain))
        else:
            assert typed is plain or (isinstance(typed, str) and typed == plain)


@given(envelopes, keys)
def test_both_paths_give_json_one_meaning(fields: dict[str, Any], key: bytes | None) -> None:
    assert_one_meaning(json.dumps(fields).encode(), key, msgpack=False)
    text = json.dumps(fields, ensure_ascii=False).encode("utf-8", "surrogatepass")
    assert_one_meaning(text, key, msgpack=False)


@given(envelopes, keys)
def test_both_paths_give_msgpack_one_meaning(fields: dict[str, Any], key: bytes | None) -> None:
    try:
        value = msgspec.msgpack.encode(fields)
    except (OverflowError, UnicodeEncodeError):  # integers beyond 64 bits, lone surrogates
        value = msgspec.msgpack.encode({"session_id": "s1", "state": {"novelty": 1}})
    assert_one_meaning(value, key, msgpack=True)


@st.composite
def damaged(draw: st.DrawFn, *, msgpack: bool) -> bytes:
    """An event's bytes with a few of them changed, dropped or inserted."""
    fields = {"session_id": "s1", "sequence": 1, "mood": {"a": [1, "é"]}, "state": {"novelty": 0.5, "x": "y"}}
    value = bytearray(msgspec.msgpack.encode(fields) if msgpack else msgspec.json.encode(fields))
    fragments = st.one_of(
        st.binary(min_size=1, max_size=2),
        st.sampled_from([b"NaN", b"1e999", b"\\ud800", b"\\u00e9", b'"', b"\\", b"{", b"]", b"-", b"\xc3", b"\xdd"]),
    )
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(value)))
        value[at : at + draw(st.integers(0, 4))] = draw(fragments)
    return bytes(value)


@settings(max_examples=400)
@given(damaged(msgpack=False), keys)
@example(b'{"session_id":"s1","x":{"a":1e999},"state":{}}', None)
def test_damaged_json_has_one_meaning_too(value: bytes, key: bytes | None) -> None:
    assert_one_meaning(value, key, msgpack=False)


@settings(max_examples=400)
@given(damaged(msgpack=True), keys)
def test_damaged_msgpack_has_one_meaning_too(value: bytes, key: bytes | None) -> None:
    assert_one_meaning(value, key, msgpack=True)


@settings(max_examples=400)
@given(st.one_of(st.none(), st.binary(max_size=60)), keys, st.booleans())
def test_any_bytes_are_an_event_or_invalid(value: bytes | None, key: bytes | None, msgpack: bool) -> None:
    assert_one_meaning(value, key, msgpack=msgpack)


@given(st.text(alphabet='{}[]",:\\ua1', max_size=60), keys)
def test_any_brackets_and_quotes_are_an_event_or_invalid(text: str, key: bytes | None) -> None:
    assert_one_meaning(text.encode(), key, msgpack=False)


def test_further_fields_are_passed_over_and_never_nest_too_deep() -> None:
    decoder = EventDecoder(LIMITS)
    plain, more = b'{"session_id":"s1","state":{"novelty":0.5}}', b'{"session_id":"s1","state":{"mood":[1]}}'
    for value in (plain, b'{"session_id":', more, plain, more):
        try:
            event = decoder.decode(value, None, False)
        except InvalidRecord:
            continue
        assert isinstance(event.state, StateFields)
    with pytest.raises(InvalidRecord) as refused:
        EventDecoder().decode(b'{"session_id":"s1","x":' + b"[" * 100_000, None, False)
    assert refused.value.code == "too_deep"
