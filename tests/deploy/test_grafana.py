"""The dashboard can be provisioned, and every query of it names series that exist."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from processor.surfaces.prometheus import names
from tests.deploy.declared import LABELS, TARGET_LABELS, undeclared, unseen
from tests.deploy.delivered import dashboard, needs_promtool, promtool, queries
from tests.deploy.promql import asked
from tests.deploy.scrape import scrape

each_query = pytest.mark.parametrize(
    ("legend", "expression"), [query[1:] for query in queries()], ids=[f"{query[0]}-{query[1]}" for query in queries()]
)


@each_query
def test_a_query_asks_for_what_is_declared_and_scraped(legend: str, expression: str) -> None:
    question = asked(expression)
    assert question.selectors
    assert (undeclared(question), unseen(question, scrape())) == ([], [])
    labels = set().union(*(LABELS[selector.metric] for selector in question.selectors)) | TARGET_LABELS
    assert set(re.findall(r"\{\{(\w+)\}\}", legend)) <= labels


@needs_promtool
def test_prometheus_can_read_every_query(tmp_path: Path) -> None:
    rules = [{"record": f"query:{at}", "expr": query[2]} for at, query in enumerate(queries())]
    path = tmp_path / "queries.yml"
    path.write_text(json.dumps({"groups": [{"name": "queries", "rules": rules}]}))  # JSON is YAML
    said = promtool("check", "rules", path)
    assert said.returncode == 0, said.stdout + said.stderr


@needs_promtool
def test_every_query_gives_data_where_two_processes_are_scraped(tmp_path: Path) -> None:
    """promtool prints what it did not expect: here everything, as nothing is expected."""
    asking = [query[2] for query in queries()]
    series = [
        {
            "series": _series_text(name, {**labels, "job": "cf", "namespace": "n", "instance": instance}),
            "values": values,
        }
        for instance in ("a", "b")
        for name, labels in scrape()
        for values in ["0+60x30" if re.search("_(total|bucket|sum|count|start_time_seconds)$", name) else "1x30"]
    ]
    course = {
        "interval": "1m",
        "input_series": series,
        "promql_expr_test": [{"expr": expression, "eval_time": "20m", "exp_samples": []} for expression in asking],
    }
    path = tmp_path / "queries.yml"
    path.write_text(json.dumps({"rule_files": [], "evaluation_interval": "1m", "tests": [course]}))
    said = promtool("test", "rules", path)
    answers = [answer.split("\n") for answer in (said.stdout + said.stderr).split("    expr: ")[1:]]
    given = {
        json.loads(line.split(", time: ")[0]) for line, _, got, *_ in answers if re.search(r"got: .*[-+.\dE]+$", got)
    }
    assert [expression for expression in asking if expression not in given] == []


def _series_text(name: str, labels: dict[str, str]) -> str:
    return name + "{" + ",".join(f"{label}={json.dumps(value)}" for label, value in labels.items()) + "}"


def test_every_own_metric_is_shown_somewhere() -> None:
    shown = {selector.metric for query in queries() for selector in asked(query[2]).selectors}
    series = {metric.name: {metric.name, f"{metric.name}_bucket"} for metric in names.OWN}
    assert [name for name, either in series.items() if not either & shown] == []


def test_it_is_one_dashboard_for_any_data_source() -> None:
    read = dashboard()
    assert "id" not in read, "Grafana gives it one"
    assert read["uid"] == "creative-feedback"
    assert read["schemaVersion"] >= 41
    assert [variable["name"] for variable in read["templating"]["list"]] == ["datasource", "namespace", "job"]
    sources = {panel["datasource"]["uid"] for panel in read["panels"] if panel["type"] != "row"}
    sources |= {target["datasource"]["uid"] for panel in read["panels"] for target in panel.get("targets", ())}
    assert sources == {"${datasource}"}


def test_the_variables_list_what_exists() -> None:
    for variable in dashboard()["templating"]["list"][1:]:
        found = re.fullmatch(r"label_values\((\w+)(?:\{.*\})?, (\w+)\)", variable["definition"])
        assert found is not None
        assert found[1] in LABELS
        assert found[2] in TARGET_LABELS | LABELS[found[1]]
        assert variable["query"]["query"] == variable["definition"]


def test_every_panel_has_its_own_place_and_says_what_it_shows() -> None:
    panels = dashboard()["panels"]
    assert sorted(panel["id"] for panel in panels) == list(range(1, len(panels) + 1))
    covered: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert max(x for x, _ in cells) < 24
        assert not cells & covered, panel["title"]
        covered |= cells
        assert panel["title"]
        if panel["type"] != "row":
            assert panel["description"].endswith(".")
            assert panel["targets"]


def test_the_rows_tell_the_story_first() -> None:
    assert [panel["title"] for panel in dashboard()["panels"] if panel["type"] == "row"] == [
        "Story",
        "Throughput and latency",
        "Partitions and lag",
        "Learning",
        "Errors",
        "Instances",
        "Stream",
    ]
