"""KEDA or HPA: what they scale on, how far and how fast."""

from __future__ import annotations

from typing import Any

import pytest

from tests.deploy.chart.pods import worker_pod
from tests.deploy.chart.rendering import Object, needs_helm, rendered

pytestmark = needs_helm

# What KEDA's scaler reads, from a trigger's metadata and from its authentication.
METADATA = {
    *("bootstrapServers", "consumerGroup", "topic", "lagThreshold", "activationLagThreshold", "offsetResetPolicy"),
    *("allowIdleConsumers", "limitToPartitionsWithLag", "excludePersistentLag", "version", "sasl", "tls", "unsafeSsl"),
}
PARAMETERS = {"username", "password", "ca", "cert", "key", "keyPassword", "oauthTokenEndpointUri", "scopes"}


def trigger(chosen: str, changed: dict[str, Any] | None = None) -> Object:
    (found,) = rendered(chosen, changed).one("ScaledObject")["spec"]["triggers"]
    assert found["type"] == "kafka"
    assert found["metadata"].keys() <= METADATA
    return dict(found)


@pytest.mark.parametrize("chosen", ["minimal", "workers", "mtls"])
def test_nothing_scales_unless_it_is_asked_to(chosen: str) -> None:
    kinds = {one["kind"] for one in rendered(chosen).objects}
    assert not kinds & {"ScaledObject", "TriggerAuthentication", "HorizontalPodAutoscaler"}


def test_one_autoscaler_at_a_time() -> None:
    assert rendered("hpa").all("ScaledObject") == []
    assert rendered("production").all("HorizontalPodAutoscaler") == []


