"""The loop against its plain twin, over many configurations and long streams."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from processor.config import settings_from
from tests.unit.loop.plain_loop import PlainLoop
from tests.unit.loop.streams import (
    VECTOR_NAMES,
    Record,
    assert_same,
    run,
    vector_lines,
    vector_records,
    vector_settings,
)

PROFILES = ("constant", "cosine_ramp", "exponential_decay", "pulse", "sinusoidal")
EDGES = (0.0, 0.2, 0.3, 0.4, 0.5, 0.7, 0.8, 1.0, -0.1, 1.1, None, "x", True, 10**400, [0.5])


def configuration(draw: random.Random) -> dict[str, dict[str, Any]]:
    """Settings that make a lot happen in few events."""
    shortest = draw.randint(1, 12)
    sections: dict[str, dict[str, Any]] = {
        "loop": {
            "min_exploration_steps": shortest,
            "max_exploration_steps": shortest + draw.randint(0, 20),
            "recovery_steps": draw.randint(0, 4),
            "stable_patience_steps": draw.randint(0, 8),
            "prune_patience_steps": draw.randint(1, 3),
            "stability_threshold": draw.choice([0.0, 0.5, 0.8, 1.0]),
            "novelty_high": draw.choice([0.6, 0.7, 1.0]),
            "novelty_low": draw.choice([0.0, 0.2, 0.3]),
            "emergency_lambda_max": draw.choice([0.0, 0.08]),
            "emergency_exit_ratio": draw.choice([0.0, 0.5, 1.0]),
            "performance_weights": draw.choice([[0.5, 0.5, 0.0], [0.2, 0.5, 0.3]]),
        },
        "quality": {
            "scope": draw.choice(["session", "shared"]),
            "min_samples": draw.randint(1, 4),
            "max_history": draw.randint(4, 30),
            "retrain_interval": draw.randint(1, 4),
            "regularization": draw.choice([0.01, 0.1, 1.0]),
        },
        "profiles": {
            "selection": draw.choice(["auto", "auto", "auto", *PROFILES]),
            "params_mode": draw.choice(["static", "adaptive"]),
            "hints": draw.random() < 0.5,
            "params": {"pulse": {"frequency": 1.5}} if draw.random() < 0.3 else {},
        },
        "streaming": {
            "interval_steps": draw.choice([0, 1, 3, 10]),
            "trend_window": draw.choice([2, 5, 16, 100]),
            "include_history": draw.random() < 0.3,
            "include_predictions": draw.random() < 0.7,
        },
        "experiment": {
            "mode": draw.choice(["off", "off", "ab", "rollout"]),
            "salt": "s",
            "enhancement_percentage": 0.5,
        },
    }
    if draw.random() < 0.4:
        sections["quality"]["feature_weights"] = [draw.uniform(-1, 1) for _ in range(6)]
    return sections


def state(draw: random.Random) -> Any:
    if draw.random() < 0.01:
        return draw.choice([[], "state", 3, None])

    def score() -> Any:
        return draw.choice(EDGES) if draw.random() < 0.08 else round(draw.random(), 6)

    found: dict[str, Any] = {"aesthetic_score": score(), "volatility": score()}
    found[draw.choice(["novelty", "novelty", "novelty_score"])] = score()
    found["lambda_max"] = draw.choice([0.0, 0.03, 0.04, 0.05, 0.08, 0.09] if draw.random() < 0.1 else [0.01])
    for name, share, values in (
        ("emergency_override", 0.02, [True, False, None, 1, "yes"]),
        ("force_inject", 0.05, [True, False, 1]),
        ("conversation_stalled", 0.1, [True, "true"]),
        ("temperature", 0.2, [0.8, 0.9, "hot", None, True]),
        ("user_comfort", 0.2, [0.4, 0.5, [1]]),
        ("user_id", 0.3, ["u1", 7, 2.5, True, None]),
        ("anything", 0.1, [{"nested": 1}, "text", 3]),
    ):
        if draw.random() < share:
            found[name] = draw.choice(values)
    return found


def assert_twins_agree(plain: PlainLoop, records: list[Record], produced: Any) -> None:
    actions, metrics = iter(produced.actions), iter(produced.metrics)
    for record in records:
        event = json.loads(record.value or b"")
        action, metric = plain.update(event["session_id"], event["state"], event.get("timestamp"))
        found = next(actions).json()
        if "error" in action:
            found["error"] = "refused"
        assert_same(found, action, f"action at {record.offset}")
        if metric is not None:
            assert_same(next(metrics).json(), metric, f"metric at {record.offset}")
    assert next(actions, None) is None
    assert next(metrics, None) is None


@pytest.mark.parametrize("seed", range(40))
def test_loop_agrees_with_its_plain_twin(seed: int) -> None:
    draw = random.Random(seed)
    settings = settings_from(configuration(draw))
    records = []
    for offset in range(500):
        event: dict[str, Any] = {"session_id": draw.choice("abc"), "state": state(draw)}
        if draw.random() < 0.8:
            event["timestamp"] = f"t{offset}"
        records.append(Record(json.dumps(event).encode(), offset))
    result = run(settings, records, sorted(draw.sample(range(500), 5)), restart_at_cuts=seed % 2 == 0)
    assert_twins_agree(PlainLoop(settings), records, result.out)


@pytest.mark.parametrize("name", [name for name in VECTOR_NAMES if name not in ("edges", "learn")])
def test_plain_twin_gives_the_vectors_actions_too(name: str) -> None:
    plain = PlainLoop(vector_settings(name))
    for record, expected in zip(vector_records(name), vector_lines(name, "actions"), strict=True):
        event = json.loads(record.value or b"")
        action, _ = plain.update(event["session_id"], event["state"], event["timestamp"])
        assert_same(action, expected, f"offset {record.offset}")
