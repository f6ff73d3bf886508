"""The checker of Pod Security sees every violation, and no pod of the chart has one."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from tests.deploy.chart.pod_security import violations

CLEAN: dict[str, Any] = {
    "metadata": {"annotations": {"checksum/config": "0"}},
    "spec": {
        "securityContext": {"runAsNonRoot": True, "runAsUser": 10001, "seccompProfile": {"type": "RuntimeDefault"}},
        "initContainers": [
            {
                "name": "first",
                "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
            }
        ],
        "containers": [
            {
                "name": "main",
                "ports": [{"containerPort": 8080}],
                "livenessProbe": {"httpGet": {"path": "/", "port": 8080}},
                "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
            }
        ],
        "volumes": [{"name": "config", "configMap": {"name": "config"}}, {"name": "tmp", "emptyDir": {}}],
    },
}
POD, FIRST, MAIN = "spec.securityContext", "spec.initContainers.0", "spec.containers.0"


def changed(path: str, value: Any) -> dict[str, Any]:
    """The clean pod with another value at a path; None removes what is there."""
    pod: Any = copy.deepcopy(CLEAN)
    at = pod
    *steps, last = (int(step) if step.isdigit() else step for step in path.split("."))
    for step in steps:
        at = at.setdefault(step, {}) if isinstance(at, dict) else at[step]
    if value is None:
        del at[last]
    else:
        at[last] = value
    return dict(pod)


def test_a_restricted_pod_breaks_nothing() -> None:
    assert violations(CLEAN) == []


def test_a_container_may_say_itself_what_its_pod_does_not() -> None:
    pod = changed(POD, {})
    said = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    for container in (*pod["spec"]["initContainers"], *pod["spec"]["containers"]):
        container["securityContext"].update(said)
    assert violations(pod) == []


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("spec.hostNetwork", True, "hostNetwork"),
        ("spec.hostPID", True, "hostPID"),
        ("spec.hostIPC", True, "hostIPC"),
        ("spec.volumes.0", {"name": "host", "hostPath": {"path": "/"}}, "volume host: hostPath"),
        ("spec.volumes.0", {"name": "net", "nfs": {"server": "a", "path": "/"}}, "volume net: nfs"),
        (f"{POD}.sysctls", [{"name": "kernel.msgmax", "value": "1"}], "sysctl kernel.msgmax"),
        (f"{POD}.windowsOptions", {"hostProcess": True}, "pod: windowsOptions.hostProcess"),
        (f"{POD}.runAsUser", 0, "pod: runAsUser is 0"),
        (f"{POD}.runAsNonRoot", False, "pod: runAsNonRoot is false"),
        (f"{POD}.runAsNonRoot", None, "container main: runAsNonRoot is not set"),
        (f"{POD}.seLinuxOptions", {"type": "spc_t"}, "pod: seLinuxOptions.type spc_t"),
        (f"{POD}.seLinuxOptions", {"user": "root"}, "pod: seLinuxOptions.user"),
        (f"{POD}.seccompProfile", {"type": "Unconfined"}, "pod: seccompProfile Unconfined"),
        (f"{POD}.seccompProfile", None, "container first: no seccompProfile"),
        (f"{POD}.appArmorProfile", {"type": "Unconfined"}, "pod: appArmorProfile Unconfined"),
        (
            "metadata.annotations",
            {"container.apparmor.security.beta.kubernetes.io/main": "unconfined"},
            "annotation container.apparmor.security.beta.kubernetes.io/main: unconfined",
        ),
        (f"{MAIN}.securityContext", None, "container main: allowPrivilegeEscalation is not false"),
        (f"{MAIN}.securityContext.privileged", True, "container main: privileged"),
        (f"{MAIN}.securityContext.runAsUser", 0, "container main: runAsUser is 0"),
        (f"{MAIN}.securityContext.runAsNonRoot", False, "container main: runAsNonRoot is false"),
        (f"{MAIN}.securityContext.procMount", "Unmasked", "container main: procMount Unmasked"),
        (
            f"{MAIN}.securityContext.capabilities",
            {"drop": ["KILL"]},
            "container main: capabilities: ALL is not dropped",
        ),
        (
            f"{MAIN}.securityContext.capabilities",
            {"drop": ["ALL"], "add": ["NET_BIND_SERVICE", "SYS_ADMIN"]},
            "container main: capability SYS_ADMIN",
        ),
        (f"{MAIN}.securityContext.seccompProfile", {"type": "Unconfined"}, "container main: seccompProfile Unconfined"),
        (f"{MAIN}.ports.0.hostPort", 8080, "container main: hostPort 8080"),
        (f"{MAIN}.livenessProbe.httpGet.host", "127.0.0.1", "container main: httpGet.host of a probe or hook"),
        (
            f"{FIRST}.securityContext.allowPrivilegeEscalation",
            True,
            "container first: allowPrivilegeEscalation is not false",
        ),
    ],
)
def test_every_violation_is_named(path: str, value: Any, said: str) -> None:
    assert said in violations(changed(path, value))
