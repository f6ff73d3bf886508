"""Decoding state events: the envelope's rules, one code each."""

from __future__ import annotations

import json
import struct

import msgspec
import pytest

from schemas.errors import ErrorCode, InvalidRecord
from schemas.events import DEFAULT_LIMITS, Limits, StateEvent, StateFields, decode_event

SCORES = b'{"novelty": 0.4, "aesthetic_score": 0.5}'


def refused(
    value: bytes | None, key: bytes | None = None, *, msgpack: bool = False, limits: Limits = DEFAULT_LIMITS
) -> tuple[ErrorCode, str]:
    """The code and message a record is refused with, the same on both paths."""
    outcomes = []
    for want_signals in (False, True):
        with pytest.raises(InvalidRecord) as caught:
            decode_event(value, key, msgpack=msgpack, limits=limits, want_signals=want_signals)
        outcomes.append((caught.value.code, caught.value.message))
    assert outcomes[0] == outcomes[1]
    assert "\n" not in outcomes[0][1]
    return outcomes[0]


def code(value: bytes | None, key: bytes | None = None, *, msgpack: bool = False) -> ErrorCode:
    return refused(value, key, msgpack=msgpack)[0]


def envelope(value: bytes, key: bytes | None = None) -> tuple[str, int | None, str | None]:
    """Session, sequence and timestamp, the same on both paths."""
    found = []
    for want_signals in (False, True):
        event = decode_event(value, key, want_signals=want_signals)
        found.append((event.session_id, event.sequence, event.timestamp))
    assert found[0] == found[1]
    return found[0]


def test_a_plain_event_arrives_with_every_field() -> None:
    event = decode_event(
        b'{"session_id": "s1", "sequence": 42, "timestamp": "2026-01-01T00:00:00Z",'
        b' "state": {"novelty": 0.4, "emergency_override": true, "user_id": "u", "mood": 3}}',
        b"s1",
    )
    assert (event.session_id, event.sequence, event.timestamp) == ("s1", 42, "2026-01-01T00:00:00Z")
    assert isinstance(event.state, StateFields)
    assert (event.state.novelty, event.state.emergency_override, event.state.user_id) == (0.4, True, "u")
    assert event.state.volatility is None


def test_signals_keep_every_field_of_the_state() -> None:
    event = decode_event(b'{"session_id": "s1", "state": {"novelty": 1, "mood": 3}}', None, want_signals=True)
    assert event.state == {"novelty": 1, "mood": 3}


@pytest.mark.parametrize("msgpack", [False, True])
def test_top_level_fields_are_the_state_where_none_is_given(msgpack: bool) -> None:
    fields = {"session_id": "s1", "sequence": 1, "novelty": 0.25, "mood": "calm"}
    value = msgspec.msgpack.encode(fields) if msgpack else msgspec.json.encode(fields)
    fast = decode_event(value, None, msgpack=msgpack).state
    assert (fast.novelty if isinstance(fast, StateFields) else fast["novelty"]) == 0.25
    signals = decode_event(value, None, msgpack=msgpack, want_signals=True).state
    assert signals == {"novelty": 0.25, "mood": "calm"}


def test_top_level_fields_beside_a_state_are_ignored() -> None:
    event = decode_event(b'{"session_id": "s1", "novelty": "x", "state": {"novelty": 0.5}}', None)
    assert isinstance(event.state, StateFields)
    assert event.state.novelty == 0.5


@pytest.mark.parametrize("state", [b"null", b"[1, 2]", b'"x"', b"7", b"true", b"NaN"])
def test_a_state_that_is_no_object_leaves_the_envelope_usable(state: bytes) -> None:
    event = decode_event(b'{"session_id": "s1", "sequence": 3, "state": ' + state + b"}", None)
    assert (event.session_id, event.sequence) == ("s1", 3)
    assert not isinstance(event.state, dict | StateFields)


def test_the_key_names_the_session_where_the_value_does_not() -> None:
    assert envelope(b'{"state": {}}', "s·1".encode()) == ("s·1", None, None)
    assert envelope(b'{"session_id": null, "state": {}}', b"s1") == ("s1", None, None)


