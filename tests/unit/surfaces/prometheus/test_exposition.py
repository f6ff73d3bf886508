"""What a scrape says of beats."""

from __future__ import annotations

import shutil
import subprocess
from typing import Any

import pytest

from processor.config import APPLICATION_VERSION
from processor.surfaces.folds import partition_fold
from processor.surfaces.prometheus import ALL, names
from processor.surfaces.prometheus.adding_up import LABELLED, PLAIN
from processor.surfaces.stream_counts import StreamCounts
from processor.surfaces.watch.beat import PartitionBeat
from schemas.errors import ERROR_CODES
from tests.unit.loop.play import CALM, NOVEL
from tests.unit.loop.streams import Collected, Record, run
from tests.unit.loop.test_partition import event
from tests.unit.surfaces.prometheus.scraped import OPENMETRICS, Scraped, families_of, sample

PROMTOOL = shutil.which("promtool")

SHORT = {"max_exploration_steps": 12, "recovery_steps": 2, "stable_patience_steps": 4}


def partition(phase: Any = "running", **told: Any) -> PartitionBeat:
    return PartitionBeat(phase, **told)


def completed(gain: float | None, steps: int) -> tuple[str, dict[str, Any]]:
    fields = {"session": "s", "actual_gain": gain, "profile": "pulse", "steps_executed": steps, "duration": 200}
    return "creative_exploration_completed", fields


def busy() -> Scraped:
    """Two workers with some of everything."""
    scraped = Scraped(profiles={"custom": {"my_wave": "tests.unit.loop.customs:rising"}})
    scraped.hear(
        "w-0",
        generation=4,
        partitions={
            0: partition(lag=7, lag_s=2.5, standing_s=0.5, since_s=60.0, figures={"gain": 1.5, "sessions.stable": 3}),
            1: partition("restoring", waiting=(120, 150)),
        },
        tally={
            "events": 100,
            "actions": 97,
            "explorations.my_wave": 2,
            "dead_letters.too_deep": 3,
            "gains.my_wave": -0.5,
        },
        commits_s=[0.004, 0.2],
        batches=[40, 60],
        latencies_s=[0.03, 400.0],
        restores_s=[(0.7, False), (0.0, True)],
        happened=[completed(0.25, 100), completed(-0.5, 12), completed(None, 3)],
    )
    scraped.hear("w-1", generation=4, phase="recovering", doubts=2, doubt="gone", doubt_s=9.0, rebalances=3)
    return scraped


def test_every_metric_declared_is_scraped_and_nothing_else() -> None:
    families = families_of(busy().exposition.render(OPENMETRICS)[0].decode())
    seen = {
        family.name: (family.type, {label for each in family.samples for label in each.labels}) for family in families
    }
    assert seen == {
        metric.family: (metric.kind, {*metric.labels, *(["le"] if metric.kind == "histogram" else [])})
        for metric in ALL
    }


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed (Debian: prometheus)")
def test_promtool_has_nothing_to_say_against_a_scrape() -> None:
    assert PROMTOOL is not None
    said = subprocess.run(
        [PROMTOOL, "check", "metrics"], input=busy().text(), capture_output=True, text=True, timeout=30
    )
    assert (said.returncode, said.stdout + said.stderr) == (0, "")


def test_whatever_can_be_counted_begins_at_0() -> None:
    scraped = Scraped(profiles={"custom": {"my_wave": "tests.unit.loop.customs:rising"}})
    assert scraped.series("tori_explorations_total") == {
        (profile,): 0 for profile in ("constant", "cosine_ramp", "exponential_decay", "my_wave", "pulse", "sinusoidal")
    }
    assert scraped.series("tori_creative_errors_total") == {(code,): 0 for code in ERROR_CODES}
    assert scraped.series("creative_feedback_transactions_total") == {("committed",): 0, ("in_doubt",): 0}
    assert scraped.series("tori_creative_mode") == {
        (mode,): 0 for mode in ("stable", "exploring", "recovering", "emergency")
    }
    samples = scraped.samples()
    plain = [metric.name for metric in names.OWN if metric.kind == "counter" and not metric.labels]
    assert {name: samples[sample(name)] for name in plain} == dict.fromkeys(plain, 0)


def test_counts_are_those_of_the_beats() -> None:
    scraped = busy()
    scraped.hear("w-1", tally={"events": 1}, metrics_left_out=5, happened_left_out=2)
    samples = scraped.samples()
    assert samples[sample("creative_feedback_events_total")] == 101
    assert samples[sample("creative_feedback_actions_total")] == 97
    assert samples[sample("tori_explorations_total", profile="my_wave")] == 2
    assert samples[sample("tori_creative_errors_total", code="too_deep")] == 3
    assert samples[sample("creative_feedback_dead_letters_total", code="too_deep")] == 3
    assert samples[sample("creative_feedback_transactions_total", outcome="committed")] == 2
    assert samples[sample("creative_feedback_transactions_total", outcome="in_doubt")] == 2
    assert samples[sample("creative_feedback_restores_total", source="changelog")] == 1
    assert samples[sample("creative_feedback_restores_total", source="memory")] == 1
    assert samples[sample("creative_feedback_rebalances_total", worker="w-1")] == 3
    assert samples[sample("creative_feedback_left_out_total", what="metrics")] == 5
    assert samples[sample("creative_feedback_left_out_total", what="happenings")] == 2


