"""The pods: how they start, are watched, replaced and stopped, and what may change under them."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from tests.deploy.chart.pod_security import containers
from tests.deploy.chart.pods import worker_pod
from tests.deploy.chart.rendering import (
    CHART,
    NAME,
    VALUES,
    Object,
    Refused,
    each_set,
    helm,
    needs_helm,
    rendered,
    sets,
)

pytestmark = needs_helm

# What an API server lets an update change of a StatefulSet's specification.
MUTABLE = {"replicas", "ordinals", "template", "updateStrategy", "revisionHistoryLimit", "minReadySeconds"}
RENAMED = {"long-names", "digest"}  # sets with another name in them
OTHER_APPLICATION = {"production", "odd-settings"}


def template(chosen: str, changed: dict[str, Any] | None = None) -> Object:
    found: Object = rendered(chosen, changed).statefulset["spec"]["template"]
    return found


def processor(chosen: str, changed: dict[str, Any] | None = None) -> Object:
    (container,) = containers(template(chosen, changed)["spec"])
    return container


@pytest.mark.parametrize(
    ("chosen", "image"),
    [
        ("minimal", "creative-feedback:0.2.0"),
        ("production", "registry.example/tori/creative-feedback:0.2.0"),
        (
            "digest",
            "registry.example:5000/tori/creative-feedback"
            "@sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        ),
    ],
)
def test_the_image_is_the_one_that_was_asked_for(chosen: str, image: str) -> None:
    assert {
        container["image"] for _, found in rendered(chosen).pod_templates() for container in containers(found["spec"])
    } == {image}


def test_each_probe_asks_what_it_is_for() -> None:
    found = processor("minimal")
    assert found["ports"] == [{"name": "http", "containerPort": 8080, "protocol": "TCP"}]
    paths = {kind: found[f"{kind}Probe"]["httpGet"] for kind in ("startup", "liveness", "readiness")}
    assert paths["liveness"] == paths["startup"] == {"path": "/health/live", "port": "http"}
    assert paths["readiness"] == {"path": "/health/ready", "port": "http"}


def test_brokers_may_be_away_for_a_minute_and_a_half_before_a_pod_is_started_again() -> None:
    liveness = processor("minimal")["livenessProbe"]
    assert 90 <= liveness["periodSeconds"] * liveness["failureThreshold"] <= 120
    assert liveness["timeoutSeconds"] <= liveness["periodSeconds"]


def test_a_pod_without_a_broker_is_not_ended_before_it_may_give_up_itself() -> None:
    startup = processor("minimal")["startupProbe"]
    settings = worker_pod(rendered("minimal")).settings()
    assert startup["periodSeconds"] * startup["failureThreshold"] * 1000 > 2 * settings.kafka.connect_timeout_ms


@pytest.mark.parametrize(
    ("shutdown_ms", "least_s"), [(None, 30), (30_000, 40), (100, 11), (600_000, 610), (20_001, 31)]
)
def test_the_grace_period_is_longer_than_the_processors_own(shutdown_ms: int | None, least_s: int) -> None:
    changed = {} if shutdown_ms is None else {"settings": {"engine": {"shutdown_timeout_ms": shutdown_ms}}}
    found = template("minimal", changed)["spec"]["terminationGracePeriodSeconds"]
    assert least_s <= found <= least_s + 5


def test_a_grace_period_of_ones_own_counts_where_it_is_long_enough() -> None:
    assert template("minimal", {"terminationGracePeriodSeconds": 90})["spec"]["terminationGracePeriodSeconds"] == 90
    with pytest.raises(Refused, match="terminationGracePeriodSeconds"):
        rendered("minimal", {"terminationGracePeriodSeconds": 29})


@each_set
def test_pods_share_nothing_but_what_is_read_only_and_have_somewhere_to_write(chosen: str) -> None:
    for name, found in rendered(chosen).pod_templates():
        spec = found["spec"]
        assert spec["automountServiceAccountToken"] is False, name
        assert spec["securityContext"]["fsGroup"] == spec["securityContext"]["runAsUser"] == 10001, name
        (container,) = containers(spec)
        assert container["securityContext"]["readOnlyRootFilesystem"] is True, name
        mounts = {one["name"]: one for one in container["volumeMounts"]}
        assert mounts.keys() == {one["name"] for one in spec["volumes"]}, name
        assert mounts.pop("tmp")["mountPath"] == "/tmp", name
        assert all(one["readOnly"] and "subPath" not in one for one in mounts.values()), name


@each_set
def test_secrets_are_mounted_for_the_pods_group_and_never_in_the_environment(chosen: str) -> None:
    for name, found in rendered(chosen).pod_templates():
        (container,) = containers(found["spec"])
        assert "envFrom" not in container, name
        for variable in container.get("env") or ():
            assert not {"secretKeyRef", "configMapKeyRef"} & variable.get("valueFrom", {}).keys(), name
        for volume in found["spec"]["volumes"]:
            if "secret" in volume:
                assert volume["secret"]["defaultMode"] == 0o440, name


def test_an_instance_is_named_after_its_pod_and_keeps_its_place_in_the_group() -> None:
    release = rendered("minimal")
    settings = [worker_pod(release, ordinal).settings() for ordinal in (0, 1)]
    names = [one.engine.instance_id for one in settings]
    assert names == ["feedback-creative-feedback-0", "feedback-creative-feedback-1"]
    assert all(one.engine.static_membership and one.engine.leave_on_stop for one in settings)


def test_others_reach_a_pod_at_the_address_it_tells_them() -> None:
    release = rendered("minimal")
    url = worker_pod(release, 2).settings().http.advertised_url
    service = release.statefulset["spec"]["serviceName"]
    assert url == f"http://feedback-creative-feedback-2.{service}.tori.svc:8080"
    headless = release.named("Service", service)
    assert headless["spec"]["clusterIP"] == "None"
    assert headless["spec"]["publishNotReadyAddresses"] is True
    assert headless["spec"]["selector"].items() <= template("minimal")["metadata"]["labels"].items()


def test_several_workers_are_asked_for_on_the_command_line() -> None:
    assert "--workers" not in worker_pod(rendered("minimal")).arguments
    assert worker_pod(rendered("workers")).argument("--workers") == "4"


@pytest.mark.parametrize(("chosen", "replicas"), [("minimal", 3), ("workers", 2), ("production", None), ("hpa", None)])
def test_replicas_are_not_said_where_an_autoscaler_says_them(chosen: str, replicas: int | None) -> None:
    assert rendered(chosen).statefulset["spec"].get("replicas") == replicas


@each_set
def test_selectors_select_the_pods_and_nobody_elses(chosen: str) -> None:
    release = rendered(chosen)
    spec = release.statefulset["spec"]
    selector, labels = spec["selector"]["matchLabels"], spec["template"]["metadata"]["labels"]
    assert selector.items() <= labels.items()
    for name, found in release.pod_templates():
        if not name.startswith("StatefulSet"):
            assert not selector.items() <= found["metadata"]["labels"].items(), name
    for budget in release.all("PodDisruptionBudget"):
        assert budget["spec"]["selector"]["matchLabels"].items() <= labels.items()
    for service in release.all("Service"):
        assert service["spec"]["selector"].items() <= labels.items()


@pytest.mark.parametrize("chosen", [one for one in sets() if one not in RENAMED | OTHER_APPLICATION])
def test_a_release_can_be_upgraded_from_any_values_to_any_others(chosen: str) -> None:
    before, after = rendered("minimal").statefulset, rendered(chosen).statefulset
    assert before["metadata"]["name"] == after["metadata"]["name"]
    assert fixed(before) == fixed(after)


def test_another_application_is_refused_in_a_release_that_runs() -> None:
    changed = {"settings": {"engine": {"application_id": "other"}}}
    before, after = rendered("minimal"), rendered("minimal", changed)
    assert fixed(before.statefulset)["selector"] != fixed(after.statefulset)["selector"]
    # What the refused update has left in the ConfigMap must not be what a pod reads that starts again.
    told = {one["name"]: one.get("value") for one in template("minimal")["spec"]["containers"][0]["env"]}
    assert told["CREATIVE_FEEDBACK__ENGINE__APPLICATION_ID"] == "creative-feedback"


@pytest.mark.parametrize("application_id", ["a" * 200, "-x", "x.", "0123"])
def test_every_application_id_makes_a_label(application_id: str) -> None:
    spec = rendered("minimal", {"settings": {"engine": {"application_id": application_id}}}).statefulset["spec"]
    label = spec["selector"]["matchLabels"]["creative-feedback/application"]
    assert re.fullmatch(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?", label)
    assert spec["template"]["metadata"]["labels"]["creative-feedback/application"] == label


def fixed(statefulset: Object) -> Object:
    return {key: value for key, value in statefulset["spec"].items() if key not in MUTABLE}


@pytest.mark.parametrize(
    "changed",
    [
        {"settings": {"loop": {"recovery_steps": 31}}},
        {"kafka": {"bootstrapServers": "other.example:9092"}},
        {"topics": {"partitions": 25}},
        {"workers": 2},
        {"extraEnv": [{"name": "OTEL_SERVICE_NAME", "value": "feedback"}]},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_what_pods_read_at_their_start_starts_them_anew(changed: dict[str, Any]) -> None:
    assert template("minimal", changed) != template("minimal")


@pytest.mark.parametrize(
    "changed",
    [
        {"replicaCount": 5},
        {"podDisruptionBudget": {"maxUnavailable": 2}},
        {
            "serviceMonitor": {"enabled": True},
            "prometheusRule": {"enabled": True},
            "grafanaDashboard": {"enabled": True},
        },
        {"autoscaling": {"enabled": True, "maxReplicas": 4}},
        {"networkPolicy": {"enabled": True}},
        {"topicsJob": {"enabled": False}},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_what_pods_do_not_read_starts_none_of_them_anew(changed: dict[str, Any]) -> None:
    assert template("minimal", changed) == template("minimal")


def test_a_new_version_of_the_chart_alone_starts_no_pod_anew(tmp_path: Path) -> None:
    chart = tmp_path / "chart"
    shutil.copytree(CHART, chart)
    file = chart / "Chart.yaml"
    file.write_text(file.read_text().replace("\nversion: ", "\nversion: 9"))
    assert "\nversion: 9" in file.read_text()
    said = helm(
        "template", NAME, chart, "--values", VALUES / "minimal.yaml", "--show-only", "templates/statefulset.yaml"
    )
    assert 'helm.sh/chart: "creative-feedback-9' in said.stdout
    assert yaml.safe_load(said.stdout)["spec"]["template"] == template("minimal")


def test_one_pod_at_a_time_is_away_on_purpose() -> None:
    budget = rendered("minimal").one("PodDisruptionBudget")["spec"]
    assert budget["maxUnavailable"] == 1
    assert rendered("minimal").statefulset["spec"]["updateStrategy"] == {"type": "RollingUpdate"}
    assert rendered("unmonitored").all("PodDisruptionBudget") == []


def test_pods_spread_over_zones_and_hosts() -> None:
    spec = template("minimal")
    constraints = spec["spec"]["topologySpreadConstraints"]
    assert {one["topologyKey"] for one in constraints} == {"topology.kubernetes.io/zone", "kubernetes.io/hostname"}
    for one in constraints:
        assert one["labelSelector"]["matchLabels"].items() <= spec["metadata"]["labels"].items()


def test_what_the_cluster_demands_of_pods_reaches_all_of_them() -> None:
    for name, found in rendered("production").pod_templates():
        spec = found["spec"]
        assert spec["nodeSelector"] == {"kubernetes.io/os": "linux"}, name
        assert spec["tolerations"][0]["key"] == "dedicated", name
        assert spec["imagePullSecrets"] == [{"name": "registry"}], name
        assert spec["priorityClassName"] == "important", name
        assert found["metadata"]["labels"]["example.org/cost-center"] == "4711", name
    found = template("production")
    assert found["metadata"]["annotations"]["example.org/team"] == "tori"
    assert processor("production")["resources"] == {
        "requests": {"cpu": "1", "memory": "512Mi"},
        "limits": {"memory": "1Gi"},
    }
    assert {"name": "OTEL_EXPORTER_OTLP_ENDPOINT", "value": "http://collector.observability:4318"} in processor(
        "production"
    )["env"]


def test_the_service_account_is_the_charts_own_or_one_that_exists_and_has_no_token() -> None:
    own = rendered("production").one("ServiceAccount")
    assert own["automountServiceAccountToken"] is False
    assert own["metadata"]["annotations"] == {"example.org/role": "none"}
    assert template("production")["spec"]["serviceAccountName"] == own["metadata"]["name"]
    assert rendered("unmonitored").all("ServiceAccount") == []
    assert template("unmonitored")["spec"]["serviceAccountName"] == "streaming"
