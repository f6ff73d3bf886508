"""Which profile: group, configured, selector, hints, automatic."""

from __future__ import annotations

from typing import Any

import pytest

from processor.loop.selection import automatic_choice
from tests.unit.loop.play import NOVEL, Play

CUSTOMS = "tests.unit.loop.customs"


@pytest.mark.parametrize(
    ("novelty", "volatility", "profile"),
    [
        (0.1, 0.7000000000000001, "exponential_decay"),
        (0.1, 0.7, "pulse"),
        (0.29999999999999993, 0.0, "pulse"),
        (0.3, 0.0, "constant"),
        (0.4, 0.0, "constant"),
        (0.4000000000000001, 0.0, "cosine_ramp"),
        (0.6999999999999999, 0.0, "cosine_ramp"),
        (0.7, 0.0, "constant"),
        (1.0, 0.0, "constant"),
    ],
)
def test_automatic_rule_is_strict_everywhere(novelty: float, volatility: float, profile: str) -> None:
    assert automatic_choice(novelty, volatility).profile == profile


@pytest.mark.parametrize(
    ("signals", "profile"),
    [
        ({"conversation_stalled": True, "temperature": 0.9, "user_comfort": 0.1}, "pulse"),
        ({"conversation_stalled": 1, "temperature": 0.9, "user_comfort": 0.1}, "exponential_decay"),
        ({"temperature": 0.8, "user_comfort": 0.49}, "cosine_ramp"),
        ({"temperature": 0.8, "user_comfort": 0.5}, "constant"),
        ({"temperature": "hot", "user_comfort": True}, "constant"),
        ({"temperature": float("inf"), "user_comfort": float("-inf")}, "constant"),
    ],
)
def test_hints_in_the_order_given_with_bad_values_absent(signals: dict[str, Any], profile: str) -> None:
    state = {**NOVEL, **signals}
    assert Play(profiles={"hints": True})(state)["profile"] == profile
    assert Play()(state)["profile"] == "constant"


def test_selector_decides_before_hints_and_sees_the_signals() -> None:
    play = Play(profiles={"selector": f"{CUSTOMS}:by_mood", "hints": True})
    assert play({**NOVEL, "mood": "restless", "temperature": 0.9})["profile"] == "pulse"


@pytest.mark.parametrize("selector", ["failing_selector", "unknown_selector", "unhashable_selector"])
def test_failing_selector_falls_back_to_constant_with_a_warning(selector: str) -> None:
    action = Play(profiles={"selector": f"{CUSTOMS}:{selector}"})({**NOVEL, "volatility": 0.9})
    assert (action["profile"], action["warnings"]) == ("constant", ["selector_error"])


def test_configured_profile_decides_before_the_selector() -> None:
    play = Play(profiles={"selection": "sinusoidal", "selector": f"{CUSTOMS}:by_mood"})
    assert play(NOVEL)["profile"] == "sinusoidal"


@pytest.mark.parametrize(
    ("experiment", "group"),
    [
        ({"mode": "ab", "treatment_share": 0.0}, "control"),
        ({"mode": "rollout", "enhancement_percentage": 0.0}, "default"),
    ],
)
def test_group_decides_before_the_configured_profile(experiment: dict[str, Any], group: str) -> None:
    action = Play(experiment=experiment, profiles={"selection": "pulse"})(NOVEL)
    assert action["profile"] == "constant"
    assert action["experiment"] == {"mode": experiment["mode"], "group": group}
