"""Actions and metrics: absent keys are absent, and the types hold everything the vectors show."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import tests
from schemas.actions import Action
from schemas.codec import decode_action, decode_metric, encode, encode_json, encode_msgpack
from schemas.metrics import Metric, PerformanceTrend

VECTORS = Path(tests.__file__).parent / "vectors"
STREAMS = ("default", "short", "edges", "learn", "fixed")


def lines(stream: str, kind: str) -> list[bytes]:
    found = (VECTORS / f"{stream}.{kind}.jsonl").read_bytes().splitlines()
    assert found
    return found


@pytest.mark.parametrize("stream", STREAMS)
def test_every_expected_action_fits_the_types_without_loss(stream: str) -> None:
    for line in lines(stream, "actions"):
        action = decode_action(line)
        assert json.loads(encode(action)) == json.loads(line)
        assert decode_action(encode(action, msgpack=True), msgpack=True) == action


@pytest.mark.parametrize("stream", STREAMS)
def test_every_expected_metric_fits_the_types_without_loss(stream: str) -> None:
    for line in lines(stream, "metrics"):
        metric = decode_metric(line)
        assert json.loads(encode(metric)) == json.loads(line)
        assert decode_metric(encode(metric, msgpack=True), msgpack=True) == metric


def test_absent_keys_are_absent() -> None:
    action = Action(session_id="s", action="maintain", mode="stable", steps_in_mode=1, step=1)
    assert json.loads(encode_json(action)) == {
        "session_id": "s",
        "action": "maintain",
        "mode": "stable",
        "steps_in_mode": 1,
        "step": 1,
    }
    metric = Metric(
        session_id="s",
        mode="stable",
        steps_in_mode=1,
        cumulative_gain=0.0,
        performance_trend=PerformanceTrend(novelty=0.0, aesthetic=0.0),
        stream_sequence=0,
    )
    assert None not in json.loads(encode_json(metric)).values()


def test_a_prediction_may_be_null() -> None:
    action = Action(
        session_id="s", action="inject_entropy", mode="exploring", steps_in_mode=0, step=1, predicted_gain=None
    )
    assert json.loads(encode_json(action))["predicted_gain"] is None
    assert decode_action(encode_msgpack(action), msgpack=True).predicted_gain is None


def test_floats_keep_every_bit() -> None:
    for number in (0.1 + 0.2, 5e-324, 1.7976931348623157e308, 0.6185630819327521):
        action = Action(
            session_id="s", action="recover", mode="recovering", steps_in_mode=0, step=1, current_factor=number
        )
        assert decode_action(encode_json(action)).current_factor == number
        assert decode_action(encode_msgpack(action), msgpack=True).current_factor == number
