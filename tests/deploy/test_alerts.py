"""The alerting rules ask for what exists, and say what to do."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]
from typer.main import get_command

from processor.config import all_keys
from processor.surfaces.cli import cli
from processor.surfaces.health import Health
from tests.deploy.declared import undeclared, unseen
from tests.deploy.delivered import ALERT_TESTS, ALERTS, needs_promtool, promtool, rules
from tests.deploy.promql import asked
from tests.deploy.scrape import scrape

each_rule = pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])


@needs_promtool
def test_promtool_finds_the_rules_right() -> None:
    said = promtool("check", "rules", "--lint=all", "--lint-fatal", ALERTS)
    assert said.returncode == 0, said.stdout + said.stderr
    assert f"SUCCESS: {len(rules())} rules found" in said.stdout


@needs_promtool
def test_every_alert_fires_when_it_should_and_keeps_quiet_when_it_should_not() -> None:
    said = promtool("test", "rules", ALERT_TESTS)
    assert said.returncode == 0, said.stdout + said.stderr


def test_each_alert_has_a_course_in_which_it_fires() -> None:
    courses = yaml.safe_load(ALERT_TESTS.read_text())["tests"]
    firing = {alert for course in courses for check in course["promql_expr_test"] for alert in _alerts(check)}
    assert firing == {rule["alert"] for rule in rules()}


@each_rule
def test_an_alert_asks_for_what_is_declared_and_scraped(rule: dict[str, Any]) -> None:
    question = asked(rule["expr"])
    assert question.selectors
    assert (undeclared(question), unseen(question, scrape())) == ([], [])


@each_rule
def test_an_alert_says_who_should_care_and_what_to_do(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in {"critical", "warning", "info"}
    assert set(rule["annotations"]) == {"summary", "description"}
    assert len(rule["annotations"]["summary"]) < 100
    assert rule["annotations"]["description"].endswith(".")
    waits = rule.get("for", "0m")
    assert (waits == "0m") == (rule["labels"]["severity"] == "info"), "whoever is called wants it to be lasting"


@each_rule
def test_what_an_alert_names_exists(rule: dict[str, Any]) -> None:
    said = " ".join(rule["annotations"].values())
    sections = "|".join({key.partition(".")[0] for key in all_keys()})
    assert set(re.findall(rf"(?<![\w-])(?:{sections})\.[a-z_]+", said)) <= set(all_keys())
    commands = get_command(cli)
    for command in re.findall(r"`creative-feedback ([\w-]+)", said):
        assert command in commands.commands  # type: ignore[attr-defined]
    for probe in re.findall(r"/health/(\w+)", said):
        assert probe in Health.__struct_fields__
    for metric in re.findall(r"\b(?:tori|creative_feedback)_\w+", said):
        assert undeclared(asked(metric)) == []


@needs_promtool
def test_every_text_can_be_filled_in(tmp_path: Path) -> None:
    """promtool prints an alert that it did not expect with its texts, as people will read them.

    All courses of one interval are told as one, which is quicker; each is a job of its own there.
    """
    told: dict[str, dict[str, Any]] = {}
    waiting = {rule["alert"] for rule in rules()}
    for number, course in enumerate(yaml.safe_load(ALERT_TESTS.read_text())["tests"]):
        absent = any("CreativeFeedbackAbsent" in _alerts(check) for check in course["promql_expr_test"])
        merged = told.setdefault(
            "where nothing else is" if absent else course["interval"],
            {"interval": course["interval"], "input_series": [], "alert_rule_test": []},
        )
        for each in course["input_series"]:
            series = each["series"].replace('job="', f'job="{number}-')
            merged["input_series"].append({"series": series, "values": each["values"]})
        for check in course["promql_expr_test"]:
            fired = waiting.intersection(_alerts(check))
            waiting -= fired
            merged["alert_rule_test"] += [
                {"eval_time": check["eval_time"], "alertname": alert, "exp_alerts": []} for alert in sorted(fired)
            ]
    courses = {
        "rule_files": [str(ALERTS)],
        "evaluation_interval": "1m",
        "tests": [course for course in told.values() if course["alert_rule_test"]],
    }
    (tmp_path / "texts.yml").write_text(yaml.safe_dump(courses))
    said = promtool("test", "rules", tmp_path / "texts.yml")
    texts = re.findall(r'\b(?:summary|description)="((?:[^"\\]|\\.)*)"', said.stdout + said.stderr)
    assert len(texts) >= 2 * len(rules())
    for text in texts:
        assert not re.search(r"error expanding|<no value>|NaN|Inf|\{\{|  ", text), text


def _alerts(check: dict[str, Any]) -> set[str]:
    """The alerts that a course expects at one time."""
    return {re.findall(r'alertname="(\w+)"', each["labels"])[0] for each in check["exp_samples"]}