def test_an_empty_key_is_no_key() -> None:
    assert envelope(b'{"session_id": "s1", "state": {}}', b"")[0] == "s1"
    assert code(b'{"state": {}}', b"") == "no_session"


def test_null_in_the_envelope_means_absent() -> None:
    value = b'{"session_id": "s1", "sequence": null, "timestamp": null, "state": {}}'
    assert envelope(value) == ("s1", None, None)


@pytest.mark.parametrize("length", [1, 256])
def test_session_ids_of_1_to_256_characters_are_usable(length: int) -> None:
    session_id = "é" * length
    assert envelope(json.dumps({"session_id": session_id, "state": {}}).encode())[0] == session_id
    assert envelope(b'{"state": {}}', session_id.encode())[0] == session_id


@pytest.mark.parametrize("session_id", ["", "x" * 257, 7, True, ["s"], {}, 1.5])
def test_anything_else_is_no_session(session_id: object) -> None:
    assert code(json.dumps({"session_id": session_id, "state": {}}).encode(), b"s1") == "no_session"


@pytest.mark.parametrize("key", [None, b"", b"\xff\xfe", b"x" * 257, b"\xed\xa0\x80"])
def test_without_session_id_the_key_must_be_one(key: bytes | None) -> None:
    assert code(b'{"state": {}}', key) == "no_session"


@pytest.mark.parametrize("key", [b"s2", b"S1", b"s1 ", b"\xff"])
def test_key_and_session_must_not_differ(key: bytes) -> None:
    assert code(b'{"session_id": "s1", "state": {}}', key) == "session_mismatch"


@pytest.mark.parametrize("sequence", ["0", "9223372036854775807", "-0"])
def test_sequences_up_to_63_bits_are_usable(sequence: str) -> None:
    assert envelope(f'{{"session_id": "s1", "sequence": {sequence}}}'.encode())[1] == int(sequence)


@pytest.mark.parametrize(
    "sequence",
    ["-1", "1.0", "1e3", "0.5", "9223372036854775808", '"1"', "true", "[1]", "{}", "NaN", "1e999", "9" * 5000],
)
def test_any_other_sequence_is_bad(sequence: str) -> None:
    assert code(f'{{"session_id": "s1", "sequence": {sequence}, "state": {{}}}}'.encode()) == "bad_sequence"


@pytest.mark.parametrize("timestamp", ["", "yesterday", "x" * 64, "é" * 64])
def test_timestamps_up_to_64_characters_are_echoed(timestamp: str) -> None:
    value = json.dumps({"session_id": "s1", "timestamp": timestamp}).encode()
    assert envelope(value)[2] == timestamp


@pytest.mark.parametrize("timestamp", ["x" * 65, 7, True, ["x"], {}])
def test_any_other_timestamp_is_bad(timestamp: object) -> None:
    assert code(json.dumps({"session_id": "s1", "timestamp": timestamp}).encode()) == "bad_timestamp"


def test_the_first_broken_rule_names_the_code() -> None:
    assert code(b'{"session_id": "", "sequence": -1, "timestamp": 7}', b"s1") == "no_session"
    assert code(b'{"session_id": "a", "sequence": -1, "timestamp": 7}', b"b") == "session_mismatch"
    assert code(b'{"session_id": "a", "sequence": -1, "timestamp": 7}') == "bad_sequence"


