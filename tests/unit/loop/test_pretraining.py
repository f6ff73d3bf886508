"""History that becomes samples before the first event."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from processor.config import settings_from
from processor.errors import ConfigError
from processor.loop.pretraining import parse_pretraining, read_pretraining
from processor.loop.rules import Rules
from tests.unit.loop.streams import run, state_records


def rules(**quality: Any) -> Rules:
    return Rules(settings_from({"quality": quality}))


def record(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "initial_state": {"novelty": 0.05 * number, "aesthetic_score": 0.4, "volatility": 0.1},
        "entropy_factor": 0.3 + 0.01 * number,
        "duration": 20 + number,
        "final_performance": 0.5,
    } | changes


def history(*groups: dict[str, Any]) -> bytes:
    return json.dumps(list(groups)).encode()


def test_record_becomes_a_sample_without_experience() -> None:
    content = json.dumps({"session_id": "s", "records": [record(4, creative_gain=0.07)]}).encode()
    model = parse_pretraining(rules(), content, "f").model("s")
    assert model is not None
    assert list(model.samples) == pytest.approx([0.2, 0.4, 0.1, 0.34, 24 / 200, 0.0, 0.07])


def test_absent_gain_is_final_performance_minus_that_of_the_initial_state() -> None:
    content = history({"session_id": "s", "records": [record(4)]})
    model = parse_pretraining(rules(), content, "f").model("s")
    assert model is not None
    assert model.samples[6] == pytest.approx(0.5 - (0.5 * 0.2 + 0.5 * 0.4))


def test_initial_state_is_clamped_and_defaulted_while_the_rest_is_taken_as_given() -> None:
    odd = record(4, initial_state={"novelty": 3}, entropy_factor=1.7, duration=900)
    model = parse_pretraining(rules(), history({"session_id": "s", "records": [odd]}), "f").model("s")
    assert model is not None
    assert list(model.samples[:6]) == [1.0, 0.5, 0.0, 1.7, 4.5, 0.0]


def test_samples_are_added_one_at_a_time_under_the_fit_rule() -> None:
    content = history({"session_id": "s", "records": [record(number) for number in range(20)]})
    model = parse_pretraining(rules(min_samples=5, retrain_interval=3, max_history=7), content, "f").model("s")
    assert model is not None
    assert (model.count, model.version) == (20, 6)


def test_models_are_those_of_the_sessions_named_and_independent() -> None:
    content = history(
        {"session_id": "a", "records": [record(1)]},
        {"records": [record(2), record(3)]},
        {"session_id": "a", "records": [record(4)]},
    )
    pretraining = parse_pretraining(rules(), content, "f")
    first, again, shared = pretraining.model("a"), pretraining.model("a"), pretraining.model(None)
    assert first is not None
    assert again is not None
    assert shared is not None
    assert first is not again
    assert (first.count, shared.count) == (2, 2)
    assert pretraining.model("b") is None


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"{", "not JSON"),
        (b"3", "object with a list of records"),
        (b'{"session_id": 3, "records": []}', "session_id must be text"),
        (history({"records": [3]}), "record 0: must be an object"),
        (history({"records": [record(1), record(2, duration="x")]}), "record 1: duration"),
        (history({"records": [record(1, entropy_factor=None)]}), "entropy_factor"),
        (history({"records": [record(1, final_performance=None)]}), "final_performance"),
        (history({"records": [record(1, initial_state={"novelty": "x"})]}), "novelty"),
        (history({"records": [record(1, initial_state=None)]}), "initial_state"),
        (history({"records": [record(1, creative_gain=1e300)]}), "creative_gain"),
    ],
)
def test_unusable_history_is_one_line_that_names_the_place(content: bytes, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint) as caught:
        parse_pretraining(rules(), content, "history.json")
    assert "\n" not in str(caught.value)
    assert "history.json" in str(caught.value)


def test_missing_file_is_a_configuration_error() -> None:
    with pytest.raises(ConfigError, match="no-such-file"):
        read_pretraining(rules(pretrain_file="no-such-file.json"))


@pytest.mark.parametrize("scope", ["session", "shared"])
def test_pretrained_model_predicts_at_the_first_injection_and_survives_a_restart(tmp_path: Path, scope: str) -> None:
    path = tmp_path / "history.json"
    group: dict[str, Any] = {"records": [record(number, creative_gain=0.9) for number in range(20)]}
    if scope == "session":
        group["session_id"] = "a"
    path.write_bytes(history(group))
    settings = settings_from(
        {"quality": {"scope": scope, "pretrain_file": str(path)}, "loop": {"max_exploration_steps": 20}}
    )
    states = [(name, {"novelty": 0.9, "aesthetic_score": 0.5}) for _ in range(60) for name in ("a", "b")]
    records = state_records(states)
    whole = run(settings, records)
    first_a, first_b = (produced.json() for produced in whole.out.actions[:2])
    assert first_a["predicted_gain"] > 0.1
    assert (first_b["predicted_gain"] is None) == (scope == "session")
    torn = run(settings, records, range(1, len(records)), restart_at_cuts=True)
    assert torn.out == whole.out
    assert torn.changelog == whole.changelog
