"""What is watched: the scrape finds every pod once, and the rules and the dashboard are those that are tested."""

from __future__ import annotations

import json

import yaml  # type: ignore[import-untyped]

from tests.deploy.chart.rendering import needs_helm, rendered
from tests.deploy.delivered import ALERTS, DASHBOARD

pytestmark = needs_helm


def test_the_alerts_are_the_tested_ones_to_the_letter() -> None:
    found = rendered("production").one("PrometheusRule")
    assert found["spec"] == yaml.safe_load(ALERTS.read_text())
    assert found["metadata"]["labels"]["release"] == "prometheus"


def test_the_dashboard_is_the_tested_one_to_the_letter() -> None:
    release = rendered("production")
    (found,) = [one for one in release.all("ConfigMap") if "grafana_dashboard" in one["metadata"]["labels"]]
    assert found["metadata"]["labels"]["grafana_dashboard"] == "1"
    (content,) = found["data"].values()
    assert json.loads(content) == json.loads(DASHBOARD.read_text())


def test_every_pod_is_scraped_once() -> None:
    release = rendered("production")
    monitor = release.one("ServiceMonitor")["spec"]
    services = [
        one
        for one in release.all("Service")
        if monitor["selector"]["matchLabels"].items() <= one["metadata"]["labels"].items()
    ]
    assert len(services) == 1
    (endpoint,) = monitor["endpoints"]
    assert endpoint["path"] == "/metrics"
    assert endpoint["interval"] == "15s"
    (port,) = [one for one in services[0]["spec"]["ports"] if one["name"] == endpoint["port"]]
    (container,) = release.statefulset["spec"]["template"]["spec"]["containers"]
    assert port["targetPort"] in {one["name"] for one in container["ports"] if one["containerPort"] == 8080}


def test_prometheus_shows_the_token_where_one_is_demanded() -> None:
    (endpoint,) = rendered("production").one("ServiceMonitor")["spec"]["endpoints"]
    assert endpoint["authorization"]["credentials"] == {"name": "feedback-token", "key": "token"}
    (endpoint,) = rendered("network-policy").one("ServiceMonitor")["spec"]["endpoints"]
    assert "authorization" not in endpoint


def test_clusters_without_the_operators_are_not_asked_for_their_kinds() -> None:
    for chosen in ("minimal", "unmonitored"):
        assert all(
            one["apiVersion"].partition("/")[0] in {"v1", "apps", "batch", "policy"} for one in rendered(chosen).objects
        )
    names = {one["metadata"]["name"] for one in rendered("unmonitored").all("ConfigMap")}
    assert not [name for name in names if "dashboard" in name]