@pytest.mark.parametrize(
    "number", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999", "9" * 1000, "9" * 5000, "-" + "9" * 5000]
)
def test_numbers_out_of_range_leave_the_envelope_usable(number: str) -> None:
    text = f'{{"session_id": "s1", "sequence": 5, "state": {{"novelty": {number}, "emergency_override": true}}}}'
    event = decode_event(text.encode(), None)
    assert (event.session_id, event.sequence) == ("s1", 5)
    assert event.state["emergency_override"] is True
    assert isinstance(event.state["novelty"], int | float)


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b" ",
        b"\x00\xff\x17",
        b'{"session_id": "s1"} x',
        b'{"session_id": "s1"}{}',
        b'\xef\xbb\xbf{"session_id": "s1"}',
        '{"session_id": "s1"}'.encode("utf-16"),
        '{"session_id": "sé"}'.encode("latin-1"),
        b"\x1f\x8b\x08\x00\x00\x00\x00\x00",
        b'{"session_id": "s1", "state": {"x": "\\ud800"}}',
        b'{"session_id": "s1", "state": {"x": "\\udc00"}}',
        b'{"session_id": "s1", "state": {"\\ud800\\u0041": 1}}',
        b'{"session_id": "s1", "state": {"novelty": NaN, "x": "\\ud800"}}',
        b'{"session_id": "s1", "x": "\\udfff", "x": 1, "state": {"novelty": NaN}}',
        b'{"session_id": "s1", "ignored": "\xff", "state": {}}',
        b'{"session_id": "s1", "ignored": "\xed\xa0\x80", "state": {}}',
        b'{"session_id": "s1", "state": {"x": 01}}',
        b'{"session_id": "s1", "state": {"x": "\x01"}}',
        b"7",
        b"[]",
        b'"s1"',
        b"null",
        b"NaN",
    ],
)
def test_what_is_no_json_object_is_not_decodable(value: bytes | None) -> None:
    assert code(value, b"s1") == "not_decodable"


def test_escaped_backslashes_and_pairs_are_no_lone_surrogates() -> None:
    value = b'{"session_id": "s1", "x": "\\\\ud800 \\ud83d\\ude00 \\\\\\\\udc00", "state": {"novelty": NaN}}'
    assert envelope(value)[0] == "s1"


def test_every_truncation_is_not_decodable() -> None:
    value = b'{"session_id": "s1", "sequence": 4, "state": {"novelty": 0.5, "x": "\\u00e9", "y": [1, {}]}}'
    assert {code(value[:size], b"s1") for size in range(len(value))} == {"not_decodable"}


def test_every_msgpack_truncation_is_not_decodable() -> None:
    fields = {"session_id": "s1", "sequence": 4, "state": {"novelty": 0.5, "x": b"bin", "y": [1, {}]}}
    value = msgspec.msgpack.encode(fields)
    assert {code(value[:size], b"s1", msgpack=True) for size in range(len(value))} == {"not_decodable"}


def test_the_last_of_repeated_keys_wins() -> None:
    value = (
        b'{"session_id": 7, "session_id": "s1", "state": {"novelty": "x", "novelty": 0.5},'
        b' "sequence": -1, "sequence": 2}'
    )
    assert envelope(value) == ("s1", 2, None)
    assert decode_event(value, None).state["novelty"] == 0.5
    typed = decode_event(b'{"state": {"novelty": 0.1}, "session_id": "s1", "state": {"volatility": 0.2}}', None).state
    assert isinstance(typed, StateFields)
    assert (typed.novelty, typed.volatility) == (None, 0.2)


def test_too_large_is_told_before_decoding() -> None:
    limits = Limits(max_bytes=40)
    assert decode_event(b'{"session_id":"s1"}'.ljust(40), None, limits=limits).session_id == "s1"
    assert refused(b"[" * 41, limits=limits)[0] == "too_large"
    assert refused(b"[" * 41, limits=limits, msgpack=True)[0] == "too_large"


@pytest.mark.parametrize(
    "text", [b"[" * 100_000, b'{"a":' * 100_000, b'{"state":' + b"[" * 100_000 + b"]" * 100_000 + b"}"]
)
def test_a_hundred_thousand_brackets_are_too_deep(text: bytes) -> None:
    assert code(text) == "too_deep"


def test_nesting_up_to_the_limit_is_usable() -> None:
    def nested(depth: int) -> bytes:
        return b'{"session_id": "s1", "state": {"x": ' + b"[" * (depth - 2) + b"]" * (depth - 2) + b"}}"

    assert envelope(nested(32))[0] == "s1"
    assert code(nested(33)) == "too_deep"
    flat = b'{"session_id": "s1", "state": {"x": [' + b",".join([b"[]"] * 100) + b"]}}"
    assert envelope(flat)[0] == "s1"
    text = b'{"session_id": "s1", "state": {"x": "' + b'[{\\"' * 100 + b'"}}'
    assert envelope(text)[0] == "s1"


