"""The chart knows every setting of the processor, and only those."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from processor.config import ENVIRONMENT_PREFIX, all_keys
from tests.deploy.chart_settings import SCHEMA, SET_BY_THE_CHART, rendered

pytestmark = pytest.mark.timeout(20)


def known() -> Mapping[str, Mapping[str, Any]]:
    """What the chart's schema says of the settings: section -> key -> JSON Schema."""
    settings = json.loads(SCHEMA.read_text(encoding="utf-8"))["properties"]["settings"]
    return {section: table["properties"] for section, table in settings["properties"].items()}


def test_the_charts_schema_has_the_settings_as_they_are_now() -> None:
    document = SCHEMA.read_text(encoding="utf-8")
    assert document == rendered(document), "run python -m tests.deploy.chart_settings"


def test_the_charts_schema_has_every_setting_and_no_other() -> None:
    assert {f"{section}.{key}" for section, keys in known().items() for key in keys} == set(all_keys())


def test_every_file_is_set_by_the_chart() -> None:
    files = {name for name in all_keys() if name.endswith("_file")}
    assert files
    assert files <= SET_BY_THE_CHART


def test_what_the_chart_sets_is_refused_with_the_remedy() -> None:
    checks = (SCHEMA.parent / "templates" / "_checks.tpl").read_text(encoding="utf-8")
    refused = {line.split('"')[1] for line in checks.splitlines() if line.startswith('  "') and line.count('"') == 4}
    assert refused == SET_BY_THE_CHART
    assert set(all_keys()) >= SET_BY_THE_CHART


def test_the_schema_lets_every_default_through() -> None:
    for name, key in all_keys().items():
        if name in SET_BY_THE_CHART or key.default is None:
            continue
        section, _, field = name.partition(".")
        schema = known()[section][field]
        if "enum" in schema:
            assert key.default in schema["enum"], name
        if isinstance(key.default, int | float) and not isinstance(key.default, bool):
            assert schema.get("minimum", key.default) <= key.default <= schema.get("maximum", key.default), name


def test_environment_that_looks_like_a_setting_is_refused_by_the_same_prefix() -> None:
    checks = (SCHEMA.parent / "templates" / "_checks.tpl").read_text(encoding="utf-8")
    prefix = checks.split('hasPrefix "CREATIVE')[1].split('"')[0]
    assert ENVIRONMENT_PREFIX.startswith("CREATIVE" + prefix)
