"""The whole loop under faults: sessions, models, histories and expiry come back as if nothing had happened."""

from __future__ import annotations

from random import Random
from typing import Any

import msgspec
import pytest

from processor.config import load_settings
from processor.engine.ports import Fold
from processor.surfaces.folds import partition_fold
from tests.simulation.simulation import Plan, simulate

# Short explorations and small windows change much state; sessions expire within the run.
SMALL = {
    "loop.max_exploration_steps": 12,
    "loop.recovery_steps": 3,
    "loop.stable_patience_steps": 6,
    "quality.min_samples": 4,
    "quality.max_history": 30,
    "quality.retrain_interval": 2,
    "streaming.interval_steps": 5,
    "engine.session_ttl": "1s",
}

VARIANTS: dict[str, dict[str, Any]] = {
    "a model per session": {},
    "a shared model": {"quality.scope": "shared"},
    "history and experiment": {"streaming.include_history": True, "experiment.mode": "ab", "engine.session_ttl": "7d"},
}


def event(sequence: int, random: Random) -> bytes:
    """A state event; now and then its numbers are refused."""
    state: dict[str, object] = {
        "novelty": round(random.random(), 3),
        "aesthetic_score": round(random.random(), 3),
        "volatility": round(random.random(), 3),
        "lambda_max": round(random.random() * 0.082, 4),
    }
    if random.random() < 0.02:
        state["novelty"] = "high"
    return msgspec.json.encode({"sequence": sequence, "state": state})


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("variant", VARIANTS)
def test_the_loops_output_and_state_are_the_replays(variant: str, seed: int) -> None:
    settings = load_settings(None, {}, {**SMALL, **VARIANTS[variant]})

    def fold(partition: int) -> Fold:
        return partition_fold(settings, partition)

    report = simulate(Plan(seed, events=2_500, fold=fold, replay=fold, value=event))
    assert report.violations == []
    assert report.events >= 2_000
