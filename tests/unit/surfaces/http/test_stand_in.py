"""The dashboard is tested against a stand-in: what that serves has the shape of what the real server does."""

from __future__ import annotations

import time
from typing import Any

import msgspec
import pytest

from processor.config import settings_from
from processor.loop.partition import PartitionFold
from processor.surfaces.watch.overview import Overview, SessionList
from processor.surfaces.watch.session_view import session_view
from schemas.metrics import Metric
from tests.browser.world import World
from tests.unit.loop.play import NOVEL
from tests.unit.loop.streams import TOPIC, Collected, state_records


@pytest.fixture(scope="module")
def world() -> World:
    """In which some sessions explore and some do not."""
    world = World([f"s{number}" for number in range(40)])
    while not 0 < world.modes()["exploring"] < 40 or not world.explorations:
        world.live(1)
    world.note_trend(time.time(), 1.0)
    return world


def test_its_overview_its_list_and_its_metrics_are_of_the_real_shape(world: World) -> None:
    sessions = world.sessions.values()
    for told, shape in (
        (world.overview(), Overview),
        (world.listing("", "", "name", 40), SessionList),
        *((session.metric(), Metric) for session in sessions),
    ):
        assert names_in(msgspec.to_builtins(msgspec.convert(told, shape))) == names_in(told)


def test_its_sessions_are_told_as_real_ones(world: World) -> None:
    fold = PartitionFold(
        settings_from({"loop": {"max_exploration_steps": 10}, "quality": {"scope": "shared"}}), TOPIC, 3
    )
    for steps, running in ((5, True), (6, False)):
        fold.process(state_records([("s", NOVEL)] * steps), Collected())
        real = session_view(fold, fold.sessions["s"])
        assert real["exploration"]["running"] is running
        told = [session.full() for session in world.sessions.values()]
        told = [one for one in told if one["exploration"] and one["exploration"]["running"] is running]
        assert told
        for one in told:
            one["exploration"]["params"] = real["exploration"]["params"]  # each profile has its own
            assert names_in(one) == names_in(real) | {".instance", ".happened"} | names_in(one["happened"], ".happened")


def names_in(value: Any, path: str = "") -> set[str]:
    """The paths of all names in a JSON value; those in lists are of any element."""
    if isinstance(value, dict):
        return {f"{path}.{name}" for name in value}.union(
            *(names_in(one, f"{path}.{name}") for name, one in value.items())
        )
    if isinstance(value, list):
        return set[str]().union(*(names_in(one, f"{path}[]") for one in value))
    return set()
