"""The engine under faults of every kind: whatever happens, committed output is the replay's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace

import pytest

from processor.errors import Refused
from tests.simulation.plans import COMMON, PLANS, missing
from tests.simulation.simulation import Plan, simulate
from tests.simulation.tally_fold import TallyFold

_seen: Counter[str] = Counter()


@pytest.mark.parametrize("seed", range(1, 4))
@pytest.mark.parametrize("name", PLANS)
def test_committed_output_is_the_replay_whatever_happens(name: str, seed: int) -> None:
    report = simulate(replace(Plan(seed), **PLANS[name]))
    _seen.update(report.sometimes)
    assert report.violations == []
    assert report.events >= 3_500


def test_the_rare_paths_were_taken() -> None:
    for seed in range(5, 15):
        for plan in PLANS.values():
            if not missing(COMMON, _seen):
                return
            _seen.update(simulate(replace(Plan(seed), **plan)).sometimes)
    assert missing(COMMON, _seen) == []


def test_a_calm_run_meets_no_doubt() -> None:
    report = simulate(Plan(1, faults={}))
    assert report.violations == []
    kept = {"kept through a rebalance", "kept before its last marker was written"}
    assert set(report.sometimes) <= {"restored"} | kept


class Reluctant(TallyFold):
    """After a while it takes its own state for damaged."""

    restores = 0

    def restored(self, marks: bytes) -> None:
        Reluctant.restores += 1
        if Reluctant.restores > 10:
            raise Refused("state is damaged")
        super().restored(marks)


def test_a_refusal_without_a_reason_is_seen() -> None:
    violations = simulate(Plan(1, fold=Reluctant)).violations
    assert any("state is damaged" in violation for violation in violations)


@pytest.mark.timeout(120)
def test_equal_seeds_have_equal_traces_in_every_process_and_with_any_number_of_workers() -> None:
    hashes = set()
    for hash_seed, workers in (("1", "1"), ("2", "2")):
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "tests.simulation",
                "--events",
                "4000",
                "--seed",
                "3",
                "--workers",
                workers,
                "--json",
            ],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            check=True,
            timeout=100,
        )
        summary = json.loads(done.stdout)
        assert summary["violations"] == 0
        assert summary["events"] >= 4_000
        assert summary["runs"] > 1
        hashes.add(summary["trace_hash"])
    assert len(hashes) == 1


def test_another_seed_has_another_trace() -> None:
    assert simulate(Plan(1, events=500)).trace_hash != simulate(Plan(2, events=500)).trace_hash
