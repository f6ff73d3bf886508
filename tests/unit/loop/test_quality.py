"""The ridge model: exact sums, the documented fit rule, the same weights everywhere."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.loop.quality import ModelRules, QualityModel, predicted_gain
from tests.unit.loop.play import NOVEL, Play


def rules(**changes: float) -> ModelRules:
    values = {"min_samples": 3, "max_history": 8, "regularization": 0.01, "retrain_interval": 2} | changes
    return ModelRules(
        int(values["min_samples"]),
        int(values["max_history"]),
        values["regularization"],
        int(values["retrain_interval"]),
        None,
    )


def samples(count: int, seed: int = 1) -> list[tuple[list[float], float]]:
    draw = random.Random(seed)
    return [([draw.random() for _ in range(6)], draw.uniform(-1, 1)) for _ in range(count)]


def numpy_weights(
    window: list[tuple[list[float], float]], regularization: float, prior: list[float] | None = None
) -> list[float]:
    x = np.array([features for features, _ in window])
    y = np.array([gain for _, gain in window])
    right = x.T @ y + regularization * np.array(prior or [0.0] * 6)
    return list(np.linalg.solve(x.T @ x + regularization * np.eye(6), right))


def test_first_fit_at_min_samples_then_after_every_interval() -> None:
    model = QualityModel()
    setup = rules()
    fitted = [model.add(setup, *sample) for sample in samples(9)]
    assert fitted == [False, False, True, False, True, False, True, False, True]
    assert model.version == 4


@pytest.mark.parametrize("count", [3, 5, 7, 9, 25, 101])
def test_weights_solve_the_ridge_equations_of_the_last_max_history_samples(count: int) -> None:
    model = QualityModel()
    setup = rules()
    for sample in samples(count):
        model.add(setup, *sample)
    assert model.weights == pytest.approx(numpy_weights(samples(count)[-8:], 0.01), abs=1e-9)


def test_prior_weights_pull_the_solution() -> None:
    prior = [0.3, 0.4, -0.2, 0.5, 0.1, 0.05]
    setup = ModelRules(3, 8, 0.5, 2, prior)
    model = QualityModel()
    for sample in samples(3):
        model.add(setup, *sample)
    assert model.weights == pytest.approx(numpy_weights(samples(3), 0.5, prior), abs=1e-9)


def test_sums_of_a_window_are_exact_however_many_samples_have_left_it() -> None:
    setup = rules(max_history=20)
    rolled, fresh = QualityModel(), QualityModel()
    stream = samples(500, seed=7)
    for sample in stream:
        rolled.add(setup, *sample)
    for sample in stream[-20:]:
        fresh.add(setup, *sample)
    assert rolled.sums == fresh.sums


@given(st.permutations(range(12)))
def test_same_samples_in_any_order_give_the_same_weights(order: list[int]) -> None:
    setup = rules(min_samples=12, max_history=12)
    stream = samples(12)
    one, other = QualityModel(), QualityModel()
    for number in range(12):
        one.add(setup, *stream[number])
        other.add(setup, *stream[order[number]])
    assert one.weights == other.weights


@pytest.mark.parametrize("regularization", [1e-300, 1e-12, 0.01, 1e6])
def test_degenerate_samples_still_have_finite_weights(regularization: float) -> None:
    setup = rules(regularization=regularization)
    model = QualityModel()
    for _ in range(8):
        model.add(setup, [0.1, 0.1, 0.0, 0.3, 1.0, 0.0], 0.2)
    assert model.weights is not None
    assert all(map(math.isfinite, model.weights))


def test_prediction_is_clipped() -> None:
    x = [0.5, 0.5, 0.5, 0.5, 0.5, 0.5]
    assert predicted_gain([1, 1, 1, 1, 1, 1], x) == 1.0
    assert predicted_gain([-1, 0, 0, 0, 0, 0], x) == 0.0
    assert predicted_gain([0.5, 0, 0, 0, 0, 0], x) == 0.25


def test_copy_is_independent() -> None:
    setup = rules()
    model = QualityModel()
    for sample in samples(5):
        model.add(setup, *sample)
    twin = model.copy()
    twin.add(setup, *samples(1)[0])
    assert (model.count, twin.count) == (5, 6)
    assert model.samples != twin.samples


# In the loop


@pytest.mark.parametrize(
    ("weight", "multiplier"), [(0.1, 0.7), (0.12, 1.0), (0.5, 1.0), (0.6, 1.2), (-1.0, 0.7), (9.0, 1.2)]
)
def test_predicted_gain_adjusts_the_amplitude(weight: float, multiplier: float) -> None:
    play = Play(quality={"feature_weights": [weight, 0, 0, 0, 0, 0]})
    action = play(NOVEL)
    assert action["predicted_gain"] == pytest.approx(min(1.0, max(0.0, weight * 0.9)))
    assert action["entropy_factor"] == pytest.approx(action["base_factor"] * multiplier)


def test_thresholds_of_the_adjustment_are_strict() -> None:
    for weight in (0.1, 0.5):
        action = Play(quality={"feature_weights": [weight, 0, 0, 0, 0, 0]})(novelty=1.0)
        assert action["predicted_gain"] == weight
        assert action["entropy_factor"] == action["base_factor"]


def test_amplitude_is_clipped_after_the_adjustment() -> None:
    play = Play(quality={"feature_weights": [9, 0, 0, 0, 0, 0], "high_gain_multiplier": 50.0})
    assert play(NOVEL)["entropy_factor"] == 0.9
    low = Play(quality={"feature_weights": [-9, 0, 0, 0, 0, 0], "low_gain_multiplier": 0.0})
    assert low(NOVEL)["entropy_factor"] == 0.1


def test_without_a_model_the_prediction_is_null_and_nothing_is_adjusted() -> None:
    action = Play()(NOVEL)
    assert action["predicted_gain"] is None
    assert action["entropy_factor"] == action["base_factor"]


def test_sample_has_the_executed_amplitude_and_the_experience_before_the_decision() -> None:
    play = Play(
        loop={"max_exploration_steps": 10, "recovery_steps": 0},
        quality={"feature_weights": [9, 0, 0, 0, 0, 0], "min_samples": 2, "retrain_interval": 1},
    )
    ended = [a["completed_injection"] for a in play.times(60, NOVEL) if "completed_injection" in a]
    assert [one["features"][5] for one in ended[:4]] == [0.0, 0.01, 0.02, 0.03]
    assert [one["model_version"] for one in ended[:4]] == [0, 0, 1, 2]
    for one in ended:
        assert one["features"][:5] == [0.9, 0.6, 0.1, one["entropy_factor"], 1.0]
    model = play.session.model
    assert model is not None
    assert list(model.samples[:7]) == [*ended[0]["features"], ended[0]["creative_gain"]]


def test_experience_counts_a_hundred_explorations_at_most() -> None:
    play = Play(loop={"max_exploration_steps": 10, "recovery_steps": 0})
    play.session.completed = 250
    play(NOVEL)
    assert play.session.exploration is not None
    assert play.session.exploration.features[5] == 1.0
