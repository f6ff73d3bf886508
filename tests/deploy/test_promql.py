"""The reader of expressions finds every selector and every label."""

from __future__ import annotations

import pytest

from tests.deploy.declared import undeclared, unseen
from tests.deploy.promql import Selector, asked


def test_selectors_are_found_among_functions_keywords_numbers_and_text() -> None:
    question = asked(
        'histogram_quantile(0.9, sum by (le, job) (rate(a_bucket{x="b_total{y=\\"1\\"}", z!~"c|d"}[5m] offset 1h))) '
        "> bool 1e3 * on (namespace) group_left (worker) max_over_time(b_total[1h:1m]) or vector(0) unless -Inf"
    )
    assert question.selectors == [
        Selector("a_bucket", [("x", "=", 'b_total{y="1"}'), ("z", "!~", "c|d")]),
        Selector("b_total"),
    ]
    assert question.grouping == {"le", "job", "namespace", "worker"}


@pytest.mark.parametrize(
    ("expression", "missing"),
    [
        ("sum(rate(tori_creative_errors[5m]))", ["tori_creative_errors"]),
        ("tori_exploration_duration > 1", ["tori_exploration_duration"]),
        ('tori_creative_mode{kind="exploring"}', ["tori_creative_mode{kind}"]),
        ("sum by (session) (tori_creative_mode)", ["session"]),
        ("sum by (le) (rate(tori_exploration_duration_bucket[5m])) + mode", ["mode"]),
        ('sum by (mode, pod) (tori_creative_mode{namespace="n"})', ["pod"]),
    ],
)
def test_what_nobody_declares_is_named(expression: str, missing: list[str]) -> None:
    assert undeclared(asked(expression)) == missing


def test_a_selector_without_a_series_is_named() -> None:
    scrape = [("a", {"mode": "stable"}), ("a", {"mode": "exploring"})]
    assert unseen(asked('a{mode=~"expl.*", job="x", namespace=~".*"} / a'), scrape) == []
    assert unseen(asked('a{mode="halted"} + b'), scrape) == ["a[('mode', '=', 'halted')]", "b[]"]


@pytest.mark.parametrize("broken", ["sum(a) ! b", 'a{b="c', "{job=~'.*'}"])
def test_what_is_no_expression_is_refused(broken: str) -> None:
    with pytest.raises(ValueError, match=r"PromQL|without a name"):
        asked(broken)
