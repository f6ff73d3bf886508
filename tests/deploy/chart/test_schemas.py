"""What the chart renders is valid for the oldest and the newest Kubernetes, and the schemas see what is not."""

from __future__ import annotations

from typing import Any

import pytest

from tests.deploy.chart.rendering import NEWEST, OLDEST
from tests.deploy.chart.schemas import complaints, misnamed

SERVICE = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}, "spec": {"ports": [{"port": 8080}]}}
SCALED: dict[str, Any] = {
    "apiVersion": "keda.sh/v1alpha1",
    "kind": "ScaledObject",
    "metadata": {"name": "a"},
    "spec": {"scaleTargetRef": {"name": "a"}, "triggers": [{"type": "kafka", "metadata": {"topic": "a"}}]},
}
RULES: dict[str, Any] = {
    "apiVersion": "monitoring.coreos.com/v1",
    "kind": "PrometheusRule",
    "metadata": {"name": "a"},
    "spec": {"groups": [{"name": "a", "rules": [{"alert": "A", "expr": "up == 0", "for": "5m"}]}]},
}
MONITOR: dict[str, Any] = {
    "apiVersion": "monitoring.coreos.com/v1",
    "kind": "ServiceMonitor",
    "metadata": {"name": "a"},
    "spec": {"selector": {}, "endpoints": [{"port": "http", "interval": "15s"}]},
}


@pytest.mark.parametrize("found", [SERVICE, SCALED, RULES, MONITOR], ids=lambda one: one["kind"])
def test_what_is_right_is_not_complained_about(found: dict[str, Any]) -> None:
    assert complaints(found, OLDEST) == complaints(found, NEWEST) == []


@pytest.mark.parametrize(
    ("found", "spec", "said"),
    [
        (SERVICE, {"ports": [{"port": "8080"}]}, "spec.ports.0.port: '8080' is not of type 'integer'"),
        (SERVICE, {"port": 8080}, "'port' was unexpected"),
        (SERVICE, {"ports": [{}]}, "'port' is a required property"),
        (SCALED, {"triggers": SCALED["spec"]["triggers"]}, "spec.scaleTargetRef: Field required"),
        (SCALED, {**SCALED["spec"], "maxReplicas": 3}, "spec: unknown field maxReplicas"),
        (SCALED, {**SCALED["spec"], "maxReplicaCount": "3"}, "spec.maxReplicaCount: Input should be a valid integer"),
        (SCALED, {**SCALED["spec"], "triggers": [{"type": "kafka", "metadata": {"lagThreshold": 3}}]}, "valid string"),
        (RULES, {"groups": [{"name": "a", "rules": [{"alert": "A", "expr": "1", "for": "5 m"}]}]}, "match pattern"),
        (RULES, {"groups": [{"name": "a", "rules": [{"alert": "A", "expression": "1"}]}]}, "rules.0.expr: Field"),
        (MONITOR, {"selector": {}, "endpoints": [{"interval": "soon"}]}, "match pattern"),
        (MONITOR, {"selector": {}, "endpoints": [{"targetport": 1}]}, "spec.endpoints.0: unknown field targetport"),
    ],
)
def test_what_an_api_server_would_refuse_is_named(found: dict[str, Any], spec: dict[str, Any], said: str) -> None:
    assert any(said in one for one in complaints({**found, "spec": spec}, NEWEST))


@pytest.mark.parametrize(
    ("api_version", "kind", "said"),
    [
        ("apps/v1beta1", "StatefulSet", "Kubernetes 1.37.0 has no statefulset-apps-v1beta1"),
        ("keda.sh/v1alpha1", "Scaled", "keda.sh/v1alpha1 has no Scaled"),
    ],
)
def test_an_unknown_kind_is_no_success(api_version: str, kind: str, said: str) -> None:
    with pytest.raises(KeyError, match=said):
        complaints({"apiVersion": api_version, "kind": kind, "metadata": {"name": "a"}}, NEWEST)


@pytest.mark.parametrize(
    "metadata",
    [
        {"name": "a" * 64},
        {"name": "A"},
        {"name": "a-"},
        {"name": "a", "labels": {"app": "b" * 64}},
        {"name": "a", "labels": {"app": "b c"}},
        {"name": "a", "labels": {"app": 1}},
        {"name": "a", "annotations": {"times": 1}},
    ],
)
def test_names_and_labels_that_no_server_takes_are_named(metadata: dict[str, Any]) -> None:
    assert misnamed({**SERVICE, "metadata": metadata})


def test_a_stateful_sets_name_leaves_room_for_its_revisions() -> None:
    assert misnamed({"kind": "StatefulSet", "metadata": {"name": "a" * 53}})
    assert not misnamed({"kind": "StatefulSet", "metadata": {"name": "a" * 52}})
