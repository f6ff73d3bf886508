"""The topics are made before the first pod needs them, and `helm test` looks at them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.deploy.chart.rendering import Object, Release, each_set, needs_helm, rendered

pytestmark = needs_helm

HOOK, WEIGHT, DELETE = "helm.sh/hook", "helm.sh/hook-weight", "helm.sh/hook-delete-policy"


def annotation(found: Object, name: str) -> str:
    value: str = found["metadata"].get("annotations", {}).get(name, "")
    return value


def hooks(release: Release, event: str) -> list[Object]:
    """In the order in which helm makes them."""
    found = [one for one in release.objects if event in annotation(one, HOOK).split(",")]
    return sorted(found, key=lambda one: int(annotation(one, WEIGHT) or 0))


def needed(spec: Object) -> Iterator[tuple[str, str]]:
    """What must exist before this pod can start, as far as a chart may make it."""
    yield "ServiceAccount", spec["serviceAccountName"]
    for volume in spec["volumes"]:
        if "configMap" in volume:
            yield "ConfigMap", volume["configMap"]["name"]


@each_set
def test_whatever_a_hooks_pod_needs_is_there_before_it(chosen: str) -> None:
    release = rendered(chosen)
    made = {(one["kind"], one["metadata"]["name"]) for one in release.objects}
    for event in ("pre-install", "pre-upgrade", "test"):
        there: set[tuple[str, str]] = set()
        for one in hooks(release, event):
            if one["kind"] in {"Job", "Pod"}:
                spec = one["spec"]["template"]["spec"] if one["kind"] == "Job" else one["spec"]
                assert set(needed(spec)) & made <= there, event
                assert ("ConfigMap", spec["volumes"][0]["configMap"]["name"]) in there, event
            there.add((one["kind"], one["metadata"]["name"]))


@pytest.mark.parametrize("event", ["pre-install", "pre-upgrade"])
def test_topics_are_made_before_anything_else_of_a_release(event: str) -> None:
    *_, last = hooks(rendered("minimal"), event)
    assert last["kind"] == "Job"
    assert last["spec"]["template"]["spec"]["containers"][0]["args"][:2] == ["topics", "apply"]
    assert [one["kind"] for one in hooks(rendered("production"), event)][-1] == "Job"
    assert hooks(rendered("unmonitored"), event) == []


@each_set
def test_a_hook_that_is_left_over_does_not_hold_up_the_next_one(chosen: str) -> None:
    for one in rendered(chosen).objects:
        if annotation(one, HOOK):
            assert "before-hook-creation" in annotation(one, DELETE).split(",")
            assert "hook-failed" not in annotation(one, DELETE).split(","), "its log would be gone"


def test_a_wrong_configuration_ends_the_job_at_once_and_what_may_pass_is_tried_again() -> None:
    spec = rendered("minimal").topics_job["spec"]
    assert spec["template"]["spec"]["restartPolicy"] == "Never"
    fatal = {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [2]}}
    assert [rule for rule in spec["podFailurePolicy"]["rules"] if rule["action"] == "FailJob"] == [fatal]
    assert spec["backoffLimit"] >= 1
    assert spec["activeDeadlineSeconds"] >= 60


def test_helm_test_checks_the_topics() -> None:
    for chosen in ("minimal", "production", "unmonitored"):
        found = [one for one in hooks(rendered(chosen), "test") if one["kind"] == "Pod"]
        assert [one["spec"]["containers"][0]["args"][:2] for one in found] == [["topics", "check"]]
        assert found[0]["spec"]["restartPolicy"] == "Never"
