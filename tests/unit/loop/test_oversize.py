"""What came compressed may be larger than any topic allows: outputs stay within a fixed size, and say what was cut."""

from __future__ import annotations

import json
from typing import NamedTuple

import pytest

from processor.backends.kafka.buffer import BatchList, PartitionBuffer
from processor.config import load_settings
from processor.loop.partition import MAX_TRACE_BYTES, PartitionFold
from schemas.dead_letters import KEPT_BYTES
from tests.oracle.replay import Expected
from topology.topics import INPUT_HEADROOM_BYTES, OUTPUT_HEADROOM_BYTES

SETTINGS = load_settings(None, {}, {"engine.max_event_bytes": 1000})
LARGEST = 1000 + INPUT_HEADROOM_BYTES
OWN_BYTES = 8  # of the header ("own", b"abc"), with a length before each


class Record(NamedTuple):
    value: bytes | None
    key: bytes | None = b"k"
    headers: tuple[tuple[str, bytes], ...] = ()
    offset: int = 7
    timestamp: int = 1


def folded(record: Record) -> Expected:
    out = Expected()
    PartitionFold(SETTINGS, "input", 0).process([record], out)
    return out


def test_the_largest_record_that_fits_is_a_dead_letter_untouched() -> None:
    record = Record(b"x" * (LARGEST - 1 - OWN_BYTES), headers=(("own", b"abc"),))

    [letter] = folded(record).dead_letters

    assert (letter.key, letter.value) == (record.key, record.value)
    assert letter.headers[0] == ("own", b"abc")
    assert "error.cut" not in dict(letter.headers)


def test_one_byte_more_is_cut_and_marked_with_its_size() -> None:
    record = Record(b"x" * (LARGEST - OWN_BYTES), headers=(("own", b"abc"),))

    [letter] = folded(record).dead_letters

    assert (letter.key, letter.value) == (record.key, b"x" * KEPT_BYTES)
    told = dict(letter.headers)
    assert "own" not in told
    assert told["error.cut"] == b"%d" % (LARGEST + 1)
    assert told["error.code"] == b"too_large"
    assert told["source.offset"] == b"7"


def test_keys_and_headers_are_cut_too_and_null_stays_null() -> None:
    [by_key] = folded(Record(None, b"k" * LARGEST * 2)).dead_letters
    [by_header] = folded(Record(b"{", headers=(("own", b"h" * LARGEST),))).dead_letters

    assert (by_key.key, by_key.value) == (b"k" * KEPT_BYTES, None)
    assert (by_header.key, by_header.value) == (b"k", b"{")
    assert "own" not in dict(by_header.headers)


@pytest.mark.parametrize(
    ("value", "headers"),
    [
        pytest.param(b"{", (("a", b""),) * (LARGEST // 2), id="no more than lengths"),
        pytest.param(b"{", (("\ufffd" * (LARGEST // 2), b""),), id="a name that was Latin-1"),
        pytest.param(b'{"session_id": "k", "state": {}}', (("traceparent", b""),) * (LARGEST // 10), id="empty trace"),
        pytest.param(b'{"session_id": "k", "state": []}', (("tracestate", b""),) * (LARGEST // 10), id="refused"),
    ],
)
def test_whatever_the_headers_are_every_output_fits_its_topic(
    value: bytes, headers: tuple[tuple[str, bytes], ...]
) -> None:
    buffer = PartitionBuffer(*(BatchList(role, 1) for role in ("actions", "metrics", "dead_letters", "changelog")))

    PartitionFold(SETTINGS, "input", 0).process([Record(value, headers=headers)], buffer)

    sizes = [part.bytes() for part in buffer.lists]
    assert 0 < max(sizes) <= LARGEST + OUTPUT_HEADROOM_BYTES, sizes


def test_a_trace_context_that_is_none_is_not_carried_into_outputs() -> None:
    event = b'{"session_id": "k", "state": {}}'
    trace = ("traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")

    [right] = folded(Record(event, headers=(trace,))).actions
    [large] = folded(Record(event, headers=(trace, ("tracestate", b"x" * MAX_TRACE_BYTES)))).actions
    [many] = folded(Record(event, headers=(trace,) * 10_000)).actions

    assert trace in right.headers
    assert large.headers == many.headers == (("source.offset", b"7"),)


def test_numbers_that_grow_when_they_are_explained_are_cut_and_counted() -> None:
    debugging = load_settings(None, {}, {"loop.debug": True})
    state = {f"{number:x}": 1e15 for number in range(80_000)}
    whole = json.dumps({"state": {"novelty": 0.9, "force_inject": True, **state}}, separators=(",", ":"))
    event = whole.replace("1000000000000000.0", "1e15")
    assert len(event) <= debugging.engine.max_event_bytes
    out = Expected()

    PartitionFold(debugging, "input", 0).process([Record(event.encode()), Record(event.encode(), offset=8)], out)

    explained = [json.loads(action.value or b"") for action in out.actions if b'"debug"' in (action.value or b"")]
    assert explained
    assert [action["debug"]["state"]["signals_cut"] for action in explained] == [80_005] * len(explained)
    assert max(len(action.value or b"") for action in out.actions) < 10_000
