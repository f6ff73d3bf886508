"""A worker's report of a second."""

from __future__ import annotations

import msgspec

from processor.engine.observer import Committed
from processor.surfaces.report import Report, ReportedSecond


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
