"""The story told from actions, and how a terminal shows it."""

from __future__ import annotations

import io
import json
from itertools import islice
from typing import Any

from rich.console import Console

from processor.config import settings_from
from processor.engine.ports import Header
from processor.surfaces.folds import partition_fold
from processor.surfaces.replay import Line
from processor.surfaces.simulator.closed_loop import closed_loop_values
from processor.surfaces.simulator.population import Population
from processor.surfaces.story import Story
from processor.surfaces.terminal import Pulse, curve, line, sparkline, view

SETTINGS = settings_from({"loop": {"max_exploration_steps": 20, "recovery_steps": 5, "stable_patience_steps": 6}})


class Actions:
    def __init__(self) -> None:
        self.values: list[bytes] = []

    def action(self, key: bytes | None, value: bytes, headers: list[Header]) -> None:
        self.values.append(value)

    def metric(self, key: bytes | None, value: bytes, headers: list[Header]) -> None: ...

    def dead_letter(self, key: bytes | None, value: bytes | None, headers: list[Header]) -> None: ...


def simulated_actions() -> list[bytes]:
    events = closed_loop_values(Population(12, 1, imperfections=0.1), partition_fold(SETTINGS, 0))
    out = Actions()
    partition_fold(SETTINGS, 0).process([Line(i, value) for i, value in enumerate(islice(events, 2500))], out)
    return out.values


ACTIONS = simulated_actions()


def told() -> Story:
    story = Story()
    for value in ACTIONS:
        story.hear(value)
    return story


def test_story_agrees_with_the_actions() -> None:
    story = told()
    actions: list[dict[str, Any]] = [json.loads(value) for value in ACTIONS]
    last = {action["session_id"]: action for action in actions if "error" not in action}
    assert story.sessions == len(last) == 12
    assert +story.modes == +story.modes.__class__(action["mode"] for action in last.values())
    assert {id_: e.profile for id_, e in story.explorations.items()} == {
        id_: action["profile"] for id_, action in last.items() if "profile" in action
    }
    ended = [action["completed_injection"] for action in actions if "completed_injection" in action]
    assert sum(outcome.completed + outcome.aborted for outcome in story.outcomes.values()) == len(ended)
    assert sum(outcome.aborted for outcome in story.outcomes.values()) == sum(e["status"] == "aborted" for e in ended)
    assert abs(story.gain - sum(e["creative_gain"] for e in ended if e["status"] == "completed")) < 1e-9


def test_curve_fills_the_part_that_is_done() -> None:
    story = told()
    for exploration in story.explorations.values():
        drawn = curve(exploration, 20)
        assert len(drawn) == 20
        assert drawn.count("·") == 20 - max(1, round(exploration.progress * 20))


def test_sparkline_spans_empty_to_full() -> None:
    assert sparkline([0.0, 0.5, 1.0, 7.0, -1.0], 10) == " ▄██ "
    assert sparkline([0.0, 1.0], 1) == "█"


def drawn(width: int, pulse: Pulse) -> str:
    console = Console(file=io.StringIO(), width=width)
    console.print(view(told(), pulse))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_view_fits_80_columns_and_tells_the_story() -> None:
    address = "http://127.0.0.1:65535"
    partitions = {"w-0": "partitions 0, 1"}
    pulse = Pulse("demo", dashboard=address, processed=1234, lag=5, audit="all equal", workers=partitions)
    text = drawn(80, pulse)
    lines = text.splitlines()
    assert max(map(len, lines)) <= 80
    assert len(lines) <= 40
    story = told()
    assert all(mode in text for mode in ("stable", "exploring", "recovering", "emergency"))
    assert all(profile in text for profile in story.outcomes)
    assert all(part in text for part in ("1,234 events", "lag 5", "all equal", "w-0", f"{story.gain:+.2f}", address))


def test_height_does_not_depend_on_the_number_of_explorations() -> None:
    empty = Console(file=io.StringIO(), width=80)
    empty.print(view(Story(), Pulse()))
    assert isinstance(empty.file, io.StringIO)
    outcomes = len(told().outcomes)
    assert len(drawn(80, Pulse()).splitlines()) == len(empty.file.getvalue().splitlines()) + outcomes - 1


def test_line_is_one_line() -> None:
    text = line(told(), Pulse(processed=2500, audit="all equal"))
    assert "\n" not in text
    assert "2,500 events" in text
    assert "all equal" in text
