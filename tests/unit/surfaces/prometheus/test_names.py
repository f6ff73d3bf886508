"""The declarations keep to Prometheus' conventions."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from processor.surfaces.prometheus import ALL, Declared, metrics_markdown

BASE_UNITS = {"seconds", "bytes"}


def test_no_name_is_declared_twice() -> None:
    named = [metric.name for metric in ALL]
    assert sorted(set(named)) == sorted(named)
    families = [metric.family for metric in ALL]
    assert sorted(set(families)) == sorted(families)


@pytest.mark.parametrize("metric", ALL, ids=lambda metric: metric.name)
def test_a_name_says_its_kind_and_its_unit(metric: Declared) -> None:
    assert re.fullmatch(r"(tori|creative_feedback|process)(_[a-z]+)+", metric.name)
    assert metric.name.endswith("_total") == (metric.kind == "counter")
    if metric.unit in BASE_UNITS:
        assert metric.family.endswith(f"_{metric.unit}")
    assert not re.search(r"_(ms|millis\w*|minutes|kb|mb|percent)(_|$)", metric.name)
    assert bool(metric.buckets) == (metric.kind == "histogram")
    assert list(metric.buckets) == sorted(set(metric.buckets))


def test_no_label_grows_with_the_input() -> None:
    labels = {label for metric in ALL for label in metric.labels}
    assert labels == {"code", "mode", "outcome", "partition", "phase", "profile", "source", "version", "what", "worker"}


def test_the_seeds_names_are_kept() -> None:
    seeds = [(metric.name, metric.kind, metric.labels) for metric in ALL if metric.name.startswith("tori_")]
    assert seeds == [
        ("tori_creativity_gain", "gauge", ()),
        ("tori_exploration_duration", "histogram", ()),
        ("tori_explorations_total", "counter", ("profile",)),
        ("tori_creative_mode", "gauge", ("mode",)),
        ("tori_creative_errors_total", "counter", ("code",)),
    ]


def test_the_reference_has_a_line_for_each() -> None:
    lines = metrics_markdown().splitlines()
    assert [line.split("`")[1].partition("{")[0] for line in lines[2:]] == [metric.name for metric in ALL]
    printed = subprocess.run(
        [sys.executable, "-m", "processor.surfaces.prometheus"], capture_output=True, text=True, timeout=30, check=True
    )
    assert printed.stdout.splitlines() == lines
