"""Groups: repeatable, fixed by the first valid event."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from processor.loop.experiment import position, unit_of
from tests.unit.loop.play import NOVEL, Play


def test_position_is_the_documented_hash() -> None:
    digest = hashlib.blake2b(b"pepper:u1", digest_size=64).digest()
    assert position("pepper", "u1") == int.from_bytes(digest[:8], "big") / 2**64
    assert position("", "ü") == int.from_bytes(hashlib.blake2b(":ü".encode()).digest()[:8], "big") / 2**64


def test_positions_spread_evenly() -> None:
    below = sum(position("salt", f"user{number}") < 0.3 for number in range(10_000))
    assert 2_850 < below < 3_150


@pytest.mark.parametrize(
    ("user_id", "unit"),
    [
        ("u1", "u1"),
        ("", ""),
        (None, "session"),
        (7, "7"),
        (7.5, "7.5"),
        (True, "true"),
        ([1, "a"], '[1, "a"]'),
        (b"\xff", "session"),
    ],
)
def test_unit_is_the_user_or_its_json_text_or_the_session(user_id: Any, unit: str) -> None:
    assert unit_of(user_id, "session") == unit


def test_group_is_fixed_by_the_first_valid_event() -> None:
    low, high = sorted(("a", "b", "c"), key=lambda unit: position("", unit))[::2]
    share = (position("", low) + position("", high)) / 2
    play = Play(experiment={"mode": "ab", "treatment_share": share})
    assert "experiment" not in play(user_id=high, novelty="broken")
    assert play(user_id=low)["experiment"] == {"mode": "ab", "group": "treatment"}
    assert play(user_id=high)["experiment"] == {"mode": "ab", "group": "treatment"}
    assert play(emergency_override=True)["experiment"]["group"] == "treatment"


@pytest.mark.parametrize(
    ("mode", "share_key", "inside", "outside"),
    [
        ("ab", "treatment_share", "treatment", "control"),
        ("rollout", "enhancement_percentage", "enhanced", "default"),
    ],
)
def test_share_is_strict_and_splits_at_the_units_position(mode: str, share_key: str, inside: str, outside: str) -> None:
    u = position("", "s")
    assert Play(experiment={"mode": mode, share_key: u})()["experiment"]["group"] == outside
    above = min(1.0, u + 1e-9)
    assert Play(experiment={"mode": mode, share_key: above})()["experiment"]["group"] == inside


def test_rollout_default_predicts_the_default_and_still_teaches_the_model() -> None:
    play = Play(
        loop={"max_exploration_steps": 10},
        quality={"feature_weights": [1, 1, 1, 1, 1, 1]},
        experiment={"mode": "rollout", "enhancement_percentage": 0.0},
    )
    action = play({**NOVEL, "volatility": 0.9})
    assert action["predicted_gain"] == 0.3
    assert action["entropy_factor"] == action["base_factor"]
    assert action["profile"] == "constant"
    play.times(10, NOVEL)
    assert play.session.model is not None
    assert play.session.model.count == 1


def test_ab_control_keeps_the_model_and_loses_the_profile() -> None:
    play = Play(quality={"feature_weights": [1, 1, 1, 1, 1, 1]}, experiment={"mode": "ab", "treatment_share": 0.0})
    action = play({**NOVEL, "volatility": 0.9})
    assert action["profile"] == "constant"
    assert action["predicted_gain"] == 1.0
    assert action["entropy_factor"] > action["base_factor"]


def test_without_an_experiment_nothing_is_said_of_one() -> None:
    assert "experiment" not in Play()(user_id="u1")