@pytest.mark.parametrize(("chosen", "kind"), [("production", "ScaledObject"), ("hpa", "HorizontalPodAutoscaler")])
def test_it_scales_the_stateful_set(chosen: str, kind: str) -> None:
    release = rendered(chosen)
    target = release.one(kind)["spec"]["scaleTargetRef"]
    name = release.statefulset["metadata"]["name"]
    assert target == {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": name}


def test_keda_measures_the_lag_of_what_the_processor_reads() -> None:
    changed = {"settings": {"topics": {"state": "other.state"}, "engine": {"application_id": "other"}}}
    for values in ({}, changed):
        settings = worker_pod(rendered("production", values)).settings()
        metadata = trigger("production", values)["metadata"]
        assert metadata["bootstrapServers"] == settings.kafka.bootstrap_servers
        assert metadata["consumerGroup"] == settings.engine.application_id
        assert metadata["topic"] == settings.topics.state


def test_keda_measures_it_by_default_names_too() -> None:
    changed = {"autoscaling": {"enabled": True, "kind": "keda", "maxReplicas": 4}}
    settings = worker_pod(rendered("minimal", changed)).settings()
    metadata = trigger("minimal", changed)["metadata"]
    assert (metadata["consumerGroup"], metadata["topic"]) == (settings.engine.application_id, settings.topics.state)


def test_no_more_pods_than_partitions_with_lag() -> None:
    metadata = trigger("production")["metadata"]
    assert metadata["limitToPartitionsWithLag"] == "true"
    assert metadata["allowIdleConsumers"] == "false"
    assert metadata["lagThreshold"] == "5000"
    spec = rendered("production").one("ScaledObject")["spec"]
    assert (spec["minReplicaCount"], spec["maxReplicaCount"]) == (3, 24)


def test_the_last_pod_is_never_scaled_away() -> None:
    spec = rendered("long-names").one("ScaledObject")["spec"]
    assert spec["minReplicaCount"] == 1
    assert "idleReplicaCount" not in spec


@pytest.mark.parametrize(
    ("chosen", "sasl", "tls"),
    [
        ("production", "scram_sha512", "enable"),
        ("oauth-endpoint", "oauthbearer", "enable"),
        ("long-names", "none", "disable"),
    ],
)
def test_keda_comes_the_same_way_to_kafka(chosen: str, sasl: str, tls: str) -> None:
    metadata = trigger(chosen)["metadata"]
    assert (metadata["sasl"], metadata["tls"]) == (sasl, tls)


def test_keda_logs_in_with_the_same_secrets() -> None:
    release = rendered("production")
    authentication = release.one("TriggerAuthentication")
    assert trigger("production")["authenticationRef"] == {"name": authentication["metadata"]["name"]}
    secrets = {one["parameter"]: (one["name"], one["key"]) for one in authentication["spec"]["secretTargetRef"]}
    assert secrets == {"ca": ("kafka-cluster-ca", "ca.crt"), "password": ("kafka-processor", "password")}
    assert told("production") == {"username": "processor"}


@pytest.mark.parametrize("chosen", ["production", "long-names"])
def test_a_login_of_ones_own_is_all_of_the_login(chosen: str) -> None:
    """KEDA does not scale where the trigger says `sasl` and its authentication does, as those that one writes do."""
    own = {"name": "kafka-reader", "kind": "ClusterTriggerAuthentication"}
    found = trigger(chosen, {"autoscaling": {"authenticationRef": own}})
    assert found["authenticationRef"] == own
    assert not found["metadata"].keys() & {"sasl", "tls"}
    kinds = {one["kind"] for one in rendered(chosen, {"autoscaling": {"authenticationRef": own}}).objects}
    assert "TriggerAuthentication" not in kinds


def test_keda_asks_the_token_endpoint_with_the_clients_secret() -> None:
    authentication = rendered("oauth-endpoint").one("TriggerAuthentication")
    secrets = {one["parameter"]: (one["name"], one["key"]) for one in authentication["spec"]["secretTargetRef"]}
    assert secrets == {"ca": ("kafka-ca", "ca.crt"), "password": ("oauth-client", "client-secret")}
    assert told("oauth-endpoint") == {
        "username": "creative-feedback",
        "oauthTokenEndpointUri": "https://login.example:8443/realms/tori/token",
        "scopes": "kafka",
    }


def told(chosen: str) -> dict[str, str]:
    """What a trigger's authentication finds in config maps."""
    release = rendered(chosen)
    found = {}
    authentication = release.one("TriggerAuthentication")["spec"]
    for one in authentication.get("configMapTargetRef", ()):
        found[one["parameter"]] = release.named("ConfigMap", one["name"])["data"][one["key"]]
    parameters = {one["parameter"] for one in authentication["secretTargetRef"]} | found.keys()
    assert parameters <= PARAMETERS
    return found


def test_keda_with_a_client_certificate() -> None:
    changed = {
        "kafka": {"tls": {"checkHostname": True}},
        "autoscaling": {"enabled": True, "kind": "keda", "maxReplicas": 4},
    }
    secrets = rendered("mtls", changed).one("TriggerAuthentication")["spec"]["secretTargetRef"]
    assert {one["parameter"]: one["key"] for one in secrets} == {
        "ca": "ca.crt",
        "cert": "tls.crt",
        "key": "tls.key",
        "keyPassword": "key-password",
    }


@pytest.mark.parametrize(("chosen", "calm_s"), [("production", 900), ("hpa", 600)])
def test_it_scales_down_one_pod_at_a_time_and_after_a_calm(chosen: str, calm_s: int) -> None:
    release = rendered(chosen)
    if chosen == "hpa":
        behavior = release.one("HorizontalPodAutoscaler")["spec"]["behavior"]
    else:
        behavior = release.one("ScaledObject")["spec"]["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    down = behavior["scaleDown"]
    assert down["stabilizationWindowSeconds"] == calm_s
    assert [(one["type"], one["value"]) for one in down["policies"]] == [("Pods", 1)]
    # KEDA and Kubernetes refuse more.
    assert all(one["periodSeconds"] <= 1800 for way in behavior.values() for one in way["policies"])


def test_hpa_measures_cpu_against_what_pods_ask_for() -> None:
    release = rendered("hpa")
    spec = release.one("HorizontalPodAutoscaler")["spec"]
    assert (spec["minReplicas"], spec["maxReplicas"]) == (2, 12)
    (metric,) = spec["metrics"]
    assert metric["resource"]["target"] == {"type": "Utilization", "averageUtilization": 70}
    (container,) = release.statefulset["spec"]["template"]["spec"]["containers"]
    assert container["resources"]["requests"]["cpu"]