def test_an_aborted_exploration_has_no_duration() -> None:
    samples = busy().samples()
    assert samples[sample("tori_exploration_duration_count")] == 2
    assert samples[sample("tori_exploration_duration_sum")] == 112
    assert samples[sample("tori_exploration_duration_bucket", le="25.0")] == 1


def test_what_was_won_less_what_was_lost_is_the_gain() -> None:
    scraped = busy()
    scraped.hear(tally={"gains.my_wave": 0.75})
    assert scraped.series("creative_feedback_gain_won_total")[("my_wave",)] == 0.75
    assert scraped.series("creative_feedback_gain_lost_total")[("my_wave",)] == 0.5


def test_a_histogram_counts_what_is_on_a_bound_and_what_exceeds_all() -> None:
    scraped = Scraped()
    scraped.hear(batches=[1, 2, 10_000, 10_001])
    buckets = scraped.series("creative_feedback_batch_records_bucket")
    assert (buckets[("1.0",)], buckets[("5.0",)], buckets[("10000.0",)], buckets[("+Inf",)]) == (1, 2, 3, 4)
    assert scraped[sample("creative_feedback_batch_records_sum")] == 20_004


def test_gauges_are_those_of_the_latest_beats() -> None:
    scraped = busy()
    scraped.now += 3
    samples = scraped.samples()
    assert samples[sample("tori_creativity_gain")] == 1.5
    assert samples[sample("tori_creative_mode", mode="stable")] == 3
    assert samples[sample("creative_feedback_lag_records", partition="0")] == 7
    assert samples[sample("creative_feedback_lag_seconds", partition="0")] == 2.5
    assert samples[sample("creative_feedback_standing_seconds", partition="0")] == 0.5
    assert samples[sample("creative_feedback_partition_phase_seconds", partition="0")] == 60
    assert samples[sample("creative_feedback_partition_phase", partition="1", phase="restoring")] == 1
    assert samples[sample("creative_feedback_partition_phase", partition="1", phase="running")] == 0
    assert scraped.series("creative_feedback_restore_waiting") == {("0",): 0, ("1",): 1}
    assert scraped.series("creative_feedback_restore_position") == {("0",): 0, ("1",): 120}
    assert scraped.series("creative_feedback_restore_barrier") == {("0",): 0, ("1",): 150}
    assert samples[sample("creative_feedback_doubt_seconds", worker="w-1")] == 9
    assert samples[sample("creative_feedback_worker_phase", worker="w-1", phase="recovering")] == 1
    assert samples[sample("creative_feedback_worker_silent_seconds", worker="w-0")] == 3
    assert samples[sample("creative_feedback_worker_start_time_seconds", worker="w-0")] == 500
    assert samples[sample("creative_feedback_build_info", version=APPLICATION_VERSION)] == 1
    assert samples[sample("creative_feedback_input_partitions")] == 8
    assert samples[sample("creative_feedback_exploration_limit_steps")] == 200


def test_a_partition_that_moves_away_loses_its_series() -> None:
    scraped = Scraped()
    scraped.hear(partitions={0: partition(), 1: partition(figures={"gain": 2.0})})
    scraped.hear(partitions={0: partition()})
    assert {labels for _, labels in scraped.samples() if labels and labels[0] == ("partition", "1")} == set()
    assert scraped[sample("tori_creativity_gain")] == 0


def test_while_a_partition_moves_it_is_shown_once_as_its_new_worker_has_it() -> None:
    scraped = Scraped()
    scraped.hear("w-1", generation=5, partitions={0: partition("restoring")})
    scraped.hear("w-0", generation=4, partitions={0: partition(figures={"gain": 1.0})})
    assert scraped.series("creative_feedback_partition_phase")[("0", "restoring")] == 1
    assert scraped[sample("tori_creativity_gain")] == 0


def test_a_worker_that_is_lost_keeps_what_it_counted_and_none_of_its_partitions() -> None:
    scraped = Scraped()
    scraped.hear(partitions={0: partition()}, tally={"events": 5}, rebalances=1)
    scraped.picture.lost("w-0", "killed by signal 9")
    assert scraped[sample("creative_feedback_worker_connected", worker="w-0")] == 0
    assert scraped.series("creative_feedback_lag_records") == {}
    assert scraped[sample("creative_feedback_events_total")] == 5
    scraped.hear(began=600.0, partitions={0: partition()}, tally={"events": 2})
    assert scraped[sample("creative_feedback_worker_connected", worker="w-0")] == 1
    assert scraped[sample("creative_feedback_worker_restarts_total", worker="w-0")] == 1
    assert scraped[sample("creative_feedback_events_total")] == 7


