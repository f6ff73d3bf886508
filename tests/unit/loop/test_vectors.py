"""The vectors: streams with the output an independent implementation gives, line by line."""

from __future__ import annotations

import msgspec
import pytest

from processor.loop.intake import StateRefused
from processor.loop.pretraining import read_pretraining
from processor.loop.quality import QualityModel
from processor.loop.rules import Rules
from processor.loop.session import Session
from processor.loop.step import FeedbackLoop
from schemas.errors import InvalidRecord
from schemas.events import decode_event
from tests.unit.loop.streams import (
    VECTOR_NAMES,
    Record,
    assert_same,
    run,
    vector_lines,
    vector_records,
    vector_settings,
)


@pytest.mark.parametrize("name", VECTOR_NAMES)
@pytest.mark.parametrize("batch", [1, 97, 10_000])
def test_fold_gives_the_vectors_output_whatever_the_batch(name: str, batch: int) -> None:
    records = vector_records(name)
    result = run(vector_settings(name), records, range(batch, len(records), batch))
    actions = [produced.json() for produced in result.out.actions]
    expected_actions = list(vector_lines(name, "actions"))
    assert len(actions) == len(expected_actions)
    for number, (found, expected) in enumerate(zip(actions, expected_actions, strict=True)):
        if "error" in expected:
            assert found.pop("error")
            del expected["error"]
        assert_same(found, expected, f"action {number}")
    metrics = [produced.json() for produced in result.out.metrics]
    expected_metrics = list(vector_lines(name, "metrics"))
    assert len(metrics) == len(expected_metrics)
    for number, (found, expected) in enumerate(zip(metrics, expected_metrics, strict=True)):
        assert_same(found, expected, f"metric {number}")


@pytest.mark.parametrize("name", VECTOR_NAMES)
def test_fold_restored_after_every_batch_gives_the_same_bytes(name: str) -> None:
    records = vector_records(name)
    settings = vector_settings(name)
    whole = run(settings, records)
    torn = run(settings, records, range(61, len(records), 61), restart_at_cuts=True)
    assert torn.out == whole.out
    assert torn.changelog == whole.changelog
    assert torn.marks == whole.marks


@pytest.mark.parametrize("name", VECTOR_NAMES)
@pytest.mark.parametrize("want_signals", [False, True])
def test_step_gives_the_vectors_actions_on_both_decoding_paths(name: str, want_signals: bool) -> None:
    settings = vector_settings(name)
    rules = Rules(settings)
    pretraining = read_pretraining(rules)
    shared = QualityModel() if settings.quality.scope == "shared" else None
    loop = FeedbackLoop(rules, shared)
    sessions: dict[str, Session] = {}
    expected_actions = vector_lines(name, "actions")
    for record in vector_records(name):
        try:
            event = decode_event(record.value, None, want_signals=want_signals)
        except InvalidRecord:
            continue
        session = sessions.get(event.session_id)
        if session is None:
            session = Session(event.session_id)
            session.model = pretraining.model(event.session_id)
        if event.sequence is not None and event.sequence <= session.last_sequence:
            continue
        try:
            action, _ = loop.step(session, event)
        except StateRefused as error:
            action = loop.refusal(sessions.get(event.session_id), event, str(error))
        else:
            sessions[event.session_id] = session
            session.last_sequence = session.last_sequence if event.sequence is None else event.sequence
        found = msgspec.to_builtins(action)
        expected = next(expected_actions)
        if "error" in expected:
            del expected["error"], found["error"]
        assert_same(found, expected, f"offset {record.offset}")
    assert next(expected_actions, None) is None


@pytest.mark.parametrize("name", ["default", "edges", "learn"])
def test_messagepack_gives_the_same_output_as_json(name: str) -> None:
    settings = vector_settings(name)
    decodable = []
    for record in vector_records(name):
        try:
            event = msgspec.json.decode(record.value or b"")
            msgspec.msgpack.encode(event)
        except (msgspec.DecodeError, OverflowError):
            continue  # NaN and integers beyond 64 bits exist in one of the formats only
        decodable.append((record.offset, event))
    as_json = [Record(msgspec.json.encode(event), offset) for offset, event in decodable]
    header = ("content-type", b"application/msgpack")
    as_msgpack = [Record(msgspec.msgpack.encode(event), offset, headers=(header,)) for offset, event in decodable]
    expected, found = run(settings, as_json), run(settings, as_msgpack)
    for kind in ("actions", "metrics"):
        pairs = zip(getattr(found.out, kind), getattr(expected.out, kind), strict=True)
        for packed, plain in pairs:
            assert packed.key == plain.key
            assert header in packed.headers
            assert msgspec.msgpack.decode(packed.value) == plain.json()
    assert found.changelog == expected.changelog
