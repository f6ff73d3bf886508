"""Headers: the content type, the source, and what a dead letter carries."""

from __future__ import annotations

import msgspec
import pytest

from schemas.dead_letters import MAX_MESSAGE_BYTES, DeadLetterHeaders, dead_letter_headers
from schemas.errors import InvalidRecord
from schemas.headers import is_msgpack, source_offset


@pytest.mark.parametrize(
    ("content_type", "msgpack"),
    [
        (b"application/json", False),
        (b"Application/JSON; charset=utf-8", False),
        (b" application/json ;charset=x", False),
        (b"application/msgpack", True),
        (b"application/x-msgpack", True),
        (b"APPLICATION/MSGPACK;v=1", True),
    ],
)
def test_media_types_are_known_whatever_their_case_and_parameters(content_type: bytes, msgpack: bool) -> None:
    assert is_msgpack([("content-type", content_type)]) is msgpack


def test_without_a_content_type_the_value_is_json() -> None:
    assert is_msgpack([]) is False
    assert is_msgpack([("traceparent", b"application/msgpack")]) is False


@pytest.mark.parametrize("content_type", [b"", b"text/plain", b"application/jsonx", b"\xff", b"json", b";", None])
def test_any_other_content_type_is_refused_by_name(content_type: bytes | None) -> None:
    for _ in range(2):  # a refusal is not remembered as an answer
        with pytest.raises(InvalidRecord) as caught:
            is_msgpack([("content-type", content_type)])
        assert caught.value.code == "content_type"


def test_the_last_content_type_counts() -> None:
    assert is_msgpack([("content-type", b"text/plain"), ("content-type", b"application/msgpack")]) is True


def test_output_names_its_input() -> None:
    assert source_offset(12_345) == ("source.offset", b"12345")


def test_a_dead_letter_keeps_the_own_headers_and_adds_the_cause_last() -> None:
    own = [("traceparent", b"00-x"), ("error.code", b"forged"), ("traceparent", b"00-y")]
    headers = dead_letter_headers(
        InvalidRecord("bad_sequence", "sequence is é"), own, topic="t", partition=3, offset=9, timestamp_ms=-1
    )
    assert headers[:3] == own
    assert headers[3:] == [
        ("error.code", b"bad_sequence"),
        ("error.message", "sequence is é".encode()),
        ("source.topic", b"t"),
        ("source.partition", b"3"),
        ("source.offset", b"9"),
        ("source.timestamp", b"-1"),
    ]
    texts = {name: value.decode() for name, value in headers}
    assert msgspec.convert(texts, DeadLetterHeaders).error_code == "bad_sequence"


def test_a_long_message_is_cut_between_characters() -> None:
    headers = dead_letter_headers(
        InvalidRecord("not_decodable", "x" + "é" * 9999), [], topic="t", partition=0, offset=0, timestamp_ms=0
    )
    message = dict(headers)["error.message"]
    assert MAX_MESSAGE_BYTES - 1 <= len(message) <= MAX_MESSAGE_BYTES
    assert message.decode() == "x" + "é" * (len(message) // 2)


def test_a_message_that_is_no_utf8_is_escaped() -> None:
    headers = dead_letter_headers(
        InvalidRecord("state_invalid", "bad \udc80"), [], topic="t", partition=0, offset=0, timestamp_ms=0
    )
    assert dict(headers)["error.message"] == b"bad \\udc80"
