"""The rules of the Pod Security Standard "restricted", as a list of what a pod breaks.

From the standard's own tables; where a field may stand at the pod and at its containers, the container's wins.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Object = dict[str, Any]

_VOLUMES = frozenset(
    {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}
)
_SYSCTLS = frozenset(
    {
        "kernel.shm_rmid_forced",
        "net.ipv4.ip_local_port_range",
        "net.ipv4.ip_local_reserved_ports",
        "net.ipv4.ip_unprivileged_port_start",
        "net.ipv4.ping_group_range",
        "net.ipv4.tcp_fin_timeout",
        "net.ipv4.tcp_keepalive_intvl",
        "net.ipv4.tcp_keepalive_probes",
        "net.ipv4.tcp_keepalive_time",
        "net.ipv4.tcp_rmem",
        "net.ipv4.tcp_syncookies",
        "net.ipv4.tcp_wmem",
    }
)
_SELINUX_TYPES = frozenset({"", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"})
_PROFILES = frozenset({"RuntimeDefault", "Localhost"})
_APPARMOR = "container.apparmor.security.beta.kubernetes.io/"


def violations(template: Object) -> list[str]:
    """What the pods of this template (``metadata``, ``spec``) break; nothing, where such a namespace takes them."""
    return [*_of_pod(template["spec"]), *_of_annotations(template.get("metadata", {})), *_of_containers(template)]


def containers(spec: Object) -> list[Object]:
    """Of every kind."""
    return [one for kind in ("initContainers", "containers", "ephemeralContainers") for one in spec.get(kind) or ()]


def _of_pod(spec: Object) -> Iterator[str]:
    for field in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get(field):
            yield field
    for volume in spec.get("volumes") or ():
        for kind in sorted(volume.keys() - {"name"} - _VOLUMES):
            yield f"volume {volume['name']}: {kind}"
    context = spec.get("securityContext") or {}
    for sysctl in context.get("sysctls") or ():
        if sysctl["name"] not in _SYSCTLS:
            yield f"sysctl {sysctl['name']}"
    yield from (f"pod: {what}" for what in _of_context(context))


def _of_annotations(metadata: Object) -> Iterator[str]:
    for name, value in (metadata.get("annotations") or {}).items():
        if name.startswith(_APPARMOR) and value != "runtime/default" and not value.startswith("localhost/"):
            yield f"annotation {name}: {value}"


def _of_containers(template: Object) -> Iterator[str]:
    spec = template["spec"]
    pod = spec.get("securityContext") or {}
    for container in containers(spec):
        context = container.get("securityContext") or {}
        for what in (
            *_of_context(context),
            *_of_privileges(context),
            *_of_ports_and_hooks(container),
            *_missing({**pod, **context}),
        ):
            yield f"container {container['name']}: {what}"


def _of_context(context: Object) -> Iterator[str]:
    """What neither a pod's context nor a container's may say."""
    if (context.get("windowsOptions") or {}).get("hostProcess"):
        yield "windowsOptions.hostProcess"
    if context.get("runAsUser") == 0:
        yield "runAsUser is 0"
    if context.get("runAsNonRoot") is False:
        yield "runAsNonRoot is false"
    selinux = context.get("seLinuxOptions") or {}
    if selinux.get("type", "") not in _SELINUX_TYPES:
        yield f"seLinuxOptions.type {selinux['type']}"
    for field in ("user", "role"):
        if selinux.get(field):
            yield f"seLinuxOptions.{field}"
    for field in ("seccompProfile", "appArmorProfile"):
        kind = (context.get(field) or {}).get("type")
        if kind is not None and kind not in _PROFILES:
            yield f"{field} {kind}"


def _of_privileges(context: Object) -> Iterator[str]:
    if context.get("privileged"):
        yield "privileged"
    if context.get("allowPrivilegeEscalation") is not False:
        yield "allowPrivilegeEscalation is not false"
    if context.get("procMount", "Default") != "Default":
        yield f"procMount {context['procMount']}"
    capabilities = context.get("capabilities") or {}
    if "ALL" not in (capabilities.get("drop") or ()):
        yield "capabilities: ALL is not dropped"
    for added in sorted(set(capabilities.get("add") or ()) - {"NET_BIND_SERVICE"}):
        yield f"capability {added}"


def _of_ports_and_hooks(container: Object) -> Iterator[str]:
    for port in container.get("ports") or ():
        if port.get("hostPort"):
            yield f"hostPort {port['hostPort']}"
    lifecycle = container.get("lifecycle") or {}
    handlers = [container.get(f"{kind}Probe") for kind in ("startup", "liveness", "readiness")]
    for handler in (*handlers, *lifecycle.values()):
        for kind in ("httpGet", "tcpSocket"):
            if ((handler or {}).get(kind) or {}).get("host"):
                yield f"{kind}.host of a probe or hook"


def _missing(effective: Object) -> Iterator[str]:
    if effective.get("runAsNonRoot") is not True:
        yield "runAsNonRoot is not set"
    if (effective.get("seccompProfile") or {}).get("type") is None:
        yield "no seccompProfile"
