"""The beats of all workers put together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from processor.config import Settings
from processor.surfaces.watch.beat import Beat, PartitionBeat
from processor.surfaces.watch.creativity import creativity_of
from processor.surfaces.watch.overview import LastExploration
from processor.surfaces.watch.picture import MAX_HEARD, MAX_SEEN, MAX_SESSIONS, MAX_STORY, MAX_TOLD, Picture
from processor.surfaces.watch.seen import Happening, SeenMetric
from schemas.codec import encode_json, encode_msgpack
from schemas.metrics import CurrentInjection, Metric, PerformanceTrend
from topology.partitioning import partition_of_key


class Clock:
    """Moves when told."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def picture(clock: Clock) -> Picture:
    return Picture(Settings(), clock=clock, monotonic=clock)


def beat(instance: str = "a", *, began: float = 1.0, **given: Any) -> Beat:
    return Beat(instance, 0, 1_000.0, began, "working", **given)


def metric(session: str, mode: Any = "stable", gain: float = 0.0, *, progress: float | None = None) -> Metric:
    made = Metric(session, mode, 3, gain, PerformanceTrend(0.0, 0.0), 0)
    if progress is not None:
        made.current_injection = CurrentInjection(0.5, 0.25, "pulse", "pulse", progress)
    return made


def started(session: str, reason: str = "low_novelty") -> tuple[str, dict[str, Any]]:
    return (
        "creative_exploration_started",
        {
            "session": session,
            "step": 4,
            "reason": reason,
            "profile": "pulse",
            "predicted_gain": 0.2,
            "entropy_factor": 0.5,
            "duration": 40,
            "injection_id": f"{session}:0",
        },
    )


def ended(session: str, gain: float | None = 0.3) -> list[tuple[str, dict[str, Any]]]:
    return [
        ("creative_mode_transition", {"session": session, "from_mode": "exploring", "to_mode": "recovering"}),
        (
            "creative_exploration_completed",
            {"session": session, "actual_gain": gain, "duration": 40, "profile": "pulse", "end_reason": "x"},
        ),
    ]


def test_counts_add_up_over_workers_and_their_restarts(picture: Picture) -> None:
    picture.hear(beat("a", tally={"events": 5, "dead_letters.too_deep": 1}))
    picture.hear(beat("b", tally={"events": 2}))
    picture.hear(beat("a", began=2.0, tally={"events": 1}))
    overview = picture.overview()
    assert overview.totals == {"events": 8, "actions": 0, "metrics": 0, "duplicates": 0, "dead_letters": 1}
    assert overview.dead_letters == {"too_deep": 1}
    assert [(view.instance, view.restarts) for view in overview.instances] == [("a", 1), ("b", 0)]


def test_figures_are_of_the_partitions_that_are_ours_now(picture: Picture) -> None:
    figures = {"sessions.stable": 3, "sessions.exploring": 1, "gain": 1.5, "models.trained": 2, "explorations": 7}
    picture.hear(beat("a", partitions={0: PartitionBeat("running", figures=figures)}))
    picture.hear(beat("b", partitions={1: PartitionBeat("running", figures=figures, lag=4, lag_s=2.5)}))
    overview = picture.overview()
    assert (overview.sessions, overview.modes["exploring"], overview.cumulative_gain) == (8, 2, 3.0)
    assert (overview.models_trained, overview.lag) == (4, {"records": 4, "seconds": 2.5})
    picture.lost("b", "killed")
    overview = picture.overview()
    assert (overview.sessions, overview.lag["records"]) == (4, 0)
    assert [view.connected for view in overview.instances] == [True, False]


def test_an_exploration_is_shown_from_its_start_to_its_end_with_its_reason(picture: Picture) -> None:
    picture.hear(beat(happened=[started("s")]))
    picture.hear(beat(metrics=[encode_json(metric("s", "exploring", progress=0.5))]))
    [exploring] = picture.overview().exploring
    assert (exploring.session_id, exploring.reason, exploring.injection_id) == ("s", "low_novelty", "s:0")
    assert (exploring.progress, exploring.current_factor, exploring.duration) == (0.5, 0.25, 40)
    picture.hear(beat(happened=ended("s")))
    overview = picture.overview()
    assert overview.exploring == []
    assert [happening["kind"] for happening in overview.happened] == [
        "creative_exploration_completed",
        "creative_mode_transition",
        "creative_exploration_started",
    ]
    assert [happening.session for happening in picture.happened("s")] == ["s"] * 3
    assert picture.happened("t") == []


def test_an_exploration_whose_start_comes_with_its_first_metric_is_as_far_as_the_metric_says(picture: Picture) -> None:
    picture.hear(beat(metrics=[encode_json(metric("s", "exploring", progress=0.5))], happened=[started("s")]))
    [exploring] = picture.overview().exploring
    assert (exploring.reason, exploring.injection_id) == ("low_novelty", "s:0")
    assert (exploring.progress, exploring.current_factor) == (0.5, 0.25)


