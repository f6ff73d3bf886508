"""A session in full."""

from __future__ import annotations

import pytest

from processor.config import Settings, settings_from
from processor.loop.partition import PartitionFold
from processor.surfaces.watch.beat import SessionAnswer
from processor.surfaces.watch.session_view import MAX_POINTS, look_up, session_view
from processor.surfaces.watch.watch import Watch
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


async def test_a_session_is_found_in_whichever_partition_its_producer_put_it() -> None:
    watch = Watch("i")
    watch.assigned(frozenset({2, 3}), 1)
    for partition in (2, 3):
        fold = PartitionFold(Settings(), TOPIC, partition)
        watch.made(partition, fold)
        if partition == 3:
            fold.process(state_records([("s", {"novelty": 0.5})]), Collected())
        watch.running(partition, 1, False, 0.0, {})
    found = await look_up(watch, "s", 2)
    assert found.session is not None
    assert (found.session["session_id"], found.session["partition"], found.partition) == ("s", 3, 3)
    assert await look_up(watch, "s", 9) == found  # where Kafka's Java client would have put it, another instance is
    assert await look_up(watch, "t", 2) == SessionAnswer(partition=2)
    assert await look_up(watch, "t", 9) == SessionAnswer(elsewhere=True, partition=9)
    watch.revoked(frozenset({3}))
    assert await look_up(watch, "s", 2) == SessionAnswer(partition=2)
