"""Replay of JSON lines: lines become records, records become lines."""

from __future__ import annotations

import base64
import io
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from processor.config import Settings
from processor.surfaces import replay as module
from processor.surfaces.folds import partition_fold
from processor.surfaces.replay import Summary, replay

EVENT = b'{"session_id": "s", "state": {"novelty": 0.9, "aesthetic_score": 0.5}}'


def replayed(text: bytes) -> tuple[Summary, list[dict[str, Any]], list[dict[str, Any]], list[dict[str, Any]]]:
    sinks = [io.BytesIO() for _ in range(3)]
    summary = replay(partition_fold(Settings(), 0), io.BytesIO(text), *sinks)
    actions, metrics, dead_letters = ([json.loads(line) for line in sink.getvalue().splitlines()] for sink in sinks)
    return summary, actions, metrics, dead_letters


def test_event_without_timestamp_gives_records_without_one() -> None:
    _, [action], [metric], _ = replayed(EVENT)
    assert "timestamp" not in action
    assert "timestamp" not in metric


def test_trailing_newline_is_no_record_and_a_missing_one_loses_none() -> None:
    assert replayed(EVENT + b"\n" + EVENT + b"\n")[0].events == 2
    assert replayed(EVENT + b"\n" + EVENT)[0].events == 2
    assert replayed(b"")[0].events == 0


def test_empty_line_is_an_empty_record() -> None:
    summary, actions, _, [letter] = replayed(EVENT + b"\n\n" + EVENT)
    assert len(actions) == 2
    assert letter["offset"] == 1
    assert letter["code"] == "not_decodable"
    assert letter["value"] == ""
    assert summary.dead_letters == {"not_decodable": 1}


def test_dead_letter_keeps_the_bytes() -> None:
    _, _, _, [text, raw] = replayed(b'{"broken\n\xff\xfe\n')
    assert (text["value"], text["offset"]) == ('{"broken', 0)
    assert text["message"]
    assert "value" not in raw
    assert base64.b64decode(raw["value_base64"]) == b"\xff\xfe"


def test_record_has_no_key_therefore_the_session_must_be_in_the_value() -> None:
    _, _, _, [letter] = replayed(b'{"state": {"novelty": 0.5}}\n')
    assert letter["code"] == "no_session"


def test_discarded_outputs_change_nothing_else() -> None:
    sink = io.BytesIO()
    text = EVENT + b"\n" + b"nonsense\n"
    alone = replay(partition_fold(Settings(), 0), io.BytesIO(text), sink)
    whole, actions, _, _ = replayed(text)
    assert [json.loads(line) for line in sink.getvalue().splitlines()] == actions
    assert (alone.actions, alone.metrics, alone.dead_letters) == (whole.actions, whole.metrics, whole.dead_letters)


@given(st.lists(st.sampled_from([EVENT, b"", b"nonsense", b"\xff"]), max_size=30), st.integers(1, 300))
def test_where_the_reader_cuts_makes_no_difference(lines: list[bytes], slice_bytes: int) -> None:
    text = b"".join(line + b"\n" for line in lines)
    whole = replayed(text)
    before, module.READ_BYTES = module.READ_BYTES, slice_bytes
    try:
        cut = replayed(text)
    finally:
        module.READ_BYTES = before
    assert cut[1:] == whole[1:]
    assert cut[0].events == whole[0].events == len(lines)


def test_summary_counts_what_was_written() -> None:
    again = b'{"session_id": "s", "sequence": 1, "state": {"novelty": 0.5}}\n'
    summary, actions, metrics, letters = replayed(again + again + b"\n" + EVENT + b"\n")
    assert (summary.events, summary.actions, summary.metrics) == (4, len(actions), len(metrics))
    assert summary.duplicates == 1
    assert summary.dead_letters == {"not_decodable": len(letters)}
