"""The delivered files: alerting rules, their tests, the dashboard."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

import tests

FILES = Path(tests.__file__).parent.parent / "helm" / "creative-feedback" / "files"
ALERTS = FILES / "prometheus-alerts.yml"
ALERT_TESTS = FILES / "prometheus-alerts-test.yml"
DASHBOARD = FILES / "grafana-dashboard.json"

PROMTOOL = shutil.which("promtool")
needs_promtool = pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed (Debian: prometheus)")

# What Grafana puts in place of its variables, so that Prometheus can read the query.
VARIABLES = {"__rate_interval": "5m", "__range": "1h", "namespace": ".*", "job": ".*"}


def promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run it; the result has what it said."""
    assert PROMTOOL is not None
    return subprocess.run([PROMTOOL, *arguments], capture_output=True, text=True, timeout=50, check=False)


def rules() -> list[dict[str, Any]]:
    """All alerting rules."""
    return [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]


def dashboard() -> dict[str, Any]:
    read: dict[str, Any] = json.loads(DASHBOARD.read_text())
    return read


def queries() -> Iterator[tuple[str, str, str]]:
    """Where it stands, what a legend says, and the PromQL of every query of the dashboard, variables replaced."""
    for panel in dashboard()["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["legendFormat"], _plain(target["expr"])
    for annotation in dashboard()["annotations"]["list"]:
        if "expr" in annotation:
            yield annotation["name"], annotation["titleFormat"], _plain(annotation["expr"])


def _plain(expression: str) -> str:
    return re.sub(r"\$(\w+)", lambda match: VARIABLES[match[1]], expression)
