"""What the loop costs: a step, a prediction, a fit, the whole fold.

Run with ``pytest tests/bench --benchmark-enable``. Time is this process's CPU time, and the limits hold for the mean
per event of the best round: neighbours on a shared machine only ever add to it.
"""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from itertools import islice
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from processor.config import Settings
from processor.loop.partition import PartitionFold
from processor.loop.quality import ModelRules, QualityModel, predicted_gain, ridge_weights
from processor.loop.rules import Rules
from processor.loop.session import Session
from processor.loop.step import FeedbackLoop
from processor.surfaces.folds import partition_fold
from processor.surfaces.simulator.closed_loop import closed_loop_values
from processor.surfaces.simulator.population import Population
from schemas.events import StateEvent, decode_event
from tests.unit.loop.streams import Record

SESSIONS = 250  # 2,000 sessions over 8 partitions
EVENTS = 30_000
BATCH = 2_000

pytestmark = pytest.mark.benchmark(timer=time.process_time)

MICROSECOND = 1e-6
MAX_STEP_S = 4 * MICROSECOND
MAX_PREDICTION_S = 5 * MICROSECOND
MAX_FIT_S = 1e-3
MAX_FOLD_S = 8 * MICROSECOND


class Discarded:
    """An outbox nobody reads."""

    def action(self, key: bytes | None, value: bytes, headers: list[tuple[str, bytes]]) -> None: ...
    def metric(self, key: bytes | None, value: bytes, headers: list[tuple[str, bytes]]) -> None: ...
    def dead_letter(self, key: bytes | None, value: bytes | None, headers: list[tuple[str, bytes]]) -> None: ...


@pytest.fixture(scope="module")
def records() -> list[Record]:
    """A closed stream: every state answers to the actions before it."""
    values = closed_loop_values(Population(SESSIONS, seed=5), partition_fold(Settings(), 0))
    return [Record(value, offset, 1_760_000_000_000 + offset) for offset, value in enumerate(islice(values, EVENTS))]


def best_s(benchmark: BenchmarkFixture, calls: int) -> float | None:
    """Seconds per call in the best round; None where benchmarks are switched off and only correctness is run."""
    if benchmark.disabled:
        return None
    stats: Any = benchmark.stats
    return float(stats["min"]) / calls


def test_step_of_a_closed_stream(benchmark: BenchmarkFixture, records: Sequence[Record]) -> None:
    events = [decode_event(record.value, None) for record in records]

    def fresh() -> tuple[tuple[Any, list[Session]], dict[str, Any]]:
        sessions = {event.session_id: Session(event.session_id) for event in events}
        return (FeedbackLoop(Rules(Settings())).step, [sessions[event.session_id] for event in events]), {}

    def run(step: Any, sessions: Sequence[Session]) -> StateEvent:
        for session, event in zip(sessions, events, strict=True):
            step(session, event)
        return event

    rounds: Any = benchmark.pedantic
    rounds(run, setup=fresh, rounds=15)
    cost_s = best_s(benchmark, len(events))
    assert cost_s is None or cost_s <= MAX_STEP_S


def test_fold_from_bytes_to_bytes_with_its_state_changes(
    benchmark: BenchmarkFixture, records: Sequence[Record]
) -> None:
    out = Discarded()

    def fresh() -> tuple[tuple[PartitionFold], dict[str, Any]]:
        return (PartitionFold(Settings(), "tori.state", 0),), {}

    def run(fold: PartitionFold) -> int:
        changed = 0
        for start in range(0, len(records), BATCH):
            fold.process(records[start : start + BATCH], out)
            changed += len(list(fold.changes()))
            fold.marks()
        return changed

    rounds: Any = benchmark.pedantic
    assert rounds(run, setup=fresh, rounds=15) >= SESSIONS
    cost_s = best_s(benchmark, len(records))
    assert cost_s is None or cost_s <= MAX_FOLD_S


def trained_model() -> tuple[ModelRules, QualityModel]:
    draw = random.Random(3)
    rules = ModelRules(20, 500, 0.01, 10, None)
    model = QualityModel()
    for _ in range(500):
        model.add(rules, [draw.random() for _ in range(6)], draw.uniform(-0.5, 0.5))
    return rules, model


def test_prediction(benchmark: BenchmarkFixture) -> None:
    _, model = trained_model()
    assert model.weights is not None
    features = (0.5, 0.6, 0.1, 0.5, 0.7, 0.2)
    assert 0.0 <= benchmark(predicted_gain, model.weights, features) <= 1.0
    cost_s = best_s(benchmark, 1)
    assert cost_s is None or cost_s <= MAX_PREDICTION_S


def test_fit_of_500_samples(benchmark: BenchmarkFixture) -> None:
    rules, model = trained_model()
    assert model.sums is not None
    assert benchmark(ridge_weights, model.sums, rules.regularization, rules.prior) == model.weights
    cost_s = best_s(benchmark, 1)
    assert cost_s is None or cost_s <= MAX_FIT_S


def test_restored_model_sums_500_samples_anew(benchmark: BenchmarkFixture) -> None:
    rules, model = trained_model()

    def run() -> QualityModel:
        twin = model.copy()  # as after a restore: samples known, sums not
        twin.add(rules, (0.5,) * 6, 0.1)
        return twin

    model.add(rules, (0.5,) * 6, 0.1)
    expected = model.sums
    model = trained_model()[1]
    assert benchmark(run).sums == expected
