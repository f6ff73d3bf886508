"""The suite sees: without its rule the engine loses, repeats or tears something, and the replay says so."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.quiet import quiet
from tests.simulation.seeded_bugs import SEEDED_BUGS, SeededBug
from tests.simulation.seeded_bugs_by_scenario import SCENARIO_BUGS, ScenarioBug
from tests.simulation.simulation import simulate

SEEDS = range(1, 13)

pytestmark = pytest.mark.timeout(180)  # a bug that hides needs several runs


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with quiet():
        yield


@pytest.mark.parametrize("bug", SEEDED_BUGS, ids=lambda bug: f"{bug.rule} {bug.name}")
def test_a_broken_rule_is_seen(bug: SeededBug, monkeypatch: pytest.MonkeyPatch) -> None:
    bug.patch(monkeypatch)
    seen = next(violations for seed in SEEDS if (violations := simulate(bug.planned(seed)).violations))
    # By what it does to committed data, not by a crash of the broken engine or by its standing still.
    assert re.search(r"replayed|progress|group offset|out of turn|marks", seen[0]), seen[0]


@pytest.mark.parametrize("seed", [1])
@pytest.mark.parametrize(
    "bug", [bug for bug in SEEDED_BUGS if bug.plan and "fold" not in bug.plan], ids=lambda bug: bug.name
)
def test_the_same_run_without_the_bug_has_nothing_to_see(bug: SeededBug, seed: int) -> None:
    assert simulate(bug.planned(seed)).violations == []


@pytest.mark.parametrize("bug", SCENARIO_BUGS, ids=lambda bug: f"{bug.rule} {bug.name}")
def test_a_broken_rule_fails_its_scenario(bug: ScenarioBug, monkeypatch: pytest.MonkeyPatch) -> None:
    bug.scenario(*bug.arguments)
    bug.patch(monkeypatch)
    with pytest.raises(bug.fails):
        bug.scenario(*bug.arguments)
