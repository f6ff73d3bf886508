"""The fold's figures are kept as it goes, and are what counting everything again gives."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from processor.config import Settings, settings_from
from processor.loop.partition import PartitionFold
from processor.loop.session import MODES
from tests.unit.loop.streams import (
    VECTOR_NAMES,
    Collected,
    Record,
    apply_changes,
    restored,
    state_records,
    vector_records,
    vector_settings,
)

BATCH = 97


def counted(fold: PartitionFold) -> dict[str, Any]:
    """Everything counted again."""
    sessions = fold.sessions.values()
    shared = fold.shared_model
    models = [session.model for session in sessions] if shared is None else [shared]
    return {
        **{f"sessions.{mode}": sum(session.mode == mode for session in sessions) for mode in MODES},
        "gain": pytest.approx(sum(session.cumulative_gain for session in sessions), abs=1e-9),
        "explorations": sum(session.completed for session in sessions),
        "models.trained": sum(model is not None and model.weights is not None for model in models),
        "stream_time_ms": fold.stream_time_ms,
    }


def follow(settings: Settings, records: list[Record]) -> set[str]:
    """Compare after every batch, as it goes and restored; returns the figures that were ever above 0."""
    fold, changelog = PartitionFold(settings, "tori.state", 3), dict[bytes, bytes]()
    moved: set[str] = set()
    for start in range(0, len(records), BATCH):
        fold.process(records[start : start + BATCH], Collected())
        assert fold.figures() == counted(fold)
        moved.update(name for name, value in fold.figures().items() if value > 0)
        apply_changes(changelog, fold.changes())
        again = restored(settings, changelog, fold.marks())
        assert again.figures() == counted(again)
        assert again.figures() == {**fold.figures(), "gain": pytest.approx(fold.figures()["gain"], abs=1e-9)}
    return moved


@pytest.mark.parametrize("name", VECTOR_NAMES)
def test_figures_are_what_counting_again_gives(name: str) -> None:
    assert follow(vector_settings(name), vector_records(name))


@pytest.mark.parametrize("scope", ["session", "shared"])
def test_sessions_that_expire_take_their_figures_along(scope: str) -> None:
    settings = settings_from(
        {
            "engine": {"session_ttl": "1s"},
            "loop": {"min_exploration_steps": 2, "max_exploration_steps": 4, "recovery_steps": 2},
            "quality": {"scope": scope, "min_samples": 2},
        }
    )
    dice = Random(7)

    def state() -> dict[str, Any]:
        return {
            "novelty": dice.random(),
            "aesthetic_score": dice.random(),
            "volatility": dice.random(),
            "emergency_override": dice.random() < 0.02,
        }

    records = state_records((f"s{dice.randrange(40)}", state()) for _ in range(4_000))
    time_ms = 0
    for record in records:
        time_ms += dice.choice((1, 5, 20, 120))
        record.timestamp = time_ms
    moved = follow(settings, records)
    assert moved == {
        *(f"sessions.{mode}" for mode in MODES),
        "gain",
        "explorations",
        "models.trained",
        "stream_time_ms",
    }
