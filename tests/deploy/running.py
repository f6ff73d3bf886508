"""A scrape of a running process, held against all that is declared, alerted on and graphed."""

from __future__ import annotations

import subprocess
import urllib.request
from collections.abc import Iterator, Mapping

from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from processor.surfaces.prometheus import ALL
from tests.deploy.declared import unseen
from tests.deploy.delivered import PROMTOOL, queries, rules
from tests.deploy.promql import asked

OPENMETRICS = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3"


def complaints(url: str, timeout_s: float = 10.0) -> list[str]:
    """What is wrong with ``URL/metrics`` of a process that works on events: nothing, where all is well.

    Raises `ValueError` where the text is no OpenMetrics, `OSError` where nobody answers.
    """
    text, kind = _fetched(url, OPENMETRICS, timeout_s)
    if not kind.startswith("application/openmetrics-text"):
        return [f"the format is {kind}"]
    return [*complaints_of(text), *_linted(url, timeout_s)]


def complaints_of(text: str) -> list[str]:
    """The same for a scrape in OpenMetrics."""
    families = list(text_string_to_metric_families(text))  # type: ignore[no-untyped-call]
    return [*_undeclared(families), *_missing(families), *_contradictions(families)]


def _fetched(url: str, accept: str, timeout_s: float) -> tuple[str, str]:
    request = urllib.request.Request(f"{url}/metrics", headers={"Accept": accept})
    with urllib.request.urlopen(request, timeout=timeout_s) as answer:
        return answer.read().decode(), answer.headers["Content-Type"]


def _undeclared(families: list[Metric]) -> Iterator[str]:
    found = {family.name for family in families}
    declared = {metric.family for metric in ALL}
    yield from (f"not declared: {name}" for name in sorted(found - declared))
    yield from (f"not scraped: {name}" for name in sorted(declared - found))


def _missing(families: list[Metric]) -> Iterator[str]:
    series = [(sample.name, sample.labels) for family in families for sample in family.samples]
    asking = [(rule["alert"], rule["expr"]) for rule in rules()]
    asking += [(title, expression) for title, _, expression in queries()]
    for name, expression in asking:
        yield from (
            f"{name} asks for what does not exist: {selector}" for selector in unseen(asked(expression), series)
        )


def _contradictions(families: list[Metric]) -> Iterator[str]:
    """One scrape is one moment: what is counted in two ways must agree."""
    sums: dict[str, float] = {}
    for family in families:
        for sample in family.samples:
            if "le" not in sample.labels:
                sums[sample.name] = sums.get(sample.name, 0.0) + sample.value
    yield from _different(sums, "creative_feedback_batch_records_sum", "creative_feedback_events_total")
    yield from _different(sums, "creative_feedback_dead_letters_total", "tori_creative_errors_total")
    if sums["creative_feedback_left_out_total"] == 0:
        yield from _different(sums, "tori_exploration_duration_count", "tori_explorations_total")
        yield from _different(sums, "tori_exploration_duration_sum", "creative_feedback_exploration_steps_total")
    if not sums["creative_feedback_events_total"]:
        yield "no event was counted"


def _different(sums: Mapping[str, float], one: str, other: str) -> Iterator[str]:
    if sums[one] != sums[other]:
        yield f"{one} is {sums[one]:g} and {other} {sums[other]:g}"


def _linted(url: str, timeout_s: float) -> Iterator[str]:
    if PROMTOOL is None:
        return
    text, _ = _fetched(url, "text/plain", timeout_s)
    said = subprocess.run(
        [PROMTOOL, "check", "metrics"], input=text, capture_output=True, text=True, timeout=30, check=False
    )
    yield from (said.stdout + said.stderr).splitlines()
