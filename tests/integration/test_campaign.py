"""A slice of the campaign (`python -m tests.faults campaign`): the same rounds, fewer of them."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from processor.backends.embedded import EmbeddedKafka
from tests.faults.campaign.play import play
from tests.faults.campaign.report import Tally, table
from tests.faults.campaign.rounds import Kind, rounds
from tests.faults.campaign.zombies import WAYS
from tests.faults.points import POINTS

SEED = 4

KILLS, ZOMBIES, BROKER_FAULTS, DOUBTS = 48, 10, 5, 24
EACH_POINT = 1
# What may happen to one node of three; `test_three_nodes.py` has what happens to several.
SINGLE_NODE = {
    "isolate coordinator",
    "isolate leader",
    "kill controller",
    "kill group coordinator",
    "kill leader of changelog",
    "kill leader of input",
    "kill leader of output",
    "kill transaction coordinator",
    "move coordinators",
    "move leaders",
}

Slice = Callable[[EmbeddedKafka, Kind, int], Awaitable[Tally]]


@pytest.fixture
def played(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Slice:
    """Play so many faults of a kind, show the figures, and expect that no promise was broken."""

    async def played(kafka: EmbeddedKafka, kind: Kind, total: int) -> Tally:
        tally, began_s = Tally(), time.monotonic()
        await play(
            kafka,
            rounds(kind, total, SEED),
            tmp_path,
            tally,
            command=lambda part: f"python -m tests.faults campaign --{kind} {total} --seed {SEED} --round {part.name}",
            tell=lambda _: None,
        )
        summary = tally.summary(SEED, time.monotonic() - began_s)
        with capsys.disabled():
            print(f"\n{table(summary)}")
        assert summary.violations == 0, "\n".join(summary.violation_texts)
        assert summary.comparisons >= len(rounds(kind, total, SEED))
        assert summary.records_compared >= 10 * total, "hardly anything was compared"
        return tally

    return played


@pytest.mark.timeout(900)
async def test_four_dozen_kills_leave_no_trace(kafka: EmbeddedKafka, played: Slice) -> None:
    tally = await played(kafka, "kills", KILLS)

    assert tally.count("kill") == KILLS
    assert min(tally.count("kill", point) for point in POINTS) >= EACH_POINT


@pytest.mark.timeout(300)
async def test_ten_zombies_leave_no_trace(kafka: EmbeddedKafka, played: Slice) -> None:
    tally = await played(kafka, "zombies", ZOMBIES)

    assert tally.count("zombie") == ZOMBIES
    assert min(tally.count("zombie", point) for point in WAYS if point) >= ZOMBIES // len(WAYS)
    assert tally.summary(SEED, 0.0).observed, "no zombie was refused anything: none had still meant to write"


@pytest.mark.timeout(480)
async def test_five_faults_of_brokers_leave_no_trace(three_nodes: EmbeddedKafka, played: Slice) -> None:
    tally = await played(three_nodes, "broker-faults", BROKER_FAULTS)

    assert tally.count("broker") >= BROKER_FAULTS
    assert len({kind for kind in SINGLE_NODE if tally.count("broker", kind)}) == BROKER_FAULTS


@pytest.mark.timeout(400)
async def test_two_dozen_doubts_leave_no_trace(kafka: EmbeddedKafka, played: Slice) -> None:
    tally = await played(kafka, "doubts", DOUBTS)

    assert tally.count("doubt") == DOUBTS
