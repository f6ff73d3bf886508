"""The progress of work on partitions: bars with rate on a terminal, nothing elsewhere."""

from __future__ import annotations

import re

import pytest

from processor.surfaces.cli.partition_bars import partition_bars


def test_on_a_terminal_each_partition_has_a_bar_with_its_rate(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")
    with partition_bars() as told:
        for done in range(1_000, 8_000, 1_000):
            told(3, done, 9_000)
            told(0, 1, 1)
    out, err = capfd.readouterr()
    assert out == ""
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", err)
    assert re.search(r"partition 3 .* 7000/9000 [\d,]+/s", shown), shown
    assert re.search(r"partition 0 .* 1/1", shown), shown


def test_elsewhere_nothing_is_written(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    with partition_bars() as told:
        told(0, 1, 2)
    assert capfd.readouterr() == ("", "")