def test_msgpack_nesting_has_the_same_limit() -> None:
    def nested(depth: int, innermost: bytes) -> bytes:
        inner = b"\x91" * (depth - 3) + innermost
        return b"\x82\xaasession_id\xa2s1\xa5state\x81\xa1x" + inner

    for innermost in (b"\x90", b"\x80", b"\x91\x01", b"\xdc\x00\x00", b"\x81\x01\x02"):
        assert decode_event(nested(32, innermost), None, msgpack=True).session_id == "s1"
        assert code(nested(33, innermost), msgpack=True) == "too_deep"
    assert code(b"\x91" * 100_000, msgpack=True) == "too_deep"
    numbers = msgspec.msgpack.encode({"session_id": "s1", "state": {"x": [-0.123456789 * n for n in range(99)]}})
    assert decode_event(numbers, None, msgpack=True).session_id == "s1"


@pytest.mark.parametrize("head", [b"\xdd", b"\xdf", b"\xdb", b"\xc6", b"\xc9"])
def test_msgpack_may_announce_four_billion_items(head: bytes) -> None:
    announced = b"\x82\xaasession_id\xa2s1\xa5state" + head + b"\xff\xff\xff\xff" + b"\x01"
    assert code(announced, msgpack=True) == "not_decodable"
    many_openers = b"\x82\xaasession_id\xa2s1\xa5state" + (b"\xdd\x00\x00\x00\x01") * 3 + b"\x90" * 40
    assert code(many_openers + head + b"\xff\xff\xff\xff", msgpack=True) == "not_decodable"


def test_msgpack_has_the_same_envelope() -> None:
    fields = {"session_id": "s1", "sequence": 2**63 - 1, "timestamp": "t", "state": {"novelty": 1, "user_id": "u"}}
    event = decode_event(msgspec.msgpack.encode(fields), b"s1", msgpack=True)
    assert (event.session_id, event.sequence, event.timestamp) == ("s1", 2**63 - 1, "t")
    assert isinstance(event.state, StateFields)
    assert event.state.novelty == 1.0
    assert code(msgspec.msgpack.encode({**fields, "sequence": 2**63}), msgpack=True) == "bad_sequence"
    assert code(msgspec.msgpack.encode({**fields, "sequence": 2.0}), msgpack=True) == "bad_sequence"
    assert code(msgspec.msgpack.encode({**fields, "session_id": b"s1"}), msgpack=True) == "no_session"
    assert code(msgspec.msgpack.encode(["s1"]), msgpack=True) == "not_decodable"
    assert code(b"\x80\x80", msgpack=True) == "not_decodable"


def test_msgpack_nan_leaves_the_envelope_usable() -> None:
    value = b"\x82\xaasession_id\xa2s1\xa5state\x81\xa7novelty\xcb" + struct.pack(">d", float("nan"))
    event = decode_event(value, None, msgpack=True)
    assert event.session_id == "s1"


def test_msgpack_broken_text_is_refused_wherever_it_stands() -> None:
    assert code(b"\x82\xaasession_id\xa2s1\xa7ignored\xa1\xff", msgpack=True) == "not_decodable"
    assert code(b"\x82\xaasession_id\xa2s1\xa5state\x81\xa7ignored\xa1\xff", msgpack=True) == "not_decodable"


def test_msgpack_names_that_are_no_text_are_dropped_from_the_state() -> None:
    value = b"\x82\xaasession_id\xa2s1\xa5state\x82\x01\x02\xa4mood\x03"
    assert decode_event(value, None, msgpack=True).state == {"mood": 3}


def test_control_characters_and_markup_in_session_ids_are_kept() -> None:
    session_id = '<script>\x00\x1b[31m\n"'
    value = json.dumps({"session_id": session_id, "state": {}}).encode()
    assert envelope(value, session_id.encode())[0] == session_id


def test_the_result_is_a_state_event() -> None:
    for want_signals in (False, True):
        assert isinstance(decode_event(b'{"session_id": "s1"}', None, want_signals=want_signals), StateEvent)
