"""What a demo ends with."""

from __future__ import annotations

import json

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from processor.config import settings_from
from processor.surfaces.audit import Auditor
from processor.surfaces.demo.outcome import Durations, Outcome, outcome_of, told
from processor.surfaces.folds import partition_fold
from processor.surfaces.ports import Chunk
from processor.surfaces.replay import Line

SETTINGS = settings_from({"topics": {"partitions": 1}})
PROMISED = {
    "events", "actions", "metrics", "dead_letters", "duplicates", "events_per_s", "equal_to_replay",
    "explorations", "cumulative_gain", "commit_latency_ms", "broker",
}  # fmt: skip


@given(st.lists(st.floats(0, 10_000), min_size=1, max_size=200), st.sampled_from([0.01, 0.5, 0.99, 1.0]))
def test_percentile_is_a_duration_that_the_share_does_not_exceed(durations: list[float], share: float) -> None:
    seen = Durations()
    for duration in durations:
        seen.add(duration)
    found = seen.percentile(share)
    assert sum(duration <= found + 0.051 for duration in durations) >= share * len(durations)
    assert sum(duration < found - 0.051 for duration in durations) < share * len(durations)
    assert seen.count == len(durations)


def test_no_durations_have_percentile_zero() -> None:
    assert Durations().percentile(0.99) == 0.0


def outcome(*inputs: bytes, stopped: bool = False) -> Outcome:
    auditor = Auditor(SETTINGS.topics, lambda partition: partition_fold(SETTINGS, partition))
    if inputs:
        auditor.take(Chunk(SETTINGS.topics.state, 0, [Line(i, value) for i, value in enumerate(inputs)]))
    return outcome_of(
        auditor,
        Durations(),
        sent=len(inputs),
        broker="b",
        why_fallback=None,
        workers=2,
        sessions=1,
        seconds=2.0,
        stopped=stopped,
    )


def test_promised_keys_are_in_the_json_object() -> None:
    shown = json.loads(msgspec.json.encode(outcome(b"nonsense")))
    assert set(shown) >= PROMISED
    assert shown["dead_letters_by_code"] == {"not_decodable": 1}
    assert shown["events_per_s"] == 0.5
    assert set(shown["commit_latency_ms"]) == {"p50", "p99"}


def test_uncommitted_output_is_not_equal() -> None:
    assert outcome(b"nonsense").equal_to_replay is False


def test_missing_output_is_a_difference_unless_somebody_wanted_to_leave() -> None:
    waited, left = outcome(b"nonsense"), outcome(b"nonsense", stopped=True)
    assert (waited.different, waited.interrupted) == (True, False)
    assert (left.different, left.interrupted, left.equal_to_replay) == (False, True, False)
    assert "INCOMPLETE" in told(left)


def test_nothing_read_is_not_called_equal() -> None:
    """A demo whose events never arrived has proved nothing; one that was stopped before them neither."""
    assert (outcome().equal_to_replay, outcome().different) == (False, True)
    left = outcome(stopped=True)
    assert (left.equal_to_replay, left.interrupted) == (False, True)


def test_summary_in_words_names_the_verdict() -> None:
    text = told(outcome(b"nonsense"))
    assert "NOT EQUAL: 1 records are missing, behind 0 that are equal" in text
    assert "not_decodable 1" in text
