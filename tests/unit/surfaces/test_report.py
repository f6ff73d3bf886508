"""A worker's report of a second."""

from __future__ import annotations

import os
import sys

import msgspec
import pytest

from processor.engine.observer import Committed
from processor.surfaces.cli.run import _print_report
from processor.surfaces.report import MAX_COMMITS, Report, ReportedSecond


def test_everything_is_reported_once() -> None:
    second = ReportedSecond("w-0")
    second.assigned(frozenset({0, 1}), 3)
    second.running(0, 10, False, 0.1, {})
    second.committed(Committed(0.0125, 5, {0: 15}, {0: {"events": 5, "gain": 0.5}, 1: {"events": 2, "gain": -0.25}}))
    second.committed(Committed(0.020, 1, {0: 16}, {0: {"events": 1}}))
    second.doubted("a broken connection")
    report = second.take()
    assert report == Report("w-0", [0, 1], [0], [], [12.5, 20.0], 1, {"events": 8, "gain": 0.25})
    assert second.take() == Report("w-0", [0, 1], [0], [], [], 0, {})


def test_halted_and_revoked_partitions_are_not_running() -> None:
    second = ReportedSecond("w-0")
    second.assigned(frozenset({0, 1, 2}), 3)
    for partition in range(3):
        second.running(partition, 0, True, 0.0, {})
    second.halted(1, "poison")
    report = second.take()
    assert (report.running, report.halted) == ([0, 2], [1])
    second.revoked(frozenset({0, 1}))
    report = second.take()
    assert (report.assigned, report.running, report.halted) == ([2], [2], [])


def test_report_survives_its_own_json() -> None:
    report = ReportedSecond("w-0").take()
    assert msgspec.json.decode(msgspec.json.encode(report), type=Report) == report


def test_a_report_that_nobody_reads_waits_for_the_next_one_and_holds_nothing_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reading, writing = os.pipe()
    with open(reading, "rb", buffering=0) as read, open(writing, "w") as stdout:
        monkeypatch.setattr(sys, "stdout", stdout)
        os.set_blocking(writing, False)
        while True:
            try:
                os.write(writing, b"\n" * 4096)
            except BlockingIOError:
                break
        os.set_blocking(writing, True)
        second = ReportedSecond("w-0")
        for _ in range(MAX_COMMITS + 1):
            second.committed(Committed(0.0125, 5, {0: 15}, {0: {"events": 5}}))
            _print_report(second)
        os.set_blocking(reading, False)
        while read.read(65_536):
            pass
        _print_report(second)
        report = msgspec.json.decode(read.read(65_536), type=Report)
    assert (report.tally["events"], len(report.commits_ms)) == (5 * (MAX_COMMITS + 1), MAX_COMMITS)
