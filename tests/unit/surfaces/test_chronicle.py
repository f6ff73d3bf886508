"""The log of what happened: after the commit, complete while it is little, counted where it is much."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from processor.config import settings_from
from processor.engine.observer import Committed
from processor.engine.ports import LogEvent
from processor.loop.partition import PartitionFold
from processor.surfaces.chronicle import LEFT_OUT_EVENT, Chronicle
from tests.unit.loop.play import NOVEL
from tests.unit.loop.streams import TOPIC, Collected, state_records

TRANSITION: LogEvent = ("creative_mode_transition", {"session": "s", "from_mode": "stable", "to_mode": "exploring"})
STARTED: LogEvent = ("creative_exploration_started", {"session": "s", "profile": "constant"})


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def committed(*diaries: list[LogEvent]) -> Committed:
    return Committed(0.01, 2, {0: 2}, diaries=dict(enumerate(diaries)))


def test_transitions_starts_and_completions_are_told_with_the_seeds_fields_and_ours() -> None:
    fold = PartitionFold(settings_from({"loop": {"max_exploration_steps": 10}}), TOPIC, 3, keeps_diary=True)
    fold.process(state_records([("s", NOVEL)] * 11), Collected())
    with capture_logs() as logs:
        Chronicle(20).committed(Committed(0.01, 11, {3: 11}, diaries={3: fold.diary()}))
    assert [entry["event"] for entry in logs] == [
        "creative_mode_transition",
        "creative_exploration_started",
        "creative_mode_transition",
        "creative_exploration_completed",
    ]
    begun, started, _, completed = logs
    assert {"from_mode": "stable", "to_mode": "exploring", "cumulative_gain": 0.0}.items() <= begun.items()
    assert {"profile": "constant", "predicted_gain": None, "duration": 10}.items() <= started.items()
    assert started["entropy_factor"] > 0
    assert {"duration": 10, "profile": "constant", "steps_executed": 10}.items() <= completed.items()
    assert isinstance(completed["actual_gain"], float)
    assert started["injection_id"] == completed["injection_id"]
    for entry in logs:
        assert {"session": "s", "partition": 3, "log_level": "info"}.items() <= entry.items()
        assert {"step", "reason"} <= entry.keys()
    assert "state" not in repr(logs)


def test_what_happens_faster_than_allowed_is_counted_and_told_once_a_second() -> None:
    clock = Clock()
    chronicle = Chronicle(8, clock=clock)
    with capture_logs() as logs:
        for eighth in range(1, 25):
            clock.now = eighth / 8
            chronicle.committed(committed([TRANSITION] * 30, [STARTED] * 30))
    told = [entry for entry in logs if entry["event"] != LEFT_OUT_EVENT]
    left_out = [entry for entry in logs if entry["event"] == LEFT_OUT_EVENT]
    assert len(told) == 8 + 23  # what there is room for at first, then one each eighth of a second
    assert sum(entry["count"] for entry in left_out) + len(told) == 24 * 60
    assert len(left_out) == 3
    assert left_out[-1]["kinds"].keys() == {"creative_mode_transition", "creative_exploration_started"}


def test_every_partition_gets_its_turn() -> None:
    clock = Clock()
    chronicle = Chronicle(8, clock=clock)
    with capture_logs() as logs:
        chronicle.committed(committed([TRANSITION] * 8))  # nothing is left of the first second
        for eighth in range(1, 9):
            clock.now = eighth / 8
            chronicle.committed(committed(*[[TRANSITION] * 5] * 4))
    assert sorted(entry["partition"] for entry in logs[8:] if "partition" in entry) == [0, 0, 1, 1, 2, 2, 3, 3]


def test_what_was_left_out_is_told_even_if_nothing_happens_any_more() -> None:
    clock = Clock()
    chronicle = Chronicle(1, clock=clock)
    with capture_logs() as logs:
        chronicle.committed(committed([TRANSITION] * 5))
        chronicle.standing({}, {})
        assert [entry["event"] for entry in logs] == ["creative_mode_transition"]
        clock.now = 1.0
        chronicle.standing({}, {})
        chronicle.standing({}, {})
    assert [(entry["event"], entry.get("count")) for entry in logs[1:]] == [(LEFT_OUT_EVENT, 4)]
    with capture_logs() as logs:
        chronicle.committed(committed([TRANSITION] * 3))
        chronicle.close()
    assert logs[-1]["count"] == 2


def test_none_a_second_tells_numbers_only() -> None:
    chronicle = Chronicle(0)
    with capture_logs() as logs:
        chronicle.committed(committed([TRANSITION, STARTED]))
        chronicle.close()
    assert logs == [
        {
            "event": LEFT_OUT_EVENT,
            "log_level": "info",
            "count": 2,
            "kinds": {"creative_exploration_started": 1, "creative_mode_transition": 1},
        }
    ]


@pytest.mark.parametrize("idle_s", [0.5, 3600.0])
def test_a_quiet_time_does_not_save_up_lines(idle_s: float) -> None:
    clock = Clock()
    chronicle = Chronicle(4, clock=clock)
    clock.now = idle_s
    with capture_logs() as logs:
        chronicle.committed(committed([TRANSITION] * 100))
    assert len([entry for entry in logs if entry["event"] == TRANSITION[0]]) == 4
