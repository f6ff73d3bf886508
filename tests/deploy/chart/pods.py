"""What a pod of the chart sees: files, environment, arguments, and the settings that our own loader makes of them."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from processor.config import Settings, load_settings
from tests.deploy.chart.pod_security import containers
from tests.deploy.chart.rendering import NAMESPACE, Object, Release


@dataclass(frozen=True)
class Secret:
    """A file whose content is the key of a Secret."""

    name: str
    key: str


@dataclass(frozen=True)
class Existing:
    """A file whose content is the key of a ConfigMap that the chart does not make."""

    name: str
    key: str


File = str | Secret | Existing


@dataclass(frozen=True)
class Pod:
    """A pod as its only container sees it."""

    spec: Object
    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    files: Mapping[str, File]  # by absolute path

    @property
    def container(self) -> Object:
        (found,) = containers(self.spec)
        return found

    def settings(self) -> Settings:
        """As the processor reads them. Raises `ConfigError` as it would."""
        with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
            content = self.files[self.argument("--config")]
            assert isinstance(content, str)
            file.write(content)
            file.flush()
            return load_settings(Path(file.name), self.environment)

    def argument(self, option: str) -> str:
        """What follows an option of the command line."""
        return self.arguments[self.arguments.index(option) + 1]

    def secret(self, path: str | None) -> Secret:
        """The Secret behind a path that a setting names."""
        assert path is not None
        found = self.files[path]
        assert isinstance(found, Secret)
        return found


def pod(release: Release, template: Object, name: str, namespace: str = NAMESPACE) -> Pod:
    """The pod of this name that the template makes in this namespace."""
    (container,) = containers(template["spec"])
    fields = {"metadata.name": name, "metadata.namespace": namespace}
    variables: dict[str, str] = {}
    for variable in container.get("env") or ():
        if "value" in variable:
            variables[variable["name"]] = _expanded(variable["value"], variables)
        else:
            variables[variable["name"]] = fields[variable["valueFrom"]["fieldRef"]["fieldPath"]]
    arguments = (*container.get("command", ()), *container.get("args", ()))
    assert "command" not in container, "the image's entry point is the command"
    return Pod(
        template["spec"],
        tuple(_expanded(one, variables) for one in arguments),
        variables,
        _files(release, template["spec"], container),
    )


def worker_pod(release: Release, ordinal: int = 0) -> Pod:
    """A pod of the StatefulSet."""
    found = release.statefulset
    return pod(release, found["spec"]["template"], f"{found['metadata']['name']}-{ordinal}")


def topics_pod(release: Release) -> Pod:
    """The pod of the job that makes the topics."""
    job = release.topics_job
    return pod(release, job["spec"]["template"], f"{job['metadata']['name']}-abcde")


def _expanded(text: str, variables: Mapping[str, str]) -> str:
    """As the kubelet does it: known names are replaced, unknown ones stay, a doubled dollar sign is one."""
    return re.sub(
        r"\$\$|\$\(([A-Za-z_][\w.-]*)\)",
        lambda match: "$" if match[1] is None else variables.get(match[1], match[0]),
        text,
    )


def _files(release: Release, spec: Object, container: Object) -> dict[str, File]:
    volumes = {one["name"]: one for one in spec.get("volumes") or ()}
    found: dict[str, File] = {}
    for mount in container.get("volumeMounts") or ():
        for name, content in _contents(release, volumes[mount["name"]]).items():
            found[str(PurePosixPath(mount["mountPath"]) / name)] = content
    return found


def _contents(release: Release, volume: Object) -> dict[str, File]:
    if "secret" in volume:
        secret = volume["secret"]
        return {item["path"]: Secret(secret["secretName"], item["key"]) for item in secret["items"]}
    if "configMap" in volume:
        name = volume["configMap"]["name"]
        data = next((one["data"] for one in release.all("ConfigMap") if one["metadata"]["name"] == name), None)
        items = volume["configMap"].get("items")
        if data is None:  # one that exists already
            return {item["path"]: Existing(name, item["key"]) for item in items}
        return {item["path"]: data[item["key"]] for item in items} if items else dict(data)
    return {}
