"""What is held against the scrape of a running process can be found wanting."""

from __future__ import annotations

from typing import Any

from processor.surfaces.watch.beat import PartitionBeat
from tests.deploy.running import complaints_of
from tests.unit.surfaces.prometheus.scraped import OPENMETRICS, Scraped


def scrape(**told: Any) -> str:
    scraped = Scraped()
    scraped.hear(**{"partitions": {0: PartitionBeat("running")}, "tally": {"events": 3}, "batches": [3], **told})
    return scraped.exposition.render(OPENMETRICS)[0].decode()


def test_a_process_that_works_has_all_that_is_asked_for() -> None:
    assert complaints_of(scrape()) == []


def test_a_series_that_is_missing_is_named_with_who_asks_for_it() -> None:
    found = complaints_of(scrape(partitions={}))
    assert "Lagging asks for what does not exist: creative_feedback_lag_seconds[]" in found
    assert any(found.startswith("Phase of each partition asks for") for found in found)


def test_a_metric_that_nobody_declared_is_named_and_one_that_is_not_scraped() -> None:
    renamed = scrape().replace("creative_feedback_doubt_seconds", "creative_feedback_doubted_seconds")
    found = complaints_of(renamed)
    assert "not declared: creative_feedback_doubted_seconds" in found
    assert "not scraped: creative_feedback_doubt_seconds" in found


def test_counts_that_contradict_each_other_are_named() -> None:
    found = complaints_of(scrape(batches=[2, 2], tally={"events": 3, "explorations.pulse": 1}))
    assert "creative_feedback_batch_records_sum is 4 and creative_feedback_events_total 3" in found
    assert "tori_exploration_duration_count is 0 and tori_explorations_total 1" in found
    assert complaints_of(scrape(batches=[], tally={})) == ["no event was counted"]
