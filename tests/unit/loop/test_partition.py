"""The fold over a partition: envelopes, headers, duplicates, expiry, dead letters, counters."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from processor.config import Settings, settings_from
from tests.unit.loop.play import CALM, NOVEL
from tests.unit.loop.streams import DAY_MS, Record, Run, run, state_records, without_eras

NOW = 1_760_000_000_123


def event(session: str | None = "s", state: Any = CALM, **envelope: Any) -> bytes:
    named = {} if session is None else {"session_id": session}
    return json.dumps({**named, "state": state, **envelope}).encode()


def fold(*records: Record, settings: Settings | None = None) -> Run:
    for offset, record in enumerate(records):
        record.offset = record.offset or offset
    return run(settings or Settings(), records)


def test_every_output_names_its_input_offset_and_session() -> None:
    result = fold(Record(event(state=NOVEL), offset=41), Record(event(state={"novelty": "x"}), offset=1234567))
    for produced, offset in zip(result.out.actions, (b"41", b"1234567"), strict=True):
        assert produced.key == b"s"
        assert produced.headers == (("source.offset", offset),)
    assert result.out.metrics[0].headers == (("source.offset", b"41"),)


def test_session_key_is_utf8() -> None:
    assert fold(Record(event("sürprise\n"))).out.actions[0].key == "sürprise\n".encode()


def test_key_names_the_session_where_the_value_does_not() -> None:
    result = fold(Record(event(None), key=b"k"), Record(event("k"), key=b"k"))
    assert [action.json()["step"] for action in result.out.actions] == [1, 2]


def test_trace_context_is_carried_and_nothing_else() -> None:
    headers = [("traceparent", b"00-1-2-01"), ("own", b"x"), ("tracestate", b"v=1")]
    result = fold(Record(event(state=NOVEL), headers=headers))
    for produced in (*result.out.actions, *result.out.metrics):
        assert produced.headers == (
            ("source.offset", b"0"),
            ("traceparent", b"00-1-2-01"),
            ("tracestate", b"v=1"),
        )


def test_output_has_the_inputs_format() -> None:
    packed = msgspec.msgpack.encode({"session_id": "s", "state": NOVEL})
    result = fold(Record(packed, headers=[("content-type", b"application/msgpack")]))
    action = result.out.actions[0]
    assert action.header("content-type") == b"application/msgpack"
    assert action.value is not None
    assert msgspec.msgpack.decode(action.value)["action"] == "inject_entropy"
    refused = msgspec.msgpack.encode({"session_id": "s", "state": [1]})
    result = fold(Record(refused, headers=[("content-type", b"application/msgpack")]))
    assert result.out.actions[0].value is not None
    assert msgspec.msgpack.decode(result.out.actions[0].value)["action"] == "maintain"


@pytest.mark.parametrize(
    ("given", "timestamp", "expected"),
    [
        ("2026-01-01T00:00:00Z", NOW, "2026-01-01T00:00:00Z"),
        ("yesterday", NOW, "yesterday"),
        (None, NOW, "2025-10-09T08:53:20.123Z"),
        (None, 0, "1970-01-01T00:00:00.000Z"),
        (None, -1, None),
        (None, None, None),
    ],
)
def test_timestamp_is_the_events_else_the_records_else_none(
    given: str | None, timestamp: int | None, expected: str | None
) -> None:
    envelope = {} if given is None else {"timestamp": given}
    result = fold(Record(event(state=NOVEL, **envelope), timestamp=timestamp))
    for produced in (*result.out.actions, *result.out.metrics):
        assert produced.json().get("timestamp") == expected
        assert ("timestamp" in produced.json()) == (expected is not None)


def test_refused_state_gives_an_action_with_error_and_a_dead_letter() -> None:
    record = Record(event(state={"novelty": "x"}, sequence=3), offset=7, timestamp=NOW, key=b"s")
    record.headers = [("traceparent", b"t"), ("own", b"1")]
    result = run(Settings(), [record])
    action = result.out.actions[0].json()
    assert (action["action"], action["sequence"], action["step"]) == ("maintain", 3, 0)
    assert action["error"]
    dead = result.out.dead_letters[0]
    assert (dead.key, dead.value) == (record.key, record.value)
    assert dict(dead.headers) == {
        "traceparent": b"t",
        "own": b"1",
        "error.code": b"state_invalid",
        "error.message": action["error"].encode(),
        "source.topic": b"tori.state",
        "source.partition": b"3",
        "source.offset": b"7",
        "source.timestamp": b"%d" % NOW,
    }
    assert result.out.metrics == []
    assert without_eras(result.changelog) == {}


@pytest.mark.parametrize(
    ("value", "key", "headers", "code"),
    [
        (None, b"s", (), "not_decodable"),
        (b"", b"s", (), "not_decodable"),
        (b"{", b"s", (), "not_decodable"),
        (b"[]", b"s", (), "not_decodable"),
        (b"{}", None, (), "no_session"),
        (event("a"), b"b", (), "session_mismatch"),
        (event(sequence=-1), None, (), "bad_sequence"),
        (event(timestamp=5), None, (), "bad_timestamp"),
        (event(), None, [("content-type", b"text/xml")], "content_type"),
        (b"[" * 100_000, b"s", (), "too_deep"),
        (b" " * (1024 * 1024 + 1), b"s", (), "too_large"),
    ],
)
def test_unusable_record_is_one_dead_letter_and_nothing_else(
    value: bytes | None, key: bytes | None, headers: Any, code: str
) -> None:
    result = fold(Record(event()), Record(value, key=key, headers=headers), Record(event()))
    assert [action.json()["step"] for action in result.out.actions] == [1, 2]
    assert len(result.out.dead_letters) == 1
    dead = result.out.dead_letters[0]
    assert (dead.key, dead.value, dead.header("error.code")) == (key, value, code.encode())
    assert result.tally[f"dead_letters.{code}"] == 1


def test_limits_are_those_of_the_configuration() -> None:
    settings = settings_from({"engine": {"max_event_bytes": 1024, "max_event_depth": 4}})
    deep = event(state={"a": {"b": {"c": {"d": 1}}}})
    wide = event(state={"novelty": 0.5, "note": "x" * 2000})
    result = fold(Record(deep), Record(wide), Record(event()), settings=settings)
    assert [dead.header("error.code") for dead in result.out.dead_letters] == [b"too_deep", b"too_large"]
    assert len(result.out.actions) == 1


# Duplicates


def test_sequence_not_greater_than_the_last_is_counted_and_otherwise_ignored() -> None:
    sequences = [5, 5, 4, 0, 6, None, 6, 7]
    records = [
        Record(event("s", CALM, **({} if number is None else {"sequence": number})), offset)
        for offset, number in enumerate(sequences)
    ]
    result = fold(*records)
    assert [action.json().get("sequence") for action in result.out.actions] == [5, 6, None, 7]
    assert result.tally["duplicates"] == 4
    assert result.out.dead_letters == []


def test_duplicate_check_comes_before_the_state_is_looked_at() -> None:
    result = fold(Record(event(sequence=1)), Record(event(state="broken", sequence=1)))
    assert len(result.out.actions) == 1
    assert result.out.dead_letters == []


def test_refused_event_does_not_advance_the_last_sequence() -> None:
    result = fold(
        Record(event(sequence=1)),
        Record(event(state=[], sequence=9)),
        Record(event(sequence=2)),
    )
    assert [action.json()["step"] for action in result.out.actions] == [1, 1, 2]


def test_emergency_in_a_duplicate_is_ignored() -> None:
    urgent = {"emergency_override": True}
    result = fold(Record(event(sequence=1)), Record(event(state=urgent, sequence=1)))
    assert [action.json()["mode"] for action in result.out.actions] == ["stable"]


# Expiry by stream time

TTL = 7 * DAY_MS


def steps(result: Run) -> list[int]:
    return [action.json()["step"] for action in result.out.actions]


@pytest.mark.parametrize(("idle_ms", "expected"), [(TTL, [1, 2]), (TTL + 1, [1, 1])])
def test_session_idle_longer_than_its_life_is_a_new_one(idle_ms: int, expected: list[int]) -> None:
    result = fold(Record(event(), timestamp=NOW), Record(event(), timestamp=NOW + idle_ms))
    assert steps(result) == expected


def test_stream_time_of_other_sessions_expires_a_session() -> None:
    result = fold(
        Record(event("a"), timestamp=NOW),
        Record(event("b"), timestamp=NOW + TTL + 1),
        Record(event("a"), timestamp=NOW),
    )
    assert steps(result) == [1, 1, 1]


def test_unusable_record_advances_stream_time_too() -> None:
    result = fold(
        Record(event(), timestamp=NOW),
        Record(b"{", timestamp=NOW + TTL + 1),
        Record(event(), timestamp=NOW + 1),
    )
    assert steps(result) == [1, 1]


def test_late_duplicate_of_an_expired_session_is_a_new_event() -> None:
    result = fold(Record(event(sequence=5), timestamp=NOW), Record(event(sequence=5), timestamp=NOW + TTL + 1))
    assert steps(result) == [1, 1]


def test_duplicates_and_refused_events_do_not_refresh_a_session() -> None:
    half = NOW + TTL - 1
    result = fold(
        Record(event(sequence=1), timestamp=NOW),
        Record(event(sequence=1), timestamp=half),
        Record(event(state=[]), timestamp=half),
        Record(event(), timestamp=NOW + TTL + 1),
    )
    assert steps(result) == [1, 1, 1]


def test_without_record_timestamps_nothing_expires() -> None:
    assert steps(fold(*(Record(event()) for _ in range(3)))) == [1, 2, 3]


def test_tombstones_reclaim_every_key_of_expired_sessions_a_few_at_a_time() -> None:
    settings = settings_from({"loop": {"max_exploration_steps": 10, "recovery_steps": 0}})
    first = [Record(event(f"s{number % 20}", NOVEL), timestamp=NOW) for number in range(20 * 40)]
    later = [Record(event("late"), timestamp=NOW + TTL + 1) for _ in range(5)]
    result = fold(*first, *later[:1], settings=settings)
    assert result.tally["sessions.expired"] == 4
    result = fold(*first, *later, settings=settings)
    assert result.tally["sessions.expired"] == 20
    assert {key[-4:] for key in without_eras(result.changelog)} == {b"late"}


def test_expired_session_that_returns_leaves_nothing_of_its_old_state() -> None:
    settings = settings_from({"loop": {"max_exploration_steps": 10, "recovery_steps": 0}})
    old = [Record(event(state=NOVEL), timestamp=NOW) for _ in range(200)]
    new = [Record(event(), timestamp=NOW + TTL + 1, offset=200)]
    returned = fold(*old, *new, settings=settings)
    alone = run(settings, new)
    assert without_eras(returned.changelog) == without_eras(alone.changelog)
    split = run(settings, [*old, *new], [150, 200])
    assert without_eras(split.changelog) == without_eras(alone.changelog)


# Counters


def test_tally_counts_once_and_names_what_happened() -> None:
    settings = settings_from({"loop": {"max_exploration_steps": 10}})
    states = [("s", NOVEL)] * 11 + [("s", {"emergency_override": True}), ("s", {"novelty": "x"})]
    result = run(settings, state_records(states))
    gain = sum(
        action.json()["completed_injection"]["creative_gain"]
        for action in result.out.actions
        if "completed_injection" in action.json()
    )
    assert result.tally == {
        "events": 13,
        "actions": 13,
        "metrics": 4,
        "dead_letters.state_invalid": 1,
        "sessions.created": 1,
        "transitions.exploring": 1,
        "transitions.recovering": 1,
        "transitions.emergency": 1,
        "explorations.constant": 1,
        "exploration_steps.constant": 10,
        "gain": gain,
        "gains.constant": gain,
    }
    assert result.fold.tally() == {}
    assert result.fold.figures() == {
        "sessions.stable": 0,
        "sessions.exploring": 0,
        "sessions.recovering": 0,
        "sessions.emergency": 1,
        "gain": gain,
        "explorations": 1,
        "models.trained": 0,
        "stream_time_ms": -1,
    }


def test_typed_and_generic_decoding_give_the_same_bytes() -> None:
    plain = state_records([("s", NOVEL), ("s", CALM), ("s", {"novelty": 2})] * 20)
    generic = state_records([("s", {**state, "temperature": "hot"}) for state in (NOVEL, CALM, {"novelty": 2})] * 20)
    assert run(Settings(), plain).out == run(Settings(), generic).out


def test_debug_mode_keeps_the_seeds_log_events_for_after_the_commit() -> None:
    settings = settings_from({"loop": {"debug": True, "max_exploration_steps": 10}})
    fold = run(settings, state_records([("s", NOVEL)] * 11)).fold
    entries = fold.diary()
    assert [name for name, _ in entries] == [
        "creative_mode_transition",
        "creative_exploration_started",
        "creative_injection_debug",
        "creative_mode_transition",
        "creative_exploration_completed",
    ]
    assert entries[0][1]["to_mode"] == "exploring"
    assert entries[2][1]["state"] == NOVEL
    assert entries[4][1]["duration"] == 10
    assert fold.diary() == []
    assert run(Settings(), state_records([("s", NOVEL)])).fold.diary() == ()


def test_log_events_are_bounded_where_nobody_reads_them_and_the_others_are_counted() -> None:
    settings = settings_from({"loop": {"debug": True}})
    urgent = [(f"s{number}", {"emergency_override": True}) for number in range(3000)]
    result = run(settings, state_records(urgent))
    assert len(result.fold.diary()) == 1000
    assert result.tally["diary_left_out"] == 2000
    assert result.fold.tally() == {}
