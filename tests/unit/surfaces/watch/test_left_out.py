"""What is too much to be shown is bounded on its way, and whoever leaves it out says how much that was."""

from __future__ import annotations

from processor.config import Settings
from processor.engine.observer import Committed
from processor.surfaces.watch.beat import Beat
from processor.surfaces.watch.picture import MAX_EXPLORING, MAX_SEEN, Picture
from processor.surfaces.watch.watch import MAX_DURATIONS, Watch
from schemas.codec import encode_json
from schemas.metrics import CurrentInjection, Metric, PerformanceTrend


def test_what_workers_have_left_out_already_counts_as_left_out() -> None:
    picture = Picture(Settings())
    for instance in ("a", "b"):
        picture.hear(Beat(instance, 0, 1.0, 1.0, "working", metrics_left_out=30, happened_left_out=4))
    assert (picture.metrics_left_out, picture.happened_left_out) == (60, 8)
    assert picture.overview().metrics_left_out == 60


def test_a_beat_that_nobody_takes_keeps_the_newest_durations_of_all_kinds() -> None:
    watch = Watch("i")
    commits = 3 * MAX_DURATIONS
    for number in range(commits):
        watch.committed(Committed(float(number), number, {0: number}, times_ms={0: (0, 0)}))
    beat = watch.take()
    assert beat.commits_s == [float(number) for number in range(commits - MAX_DURATIONS, commits)]
    assert beat.batches == list(range(commits - MAX_DURATIONS, commits))
    assert len(beat.latencies_s) == MAX_DURATIONS


def test_of_very_many_explorations_those_that_began_first_are_no_longer_shown() -> None:
    picture = Picture(Settings())
    begun = 0
    while begun < MAX_EXPLORING + 3 * MAX_SEEN:
        names = [f"s{number:05d}" for number in range(begun, begun + MAX_SEEN)]
        picture.hear(Beat("a", 0, 1.0, 1.0, "working", metrics=[exploring(name) for name in names]))
        begun += MAX_SEEN
    assert picture.exploring(f"s{begun - MAX_EXPLORING - 1:05d}") is None
    assert all(picture.exploring(f"s{number:05d}") for number in range(begun - MAX_EXPLORING, begun))


def exploring(session: str) -> bytes:
    injection = CurrentInjection(0.5, 0.25, "pulse", "pulse", 0.5)
    return encode_json(Metric(session, "exploring", 3, 0.0, PerformanceTrend(0.0, 0.0), 0, current_injection=injection))
