"""Whoever is woken by an alert finds what to do, and everything it names is there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

import tests
from processor.config import all_keys
from processor.surfaces.health import What
from processor.surfaces.prometheus import ALL
from tests.deploy.declared import undeclared
from tests.deploy.delivered import rules
from tests.deploy.promql import asked

README = (Path(tests.__file__).parent.parent / "README.md").read_text(encoding="utf-8")
PARTS = ("Means", "Look at", "Do", "Escalate")
HISTOGRAMS = {metric.name for metric in ALL if metric.kind == "histogram"}  # shown as a whole, asked for by its parts
OF_OTHERS = {"container_cpu_cfs_throttled_periods_total"}


def sections() -> Iterator[tuple[str, str]]:
    """Title and text of every section of the runbook; the first one, without a title, is for all alerts."""
    runbook = re.search(r"^## Runbook\n(.*?)(?=^## |\Z)", README, re.S | re.M)
    assert runbook is not None
    first, *titled = re.split(r"^### (.+)\n", runbook[1], flags=re.M)
    yield "", first
    yield from zip(titled[::2], titled[1::2], strict=True)


SECTIONS = dict(sections())
each_section = pytest.mark.parametrize("text", SECTIONS.values(), ids=SECTIONS.keys())


def test_every_alert_has_one_section_in_the_order_of_the_rules_and_no_section_is_left_over() -> None:
    assert [title for title, _ in sections() if title] == [rule["alert"] for rule in rules()]


@pytest.mark.parametrize("title", [rule["alert"] for rule in rules()])
def test_a_section_says_what_it_means_what_to_look_at_what_to_do_and_whom_to_call(title: str) -> None:
    assert tuple(re.findall(r"^- \*\*(.+?)\*\* \S", SECTIONS[title], re.M)) == PARTS


@each_section
def test_every_metric_and_setting_it_names_exists(text: str) -> None:
    for metric in set(re.findall(r"\b(?:tori|creative_feedback|process|container)_\w+(?:\{[^}]*\})?", text)):
        if metric not in HISTOGRAMS | OF_OTHERS:
            assert undeclared(asked(metric)) == [], metric
    names = "|".join({key.partition(".")[0] for key in all_keys()})
    for setting in re.findall(rf"(?<![\w-])(?:{names})\.[a-z][a-z_]+\*?", text):
        known = [key for key in all_keys() if key == setting or (setting[-1] == "*" and key.startswith(setting[:-1]))]
        assert known, setting


@each_section
def test_every_finding_of_the_health_endpoints_it_names_exists(text: str) -> None:
    """A word in code with an underscore is a finding, a setting or a metric; the latter two have a dot or a prefix."""
    findings = set(re.findall(r"`([a-z]+_[a-z]+)`", text)) - {"lambda_max", "too_large", "too_deep"}
    assert findings <= set(get_args(What))
