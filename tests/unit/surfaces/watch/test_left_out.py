"""What is too much to be shown is bounded on its way, and whoever leaves it out says how much that was."""

from __future__ import annotations

from processor.config import Settings
from processor.engine.observer import Committed
from processor.surfaces.watch.beat import Beat
from processor.surfaces.watch.picture import Picture
from processor.surfaces.watch.watch import MAX_DURATIONS, Watch


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
