"""What helm says after an installation: the way on, and what is risky about the chosen values.

helm renders the notes only with a cluster at hand, so here they become a template like any other.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from tests.deploy.chart.rendering import CHART, NAME, NAMESPACE, NEWEST, VALUES, each_set, helm, needs_helm

pytestmark = needs_helm

Notes = Callable[..., str]
WRAPPED = """{{- define "notes" -}}
%s
{{- end -}}
apiVersion: v1
kind: Notes
metadata: {name: notes}
text: {{ include "notes" . | toJson }}
"""


@pytest.fixture(scope="module")
def notes(tmp_path_factory: pytest.TempPathFactory) -> Notes:
    """The notes for a set of values with changes."""
    chart = shutil.copytree(CHART, tmp_path_factory.mktemp("chart") / CHART.name)
    templates = chart / "templates"
    (templates / "notes.yaml").write_text(WRAPPED % (templates / "NOTES.txt").read_text())

    def render(chosen: str, changed: Mapping[str, Any] | None = None) -> str:
        said = helm(
            "template", NAME, chart, "--namespace", NAMESPACE, "--kube-version", NEWEST, "--show-only",
            Path("templates", "notes.yaml"), "--values", VALUES / f"{chosen}.yaml", values=changed or {},
        )  # fmt: skip
        assert said.returncode == 0, said.stderr
        text: str = yaml.load(said.stdout, yaml.CSafeLoader)["text"]
        return text

    return render


@each_set
def test_they_lead_on_whatever_was_chosen(chosen: str, notes: Notes) -> None:
    said = notes(chosen)
    assert f"kubectl -n {NAMESPACE} rollout status statefulset/" in said
    assert f"helm test {NAME} -n {NAMESPACE} --logs" in said


def test_nothing_is_risky_about_production(notes: Notes) -> None:
    assert "Mind:" not in notes("production")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"topics": {"replicationFactor": 1}}, "topics.replicationFactor 1: "),
        ({"networkPolicy": {"enabled": False}}, "networkPolicy.enabled false: "),
        ({"http": {"tokenSecret": None}}, "http.tokenSecret is not set: "),
        ({"settings": {"engine": {"static_membership": False}}}, "settings.engine.static_membership false: "),
        (
            {"settings": {"engine": {"leave_on_stop": False}}},
            "settings.engine.leave_on_stop false: a stopped pod's partitions wait for it, up to 30 s",
        ),
        (
            {"settings": {"engine": {"leave_on_stop": False, "session_timeout_ms": None}}},
            "settings.engine.leave_on_stop false: a stopped pod's partitions wait for it, up to 10 s",
        ),
        ({"autoscaling": {"enabled": False}, "replicaCount": 1}, "replicaCount 1: "),
        ({"autoscaling": {"enabled": False}, "replicaCount": 25, "workers": 2}, "replicaCount 25 with workers 2: "),
        ({"serviceMonitor": {"enabled": False}, "prometheusRule": {"enabled": False}}, "serviceMonitor and "),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_risky_is_named_with_its_value(changed: Mapping[str, Any], said: str, notes: Notes) -> None:
    assert f"\nMind:\n- {said}" in notes("production", changed)


def test_who_logs_in_nowhere_is_told(notes: Notes) -> None:
    assert "\n- kafka.securityProtocol PLAINTEXT: " in notes("minimal")
