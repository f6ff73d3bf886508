"""What a campaign does follows from its seed, and what it counts is what happened."""

from __future__ import annotations

from collections import Counter

import msgspec
import pytest

from tests.faults.__main__ import main
from tests.faults.campaign.kills import target
from tests.faults.campaign.report import Summary, Tally, table
from tests.faults.campaign.rounds import FAULTS_PER_ROUND, KINDS, rounds
from tests.faults.points import POINTS

SEED = 11


@pytest.mark.parametrize(("kills", "each"), [(104, 3), (640, 20), (1_000, 31)])
def test_half_of_the_kills_hit_named_points_and_each_point_as_often_as_the_others(kills: int, each: int) -> None:
    targets = Counter(target(SEED, index) for index in range(kills))

    assert targets[None] == kills // 2
    assert {point: count for point, count in targets.items() if count < each} == {}
    assert set(targets) == {None, *POINTS}


def test_another_seed_gives_another_order() -> None:
    assert [target(1, index) for index in range(99)] != [target(2, index) for index in range(99)]


@pytest.mark.parametrize("kind", KINDS)
def test_rounds_cover_every_fault_once_and_have_seeds_of_their_own(kind: str) -> None:
    total = 3 * FAULTS_PER_ROUND[kind] + 1  # type: ignore[index]

    parts = rounds(kind, total, SEED)  # type: ignore[arg-type]

    assert [part.first for part in parts[1:]] == [part.first + part.faults for part in parts[:-1]]
    assert sum(part.faults for part in parts) == total
    assert len({part.own_seed for part in parts}) == len(parts)


def test_a_round_of_a_longer_campaign_is_the_same() -> None:
    assert rounds("kills", 1_000, SEED)[1] == rounds("kills", 200, SEED)[1]


def test_the_figures_are_what_was_counted() -> None:
    tally = Tally()
    tally.playing = "kills"
    for point in ("before end", "before end", "after end"):
        tally.fired("kill", point)
    for hundredths in range(1, 101):
        tally.recovered(hundredths / 100)
    tally.checked(700)
    tally.checked(300)
    tally.violation("O1 differs")

    summary = tally.summary(SEED, 12.34)

    again = msgspec.json.decode(msgspec.json.encode(summary), type=Summary)
    assert again == summary
    assert summary.faults == {"kill": {"after end": 1, "before end": 2}}
    assert (summary.faults_total, summary.comparisons, summary.records_compared) == (3, 2, 1_000)
    times = summary.recoveries["kills"]
    assert (times.count, times.p50_s, times.p99_s, times.max_s) == (100, 0.5, 0.99, 1.0)
    assert (summary.violations, summary.violation_texts) == (1, ["O1 differs"])
    assert table(summary).splitlines()[-1] == "O1 differs"


def test_nothing_asked_for_and_a_round_that_is_not_there_are_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["campaign"]) == 2
    assert "--kills N" in capsys.readouterr().err
    assert main(["campaign", "--kills", "40", "--round", "kills:2"]) == 2
    assert "no round kills:2" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        main(["campaign", "--kills", "-1"])
