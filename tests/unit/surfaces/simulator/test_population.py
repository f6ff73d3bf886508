"""Many sessions: events, imperfections, interleaving."""

from __future__ import annotations

import json
from collections import Counter
from itertools import islice

import pytest

from processor.config import Settings, settings_from
from processor.errors import ConfigError
from processor.surfaces.folds import partition_fold
from processor.surfaces.replay import Line
from processor.surfaces.simulator.closed_loop import closed_loop_values, hear
from processor.surfaces.simulator.events import IMPERFECTIONS
from processor.surfaces.simulator.families import FAMILIES
from processor.surfaces.simulator.population import Population, families_named
from processor.surfaces.simulator.sending import spoken

SHORT = settings_from({"loop": {"max_exploration_steps": 12, "recovery_steps": 4, "stable_patience_steps": 5}})


def values_of(population: Population, session_id: str, turns: int) -> list[bytes]:
    key = session_id.encode()
    return [value for _ in range(turns) for record_key, value in population.turn() if record_key == key]


def test_a_session_lives_the_same_life_in_any_company() -> None:
    alone = Population(1, seed=5, imperfections=0.3)
    among_many = Population(7, seed=5, imperfections=0.3)
    assert values_of(alone, "sim-00000", 50) == values_of(among_many, "sim-00000", 350)


def test_events_are_numbered_without_gaps_and_timed_by_their_step() -> None:
    population = Population(2, seed=1)
    events = [json.loads(value) for value in values_of(population, "sim-00001", 40)]
    assert [event["sequence"] for event in events] == list(range(20))
    assert events[0]["timestamp"] == "2026-01-01T00:00:00.000Z"
    assert events[15]["timestamp"] == "2026-01-01T00:00:01.500Z"


def test_without_imperfections_every_turn_is_one_whole_event() -> None:
    population = Population(3, seed=1)
    for _ in range(60):
        [(_, value)] = population.turn()
        assert set(json.loads(value)["state"]) == {"novelty", "aesthetic_score", "volatility", "lambda_max"}


class Seen:
    def __init__(self) -> None:
        self.actions: list[dict[str, object]] = []
        self.codes: Counter[str] = Counter()

    def action(self, key: bytes | None, value: bytes, headers: object) -> None:
        self.actions.append(json.loads(value))

    def metric(self, key: bytes | None, value: bytes, headers: object) -> None: ...

    def dead_letter(self, key: bytes | None, value: bytes | None, headers: list[tuple[str, bytes]]) -> None:
        self.codes[dict(headers)["error.code"].decode()] += 1


def test_imperfections_reach_every_promise_of_the_processor() -> None:
    population = Population(8, seed=1, imperfections=0.5)
    fold, seen = partition_fold(SHORT, 0), Seen()
    lines = [Line(i, value) for i, (_, value) in enumerate(islice(spoken(population), 4000))]
    fold.process(lines, seen)
    assert set(seen.codes) == {"not_decodable", "state_invalid"}
    assert fold.tally()["duplicates"] > 50
    reasons = {action.get("reason") for action in seen.actions}
    warnings = {warning for action in seen.actions for warning in action.get("warnings", ())}  # type: ignore[attr-defined]
    assert {"emergency_override", "lambda_max", "forced"} <= reasons
    assert {"novelty_clamped", "novelty_missing"} <= warnings


def test_imperfections_leave_the_dynamics_alone() -> None:
    """A session with imperfections moves like one without: only what is sent differs."""

    def states(imperfections: float) -> dict[int, object]:
        population = Population(1, seed=9, imperfections=imperfections)
        found: dict[int, object] = {}
        for _ in range(100):
            event = json.loads(population.turn()[-1][1])
            found[event["sequence"]] = event["state"]["aesthetic_score"]
        return found

    assert states(0.0) == states(0.4)


def test_share_of_imperfect_steps_is_the_one_asked_for() -> None:
    plain, flawed = Population(50, seed=3), Population(50, seed=3, imperfections=0.2)
    different = sum(plain.turn() != flawed.turn() for _ in range(5000))
    assert 0.17 < different / 5000 < 0.23
    assert len(IMPERFECTIONS) == 8


def test_entropy_is_heard_by_its_session_only() -> None:
    population, other = Population(2, seed=1), Population(2, seed=1)
    hear(population, b'{"session_id": "sim-00000", "current_factor": 0.9}')
    hear(population, b'{"session_id": "somebody else", "current_factor": 0.9}')
    for _ in range(10):
        assert (population.turn() == other.turn()) is False
        assert population.turn() == other.turn()


def test_answer_to_a_refused_event_leaves_the_entropy_in_force() -> None:
    population, other = Population(1, seed=1), Population(1, seed=1)
    for each in (population, other):
        hear(each, b'{"session_id": "sim-00000", "current_factor": 0.9}')
    hear(population, b'{"session_id": "sim-00000", "action": "maintain", "error": "novelty"}')
    assert [population.turn() for _ in range(5)] == [other.turn() for _ in range(5)]


def closed(seed: int, settings: Settings, events: int) -> list[bytes]:
    population = Population(6, seed, imperfections=0.05)
    return list(islice(closed_loop_values(population, partition_fold(settings, 0)), events))


def test_closed_loop_bytes_depend_on_seed_and_settings_only() -> None:
    assert closed(1, SHORT, 1500) == closed(1, SHORT, 1500)
    assert closed(1, SHORT, 1500) != closed(2, SHORT, 1500)
    assert closed(1, SHORT, 1500) != closed(1, Settings(), 1500)


def test_closed_loop_explores_and_its_sessions_answer() -> None:
    """The same population without answers moves otherwise from the first injection on."""
    population = Population(6, 1, imperfections=0.05)
    deaf = [value for _, value in islice(spoken(population), 1500)]
    heard = closed(1, SHORT, 1500)
    first = next(i for i, (one, other) in enumerate(zip(deaf, heard, strict=True)) if one != other)
    assert first > 5


def test_families_are_dealt_round_and_unknown_ones_refused() -> None:
    names = ["deep", "inert"]
    population = Population(4, 1, families=families_named(names))
    assert [population.family_of(f"sim-{i:05d}") for i in range(4)] == names * 2
    assert families_named([]) == list(FAMILIES.values())
    with pytest.raises(ConfigError, match="'flat' is unknown: choose from moderate, deep"):
        families_named(["flat"])
