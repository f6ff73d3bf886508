"""A round that finds something is told in full, and the next one goes on."""

from __future__ import annotations

import os
from pathlib import Path
from typing import cast

import pytest

from processor.backends.embedded import EmbeddedKafka
from tests.faults.campaign import play as module
from tests.faults.campaign.report import Tally
from tests.faults.campaign.rounds import Round, rounds

NO_KAFKA = cast(EmbeddedKafka, None)


@pytest.mark.parametrize(
    ("failure", "told"),
    [(AssertionError("seed 9: O1 differs\n--- journal"), "seed 9: O1 differs"), (OSError("no rig"), "OSError: no rig")],
)
async def test_a_failed_round_is_a_violation_with_the_command_that_repeats_it(
    failure: Exception, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work(_kafka: EmbeddedKafka, folder: Path, part: Round, tally: Tally) -> None:
        (folder / "journal").write_text("kept")
        if part.number == 2:
            raise failure
        tally.checked(part.faults)

    monkeypatch.setitem(module.WORK, "kills", work)
    tally, lines = Tally(), list[str]()

    await module.play(
        NO_KAFKA,
        rounds("kills", 120, 9),
        tmp_path,
        tally,
        command=lambda part: f"again --round {part.name}",
        tell=lines.append,
    )

    [text] = tally.violations
    assert told in text
    assert text.endswith(f"journals and logs in {tmp_path / 'kills-2'}; to repeat it:\n  again --round kills:2")
    assert tally.summary(9, 0).comparisons == 2
    assert [line.rpartition(", ")[2] for line in lines] == ["0 violations", "1 violations", "0 violations"]
    assert os.listdir(tmp_path) == ["kills-2"]
    assert os.listdir(tmp_path / "kills-2") == ["journal"]
