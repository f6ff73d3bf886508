"""A session in full."""

from __future__ import annotations

import pytest

from processor.config import settings_from
from processor.loop.partition import PartitionFold
from processor.surfaces.watch.session_view import MAX_POINTS, session_view
from tests.unit.loop.streams import TOPIC, Collected, state_records


@pytest.mark.parametrize("trend_window", [100, 1000])
def test_points_are_the_latest_ones_each_once(trend_window: int) -> None:
    states = [{"novelty": step / 1000, "aesthetic_score": 1 - step / 1000} for step in range(700)]
    fold = PartitionFold(settings_from({"streaming": {"trend_window": trend_window}}), TOPIC, 3)
    fold.process(state_records([("s", state) for state in states]), Collected())
    points = session_view(fold, fold.sessions["s"])["points"]
    assert min(trend_window, MAX_POINTS) <= len(points) <= MAX_POINTS
    assert points == [
        [number, pytest.approx(number / 1000), pytest.approx(1 - number / 1000)]
        for number in range(700 - len(points), 700)
    ]