def test_a_stall_is_counted_as_it_grows_and_the_next_one_anew() -> None:
    scraped = Scraped()
    seen = []
    for stalled_s in (0.0, 1.5, 4.0, 0.0, 2.0, 1.0, 0.0):
        scraped.hear(stalled_s=stalled_s)
        seen.append(scraped[sample("creative_feedback_event_loop_stalled_seconds_total", worker="w-0")])
    assert seen == [0, 1.5, 4, 4, 6, 7, 7]
    assert scraped[sample("creative_feedback_event_loop_stall_seconds", worker="w-0")] == 0


def test_the_streams_counts_are_read_when_somebody_asks() -> None:
    counts = StreamCounts(frames=9, bytes=400, left_out=3, slow_closed=2, refused=1, hostile_closed=5, round_s=0.25)
    scraped = Scraped(counts)
    counts.subscribers = 12
    stream = {
        name.removeprefix("creative_feedback_stream_"): value
        for (name, _), value in scraped.samples().items()
        if name.startswith("creative_feedback_stream_")
    }
    assert stream == {
        "subscribers": 12,
        "frames_total": 9,
        "sent_bytes_total": 400,
        "left_out_total": 3,
        "slow_closed_total": 2,
        "refused_total": 1,
        "hostile_closed_total": 5,
        "round_seconds": 0.25,
    }


def test_a_profiles_name_cannot_break_a_line_of_the_scrape() -> None:
    hostile = 'x"} 1\ntori_explorations_total{profile="constant\\'
    scraped = Scraped(profiles={"custom": {hostile: "tests.unit.loop.customs:rising"}})
    scraped.hear(tally={f"explorations.{hostile}": 2, f"gains.{hostile}": 0.5})
    assert scraped.series("tori_explorations_total")[(hostile,)] == 2
    assert scraped.series("tori_explorations_total")[("constant",)] == 0
    assert scraped.series("creative_feedback_gain_won_total")[(hostile,)] == 0.5


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("", "text/plain"),
        ("*/*", "text/plain"),
        ("text/plain;version=0.0.4", "text/plain"),
        (OPENMETRICS, "application/openmetrics-text"),
        ("text/html, Application/OpenMetrics-Text", "application/openmetrics-text"),
        ("application/openmetrics-text; q=0, text/plain", "text/plain"),
        (";;;,,,=;q", "text/plain"),
        ("application/openmetrics-text;version=\x00<script>", "application/openmetrics-text"),
    ],
)
def test_the_format_is_the_one_asked_for_and_nothing_of_the_header_comes_back(accept: str, kind: str) -> None:
    body, content_type = Scraped().exposition.render(accept)
    assert content_type.split(";")[0] == kind
    assert "script" not in content_type
    assert body.endswith(b"# EOF\n") == (kind != "text/plain")


def test_every_count_of_the_fold_has_its_metric() -> None:
    bad = [Record(b"{"), Record(event(state={"novelty": "x"}), offset=1)]
    states = [{**(NOVEL if at % 3 else CALM), "aesthetic_score": 0.5 + at % 7 / 20} for at in range(200)]
    good = [Record(event(state=state, sequence=at), offset=at + 2) for at, state in enumerate(states)]
    alarm = [
        Record(event(state={**CALM, "lambda_max": 1.0}), offset=300),
        Record(event(state=CALM, sequence=3), offset=301),
    ]
    settings = Scraped(loop={**SHORT, "min_exploration_steps": 5}, quality={"min_samples": 3}).settings
    tally = run(settings, [*bad, *good, *alarm]).tally
    named = {name for name in tally if name not in PLAIN and name.partition(".")[0] not in LABELLED}
    assert named == {"gain", "gains.constant"}, "what also falls is a gauge, or won and lost"
    assert {
        "fits",
        "predictions",
        "explorations.constant",
        "transitions.emergency",
        "dead_letters.not_decodable",
    } <= set(tally)


def test_the_folds_diary_tells_what_the_histogram_needs() -> None:
    scraped = Scraped(loop={**SHORT, "min_exploration_steps": 5})
    fold = partition_fold(scraped.settings, 0, keeps_diary=True)
    fold.process([Record(event(state=NOVEL), offset=at) for at in range(40)], Collected())
    scraped.hear(tally=dict(fold.tally()), happened=list(fold.diary()))
    ended = scraped[sample("tori_exploration_duration_count")]
    assert ended == sum(scraped.series("tori_explorations_total").values()) > 1
    steps = sum(scraped.series("creative_feedback_exploration_steps_total").values())
    assert scraped[sample("tori_exploration_duration_sum")] == steps
