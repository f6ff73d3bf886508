"""What an expression may ask for: the metrics that are declared, with their labels and those of a scrape's target."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from processor.surfaces.prometheus import ALL, Declared
from tests.deploy.promql import Asked

TARGET_LABELS = {"namespace", "job", "instance"}  # given by Prometheus to all series of a scrape

Series = Iterable[tuple[str, Mapping[str, str]]]


def _series_of(metric: Declared) -> dict[str, set[str]]:
    labels: set[str] = set(metric.labels)
    if metric.kind != "histogram":
        return {metric.name: labels}
    return {f"{metric.name}_bucket": labels | {"le"}, f"{metric.name}_sum": labels, f"{metric.name}_count": labels}


LABELS: Mapping[str, set[str]] = {name: labels for metric in ALL for name, labels in _series_of(metric).items()}


def undeclared(question: Asked) -> list[str]:
    """What it asks for and nobody declares: metrics, their labels, and what it groups by."""
    found = []
    grouping = set(TARGET_LABELS)
    for selector in question.selectors:
        if (labels := LABELS.get(selector.metric)) is None:
            found.append(selector.metric)
            continue
        grouping |= labels
        found += [
            f"{selector.metric}{{{label}}}" for label, *_ in selector.matchers if label not in labels | TARGET_LABELS
        ]
    return found + sorted(question.grouping - grouping)


def unseen(question: Asked, scraped: Series) -> list[str]:
    """The selectors for which a scrape has no series, whatever its target."""
    return [
        f"{selector.metric}{selector.matchers}"
        for selector in question.selectors
        if not any(selector.selects(name, {**labels, **_target(selector.matchers, labels)}) for name, labels in scraped)
    ]


def _target(matchers: Iterable[tuple[str, str, str]], labels: Mapping[str, str]) -> dict[str, str]:
    """Labels of a target that the matchers would select."""
    return {label: value for label, _, value in matchers if label in TARGET_LABELS and label not in labels}