def test_an_exploration_that_began_before_the_picture_is_shown_by_its_metric_until_another_says_it_is_over(
    picture: Picture,
) -> None:
    picture.hear(beat(metrics=[encode_msgpack(metric("s", "exploring", progress=0.1))]))
    assert [shown.reason for shown in picture.overview().exploring] == [None]
    picture.hear(beat(metrics=[encode_json(metric("s", "recovering"))]))
    assert picture.overview().exploring == []


def test_explorations_go_with_their_partition(picture: Picture) -> None:
    ours = partition_of_key(b"s", 8)
    other = next(name for name in "tuvwxyz" if partition_of_key(name.encode(), 8) != ours)
    theirs = partition_of_key(other.encode(), 8)
    parts = {ours: PartitionBeat("running"), theirs: PartitionBeat("running")}
    picture.hear(beat(partitions=parts, happened=[started("s"), started(other)]))
    picture.hear(beat(partitions={ours: PartitionBeat("running")}))
    assert [shown.session_id for shown in picture.overview().exploring] == ["s"]


def test_listeners_hear_metrics_as_json_whatever_their_format(picture: Picture) -> None:
    heard: list[tuple[Sequence[SeenMetric], Sequence[Happening]]] = []

    class Ear:
        def heard(self, beat: Beat, metrics: Sequence[SeenMetric], happened: Sequence[Happening]) -> None:
            heard.append((metrics, happened))

    picture.listeners.append(Ear())
    made = metric("s", gain=1.0)
    picture.hear(beat(metrics=[encode_json(made), encode_msgpack(made), b"\xff"], happened=[started("s")]))
    [(metrics, happened)] = heard
    assert [seen.json for seen in metrics] == [encode_json(made)] * 2
    assert [(happening.number, happening.kind) for happening in happened] == [(0, "creative_exploration_started")]


def test_sessions_are_found_by_mode_and_name_and_sorted(picture: Picture) -> None:
    for name, mode, gain in (("Anna", "stable", 1.0), ("bert", "exploring", 3.0), ("anton", "stable", 2.0)):
        picture.hear(beat(metrics=[encode_json(metric(name, mode, gain))]))

    def names(**asked: Any) -> list[str]:
        found = picture.sessions(**{"mode": None, "query": None, "order": "recent", "limit": 10, **asked})
        return [line.session_id for line in found.sessions]

    assert names() == ["anton", "bert", "Anna"]
    assert names(order="gain") == ["bert", "anton", "Anna"]
    assert names(order="name") == ["Anna", "anton", "bert"]
    assert names(mode="stable", query="AN") == ["anton", "Anna"]
    found = picture.sessions(mode="stable", query=None, order="recent", limit=1)
    assert (len(found.sessions), found.matching, found.total) == (1, 2, 3)


def test_sessions_that_were_heard_of_longest_ago_are_forgotten(picture: Picture) -> None:
    for start in range(0, MAX_SESSIONS + 100, 100):
        picture.hear(beat(metrics=[encode_json(metric(f"s{n}")) for n in range(start, start + 100)]))
    found = picture.sessions(mode=None, query="s0", order="recent", limit=1)
    assert (found.total, found.matching) == (MAX_SESSIONS, 0)


def test_rates_percentiles_and_trend_are_of_the_last_moments(picture: Picture, clock: Clock) -> None:
    for _ in range(100):
        picture.hear(beat(tally={"events": 10}, commits_s=[0.01, 0.03], latencies_s=[0.2]))
        clock.now += 0.1
    overview = picture.overview()
    assert overview.rates["events_per_s"] == pytest.approx(100, rel=0.05)
    assert overview.latency == {
        "commit_p50_ms": 10.0,
        "commit_p99_ms": 30.0,
        "end_to_end_p50_ms": 200.0,
        "end_to_end_p99_ms": 200.0,
    }
    assert [round(point[0]) for point in overview.trend.points] == [1002, 1004, 1006, 1008]
    clock.now += 61
    overview = picture.overview()
    assert overview.rates["events_per_s"] == 0
    assert overview.latency["commit_p50_ms"] is None


@pytest.mark.parametrize(
    ("gain", "explorations", "status"), [(0.05, 11, "degraded"), (0.05, 10, "healthy"), (0.1, 11, "healthy")]
)
def test_creativity_is_degraded_as_the_seeds_say(picture: Picture, gain: float, explorations: int, status: str) -> None:
    figures = {"sessions.stable": 1, "sessions.exploring": 2, "gain": gain, "explorations": explorations}
    picture.hear(beat(partitions={0: PartitionBeat("running", figures=figures)}, happened=ended("s", 0.01)))
    health = msgspec.to_builtins(picture.creativity())
    assert health.pop("reason", None) == (
        "Low cumulative gain despite multiple explorations" if status == "degraded" else None
    )
    assert health == {
        "status": status,
        "mode": "exploring",
        "cumulative_gain": gain,
        "exploration_count": explorations,
        "quality_model_trained": False,
        "last_exploration": {"profile": "pulse", "gain": 0.01, "duration": 40},
    }


