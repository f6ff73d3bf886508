"""The network policies let through what the pods need, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from tests.deploy.chart.rendering import Object, needs_helm, rendered

pytestmark = needs_helm

KUBE_DNS = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}}}
DNS = {"to": [KUBE_DNS], "ports": [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]}


def policy(chosen: str, component: str, changed: dict[str, Any] | None = None) -> Object:
    """The policy of the processor's or the topics job's pods."""
    release = rendered(chosen, changed)
    templates = dict(release.pod_templates())
    kind = {"processor": "StatefulSet", "topics": "Job"}[component]
    (labels,) = [one["metadata"]["labels"] for name, one in templates.items() if name.startswith(kind)]
    (found,) = [
        one["spec"]
        for one in release.all("NetworkPolicy")
        if one["spec"]["podSelector"]["matchLabels"].items() <= labels.items()
    ]
    assert set(found["policyTypes"]) == {"Ingress", "Egress"}
    return dict(found)


def open_ports(found: Object) -> set[tuple[int, str]]:
    """Ports that may be reached anywhere."""
    return {
        (port["port"], port.get("protocol", "TCP"))
        for rule in found["egress"]
        if "to" not in rule
        for port in rule["ports"]
    }


@pytest.mark.parametrize(
    ("chosen", "brokers"),
    [
        ("production", {(9093, "TCP"), (9094, "TCP")}),
        ("plain", {(9092, "TCP"), (9095, "TCP")}),
        ("oauth-endpoint", {(9093, "TCP"), (8443, "TCP")}),
    ],
)
def test_names_brokers_and_the_token_endpoint_are_within_reach(chosen: str, brokers: set[tuple[int, str]]) -> None:
    for component in ("processor", "topics"):
        found = policy(chosen, component)
        assert open_ports(found) == brokers
        assert DNS in found["egress"]


def test_names_may_be_resolved_by_whoever_does_it() -> None:
    for peers in ([], [{"ipBlock": {"cidr": "169.254.20.10/32"}}]):
        rules = policy("production", "processor", {"networkPolicy": {"dnsTo": peers}})["egress"]
        assert {**({"to": peers} if peers else {}), "ports": DNS["ports"]} in rules


@pytest.mark.parametrize(("url", "port"), [("https://login.example/token", 443), ("http://login.example/token", 80)])
def test_a_token_endpoint_without_a_port_has_its_schemes(url: str, port: int) -> None:
    changed = {"kafka": {"sasl": {"oauthbearer": {"tokenEndpointUrl": url}}}}
    assert open_ports(policy("oauth-endpoint", "processor", changed)) == {(9093, "TCP"), (port, "TCP")}


def test_brokers_may_be_told_by_their_pods() -> None:
    found = policy("network-policy", "processor")
    assert open_ports(found) == set()
    assert DNS in found["egress"]
    kafka = {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kafka"}},
        "podSelector": {"matchLabels": {"app": "kafka"}},
    }
    assert {"to": [kafka], "ports": [{"port": 9092, "protocol": "TCP"}]} in found["egress"]


def test_pods_reach_each_other_at_their_port_only() -> None:
    release = rendered("production")
    labels = release.statefulset["spec"]["template"]["metadata"]["labels"]
    found = policy("production", "processor")
    to_pods = [rule for rule in found["egress"] if any("podSelector" in peer for peer in rule.get("to", ()))]
    (rule,) = [
        rule for rule in to_pods if rule["to"][0]["podSelector"].get("matchLabels", {}).items() <= labels.items()
    ]
    assert rule["ports"] == [{"port": 8080, "protocol": "TCP"}]
    (entrance,) = found["ingress"]
    assert entrance["ports"] == [{"port": 8080, "protocol": "TCP"}]
    assert any(
        peer.get("podSelector", {}).get("matchLabels", {}).items() <= labels.items() for peer in entrance["from"]
    )


def test_nobody_else_may_come_in_unless_it_is_said_who() -> None:
    for chosen in ("production", "plain"):
        (entrance,) = policy(chosen, "processor")["ingress"]
        assert entrance["from"], "an empty list is everybody"
        assert {} not in entrance["from"]
    assert policy("production", "topics").get("ingress", []) == []
