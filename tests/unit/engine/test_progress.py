"""The progress record: it survives encoding, older writers are understood, newer ones refused."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.progress import (
    BARRIER_KEY,
    FORMAT,
    PROGRESS_KEY,
    Barrier,
    Progress,
    Reset,
    decode_progress,
    decode_reset,
    encode_barrier,
    encode_progress,
    encode_reset,
    reset_key,
)

OFFSETS = st.integers(0, 2**63 - 1)


@given(
    *(st.text(max_size=20), st.integers(1, 10_000), OFFSETS, OFFSETS),
    *(st.binary(max_size=16), st.binary(max_size=64), st.text(max_size=20)),
)
def test_what_is_encoded_is_decoded(
    version: str, count: int, following: int, anchor: int, digest: bytes, marks: bytes, application_id: str
) -> None:
    progress = Progress(FORMAT, version, count, following, anchor, digest, marks, application_id)
    assert decode_progress(encode_progress(progress)) == progress


def test_a_record_of_format_1_names_no_application() -> None:
    value = msgspec.msgpack.encode([1, "0.1.0", 4, 7, 6, b"hash", b"marks"])
    assert decode_progress(value) == Progress(1, "0.1.0", 4, 7, 6, b"hash", b"marks", "")


def test_more_fields_than_the_format_has_are_refused_as_they_would_be_lost_with_the_next_commit() -> None:
    value = msgspec.msgpack.encode([FORMAT, "1.1", 4, 7, 6, b"hash", b"marks", "app", "added later"])
    with pytest.raises(ValueError, match="at most length 8, got 9"):
        decode_progress(value)
    with pytest.raises(ValueError, match="at most length 4, got 5"):
        decode_reset(msgspec.msgpack.encode([FORMAT, "1.1", 4, 7, "added later"]))


def test_a_newer_format_is_refused_with_its_writer() -> None:
    value = msgspec.msgpack.encode([FORMAT + 1, "9.9", 4, 7, 6, b"hash", b"marks", "app", "another meaning"])
    with pytest.raises(ValueError, match=rf"format {FORMAT + 1} by version 9\.9, this version reads up to {FORMAT}"):
        decode_progress(value)


@pytest.mark.parametrize("value", [b"", b"\xff", b"{}", msgspec.msgpack.encode([1]), msgspec.msgpack.encode("text")])
def test_other_bytes_are_no_progress_record(value: bytes) -> None:
    with pytest.raises(ValueError, match="not a progress record"):
        decode_progress(value)


@given(st.text(max_size=20), OFFSETS, st.data())
def test_a_truncated_record_is_no_progress_record(version: str, following: int, data: st.DataObject) -> None:
    value = encode_progress(Progress(FORMAT, version, 4, following))
    cut = data.draw(st.integers(0, len(value) - 1))
    with pytest.raises(ValueError, match="not a progress record"):
        decode_progress(value[:cut])


def test_a_barrier_is_told_from_progress_by_its_key() -> None:
    assert BARRIER_KEY != PROGRESS_KEY
    assert BARRIER_KEY[:1] == PROGRESS_KEY[:1] == b"\x00"
    assert msgspec.msgpack.decode(encode_barrier(Barrier("i0", 3))) == ["i0", 3]


@given(st.text(max_size=20), OFFSETS, OFFSETS)
def test_a_reset_that_is_encoded_is_decoded(version: str, previous: int, following: int) -> None:
    reset = Reset(FORMAT, version, previous, following)
    assert decode_reset(encode_reset(reset)) == reset


@pytest.mark.parametrize(
    "value", [b"", b"{}", msgspec.msgpack.encode([1]), msgspec.msgpack.encode([FORMAT + 1, 9, 1, 2])]
)
def test_other_bytes_are_no_reset(value: bytes) -> None:
    with pytest.raises(ValueError, match="not a reset"):
        decode_reset(value)


@pytest.mark.parametrize("more", [[], ["added later"]])
def test_a_newer_reset_is_refused_with_its_writer(more: list[str]) -> None:
    value = msgspec.msgpack.encode([FORMAT + 1, "9.9", 4, 7, *more])
    with pytest.raises(ValueError, match=rf"^written in format {FORMAT + 1} by version 9\.9, this version reads"):
        decode_reset(value)


@given(OFFSETS, OFFSETS)
def test_the_keys_of_resets_are_in_the_order_of_time(one: int, other: int) -> None:
    assert (reset_key(one) < reset_key(other)) == (one < other)