def test_creativity_of_a_session_comes_from_its_view() -> None:
    view = {
        "mode": "stable",
        "cumulative_gain": 0.05,
        "counts": {"completed": 11},
        "model": {"trained": True},
        "exploration": {"profile": "pulse", "creative_gain": 0.01, "duration": 40},
    }
    health = creativity_of(view)
    assert (health.status, health.exploration_count, health.quality_model_trained) == ("degraded", 11, True)
    assert health.last_exploration is not None
    assert health.last_exploration.gain == 0.01


def test_a_session_that_explores_again_keeps_its_last_exploration_for_the_seeds_check(picture: Picture) -> None:
    picture.hear(beat(happened=[*ended("s", 0.2), started("s"), *ended("s", None), started("s")]))
    view = {
        "mode": "exploring",
        "cumulative_gain": 0.2,
        "counts": {"completed": 1},
        "model": None,
        "exploration": {"profile": "constant", "creative_gain": None, "duration": 10},
    }
    health = creativity_of(view, picture.happened("s"))
    assert health.last_exploration == LastExploration("pulse", 0.2, 40)
    assert creativity_of(view).last_exploration is None


def test_of_very_much_some_is_shown_and_what_is_wanted_by_name_is_not_left_out(picture: Picture) -> None:
    heard: list[str] = []

    class Ear:
        def heard(self, beat: Beat, metrics: Sequence[SeenMetric], happened: Sequence[Happening]) -> None:
            heard.extend(seen.session_id for seen in metrics)

    picture.listeners.append(Ear())
    picture.wanted = {"s7", "s8"}
    values = [encode_json(metric(f"s{n}")) if n % 2 else encode_msgpack(metric(f"s{n}")) for n in range(1_000)]
    picture.hear(beat(metrics=values, happened=[started(f"s{n}") for n in range(1_000)]))
    assert MAX_SEEN <= len(heard) <= MAX_SEEN + 2
    assert {"s7", "s8"} <= set(heard)
    assert len(set(heard)) == len(heard)
    assert picture.metrics_left_out == 1_000 - len(heard)
    assert picture.happened_left_out == 1_000 - MAX_HEARD
    shown = {view.session_id for view in picture.overview().exploring}
    picture.hear(beat(happened=[pair for n in range(1_000) for pair in ended(f"s{n}")]))
    assert shown
    assert picture.overview().exploring == []


def test_an_exploration_whose_session_fell_silent_for_good_is_over(picture: Picture, clock: Clock) -> None:
    picture.hear(beat(happened=[started("gone"), started("stays")]))
    ttl_s = Settings().engine.session_ttl_ms / 1000
    clock.now += ttl_s - 1
    picture.hear(beat(metrics=[encode_json(metric("stays", "exploring", progress=0.5))]))
    assert {seen.session_id for seen in picture.overview().exploring} == {"gone", "stays"}
    clock.now += 3
    picture.hear(beat())
    assert [seen.session_id for seen in picture.overview().exploring] == ["stays"]


def test_a_partition_that_a_frozen_worker_still_names_counts_once(picture: Picture) -> None:
    figures = {"sessions.stable": 5.0, "gain": 2.0}
    picture.hear(beat("b", generation=2, partitions={0: PartitionBeat("running", lag=1, figures=figures)}))
    frozen = {"sessions.stable": 4.0, "gain": 1.0}
    picture.hear(beat("a", generation=1, partitions={0: PartitionBeat("running", lag=7, figures=frozen)}))
    overview = picture.overview()
    assert (overview.sessions, overview.cumulative_gain, overview.lag["records"]) == (5, 2.0, 1)


def test_all_stories_together_are_bounded_and_the_oldest_goes_first(
    picture: Picture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("processor.surfaces.watch.picture.MAX_TOLD", 100)
    for number in range(50):
        picture.hear(beat(happened=[started(f"s{number % 10}"), started("chatty")]))
    stories = {name: picture.happened(name, MAX_STORY) for name in ("chatty", *(f"s{n}" for n in range(10)))}
    assert sum(map(len, stories.values())) <= 100
    for _ in range(10):
        picture.hear(beat(happened=[started("chatty")] * 10))
    assert [picture.happened(f"s{n}") for n in range(10)] == [[]] * 10
    assert len(picture.happened("chatty", MAX_STORY)) == MAX_STORY < MAX_TOLD


def test_of_one_too_many_one_is_left_out(picture: Picture) -> None:
    picture.hear(beat(metrics=[encode_json(metric(f"s{n}")) for n in range(MAX_SEEN + 1)]))
    assert picture.metrics_left_out == 1
