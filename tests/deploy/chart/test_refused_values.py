"""Values that cannot work are refused before anything reaches a cluster, by a message that names them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.deploy.chart.rendering import CHART, NAME, NEWEST, Refused, helm, needs_helm, rendered

pytestmark = needs_helm

SCRAM = {"mechanism": "SCRAM-SHA-512", "username": "a", "passwordSecret": {"name": "a", "key": "b"}}
TOKEN = {"tokenSecret": {"name": "a", "key": "b"}}
ENDPOINT = {
    "tokenEndpointUrl": "https://login.example/token",
    "clientId": "a",
    "clientSecret": {"name": "a", "key": "b"},
}


def kafka(**changed: Any) -> dict[str, Any]:
    return {"kafka": changed}


def sasl(**changed: Any) -> dict[str, Any]:
    return kafka(securityProtocol="SASL_SSL", sasl=changed)


def oauth(**changed: Any) -> dict[str, Any]:
    return sasl(mechanism="OAUTHBEARER", oauthbearer=changed)


def settings(section: str, **changed: Any) -> dict[str, Any]:
    return {"settings": {section: changed}}


def scaled(**changed: Any) -> dict[str, Any]:
    return {"autoscaling": {"enabled": True, **changed}}


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    # values, and two pieces of the message: which value, what about it
    (kafka(bootstrapServers=None), "bootstrapServers", "string"),
    (kafka(bootstrapServers=""), "bootstrapServers", ""),
    (kafka(bootstrapServers="kafka.example"), "bootstrapServers", ""),
    (kafka(bootstrapServers="kafka.example:99999"), "kafka.bootstrapServers", "host:port"),
    (kafka(bootstrapServers=["kafka.example:9092"]), "bootstrapServers", ""),
    (kafka(bootstrapservers="kafka.example:9092"), "kafka", "bootstrapservers"),
    (kafka(securityProtocol="TLS"), "securityProtocol", "SASL_SSL"),
    (
        kafka(tls={"caSecret": {"name": "a", "key": "b"}}),
        "kafka.tls.caSecret",
        "no effect with securityProtocol PLAINTEXT",
    ),
    (kafka(tls={"checkHostname": False}), "kafka.tls.checkHostname", "no effect with securityProtocol PLAINTEXT"),
    (kafka(securityProtocol="SSL", tls={"caSecret": {"name": "a"}}), "caSecret", "key"),
    (kafka(securityProtocol="SSL", tls={"caSecret": "a"}), "caSecret", ""),
    (kafka(securityProtocol="SSL", tls={"clientSecret": {"certKey": "a"}}), "clientSecret", "name"),
    (kafka(securityProtocol="SSL", sasl=SCRAM), "kafka.sasl.", "no effect with securityProtocol SSL"),
    (sasl(), "kafka.sasl.mechanism", "missing"),
    (sasl(mechanism="SCRAM"), "mechanism", "SCRAM-SHA-512"),
    (sasl(**{**SCRAM, "username": None}), "kafka.sasl.username", "missing"),
    (sasl(**{**SCRAM, "passwordSecret": None}), "kafka.sasl.passwordSecret", "missing"),
    (sasl(**SCRAM, password="secret"), "sasl", "password"),
    (sasl(**SCRAM, oauthbearer=TOKEN), "kafka.sasl.oauthbearer.tokenSecret", "no effect with mechanism SCRAM-SHA-512"),
    (sasl(**{**SCRAM, "mechanism": "OAUTHBEARER"}), "kafka.sasl.username", "no effect with mechanism OAUTHBEARER"),
    (oauth(), "kafka.sasl.oauthbearer", "tokenSecret, or tokenEndpointUrl"),
    (oauth(**TOKEN, **ENDPOINT), "kafka.sasl.oauthbearer", "both tokenSecret and tokenEndpointUrl"),
    (oauth(**TOKEN, scope="kafka"), "kafka.sasl.oauthbearer.scope", "no effect beside tokenSecret"),
    (oauth(**{**ENDPOINT, "clientId": None}), "kafka.sasl.oauthbearer.clientId", "missing"),
    (oauth(**{**ENDPOINT, "tokenEndpointUrl": "login.example"}), "tokenEndpointUrl", ""),
    ({"topicsJob": {"kafka": {"sasl": SCRAM}}}, "topicsJob.kafka", "no effect with securityProtocol PLAINTEXT"),
    ({"topicsJob": {"kafka": {"bootstrapServers": "a:1"}}}, "topicsJob", "bootstrapServers"),
    ({"topics": {"partitions": 0}}, "partitions", "1"),
    ({"topics": {"partitions": "24"}}, "partitions", "integer"),
    ({"topics": {"partitions": 10_001}}, "partitions", "10000"),
    ({"topics": {"replicationFactor": 0}}, "replicationFactor", "1"),
    ({"replicaCount": -1}, "replicaCount", "0"),
    ({"replicaCount": 1.5}, "replicaCount", "integer"),
    ({"replicas": 3}, "replicas", ""),
    ({"workers": 0}, "workers", "1"),
    (settings("engine", instance_id="a"), "settings.engine.instance_id", "the pod's name"),
    (settings("http", port=80), "settings.http.port", "8080"),
    (settings("kafka", sasl_password_file="/a"), "settings.kafka.sasl_password_file", "kafka.sasl.passwordSecret"),
    (settings("topics", partitions=8), "settings.topics.partitions", "topics.partitions"),
    (settings("egine", session_ttl="1d"), "egine", ""),
    (settings("loop", performance_weights=[1, None, 1]), "settings.loop.performance_weights", "null"),
    ({"settings": {"loop": [1]}}, "loop", "object"),
    ({"image": {"digest": "sha256:1234"}}, "digest", ""),
    ({"image": {"pullPolicy": "Sometimes"}}, "pullPolicy", "IfNotPresent"),
    ({"terminationGracePeriodSeconds": 5}, "terminationGracePeriodSeconds", "set 30 or more"),
    ({"probes": {"liveness": {"failureThreshold": 3}}}, "probes.liveness", "90 s or more"),
    ({"probes": {"liveness": {"httpGet": {"path": "/"}}}}, "liveness", "httpGet"),
    ({"extraEnv": [{"name": "CREATIVE_FEEDBACK__LOOP__DEBUG", "value": "true"}]}, "extraEnv", "set it in settings"),
    ({"extraEnv": [{"name": "POD_NAME", "value": "a"}]}, "extraEnv", "POD_NAME is set by the chart"),
    ({"extraEnv": [{"name": "A", "value": 1}]}, "extraEnv", ""),
    ({"podLabels": {"app.kubernetes.io/name": "a"}}, "podLabels", "app.kubernetes.io/name is set by the chart"),
    ({"podAnnotations": {"checksum/settings": "a"}}, "podAnnotations", "checksum/settings is set by the chart"),
    ({"podDisruptionBudget": {"maxUnavailable": -1}}, "maxUnavailable", ""),
    (scaled(kind="vpa"), "kind", "keda"),
    (scaled(minReplicas=13), "autoscaling.minReplicas", "above autoscaling.maxReplicas 12"),
    (scaled(minReplicas=0), "minReplicas", "1"),
    (scaled(maxReplicas=25), "autoscaling.maxReplicas", "above topics.partitions 24"),
    ({**scaled(maxReplicas=12), "workers": 3}, "autoscaling.maxReplicas", "set 8 or less"),
    (scaled(stabilizationSeconds=5), "stabilizationSeconds", "60"),
    ({**scaled(kind="hpa"), "resources": {"requests": {"cpu": None}}}, "resources.requests.cpu", "missing"),
    ({**scaled(), **oauth(**TOKEN)}, "kafka.sasl.oauthbearer.tokenSecret", "KEDA cannot log in"),
    ({**scaled(), **kafka(securityProtocol="SSL", tls={"checkHostname": False})}, "checkHostname", "KEDA"),
    ({"serviceMonitor": {"interval": "often"}}, "interval", ""),
    ({"serviceMonitor": {"enabled": "yes"}}, "enabled", "boolean"),
    ({"networkPolicy": {"egress": []}}, "networkPolicy", "egress"),
    ({"http": {"tokenSecret": {"name": "a"}}}, "tokenSecret", "key"),
    ({"http": {"token": "secret"}}, "http", "token"),
    ({"pretraining": {"name": "a"}}, "pretraining", "key"),
    ({"fullnameOverride": "Not a name"}, "fullnameOverride", ""),
    ({"resources": {"limit": {"memory": "1Gi"}}}, "resources", "limit"),
]


@pytest.mark.parametrize(
    ("changed", "value", "about"), REFUSED, ids=[f"{one[1]}-{at}" for at, one in enumerate(REFUSED)]
)
def test_it_is_refused_by_name(changed: dict[str, Any], value: str, about: str) -> None:
    with pytest.raises(Refused) as refused:
        rendered("minimal", changed)
    message = str(refused.value)
    assert value in message
    assert about in message
    assert "nil pointer" not in message
    assert len(message.splitlines()) <= 6, message


def test_a_release_whose_name_no_service_may_have_is_refused() -> None:
    with pytest.raises(Refused, match="set fullnameOverride to one that begins with a letter"):
        rendered("minimal", name="7")


def test_what_has_no_default_is_asked_for_by_name() -> None:
    said = helm("template", NAME, CHART, "--kube-version", NEWEST)
    assert said.returncode
    assert "kafka: bootstrapServers is required" in said.stderr
