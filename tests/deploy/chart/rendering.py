"""The chart rendered by helm, once for each set of values."""

from __future__ import annotations

import functools
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from tests.deploy.delivered import FILES

Object = dict[str, Any]

CHART = FILES.parent
VALUES = Path(__file__).parent / "values"
NAME = "feedback"
NAMESPACE = "tori"
OLDEST, NEWEST = "1.29.0", "1.37.0"  # of Kubernetes


def _helm() -> str | None:
    beside = Path(sys.executable).parent / "helm"  # not resolved: the environment's, not the system's Python
    return str(beside) if beside.is_file() else shutil.which("helm")


HELM = _helm()
needs_helm = pytest.mark.skipif(
    HELM is None,
    reason="no helm: make install has it for Linux on x86-64, elsewhere put helm 3.17 or newer on the PATH",
)


def helm(*arguments: str | Path, values: Mapping[str, Any] | None = None) -> subprocess.CompletedProcess[str]:
    """Run it; ``values`` come as a file of their own after those of ``arguments``."""
    assert HELM is not None
    command = [HELM, *map(str, arguments), *(("--values", "-") if values is not None else ())]
    return subprocess.run(
        command,
        input=yaml.dump(values, Dumper=yaml.CSafeDumper) if values is not None else "",
        capture_output=True, text=True, timeout=50, check=False,
        env={"HOME": "/nonexistent"},  # no settings, repositories or cluster of whoever runs the tests
    )  # fmt: skip


@dataclass(frozen=True)
class Release:
    """What one release consists of, in the order of rendering, hooks and the pod of `helm test` included."""

    text: str
    objects: tuple[Object, ...]

    def all(self, kind: str) -> list[Object]:
        return [one for one in self.objects if one["kind"] == kind]

    def one(self, kind: str) -> Object:
        found = self.all(kind)
        assert len(found) == 1, f"{len(found)} objects of kind {kind}"
        return found[0]

    @property
    def statefulset(self) -> Object:
        return self.one("StatefulSet")

    @property
    def topics_job(self) -> Object:
        return self.one("Job")

    def named(self, kind: str, name: str) -> Object:
        return next(one for one in self.all(kind) if one["metadata"]["name"] == name)

    def pod_templates(self) -> Iterator[tuple[str, Object]]:
        """Name and template of everything that becomes a pod."""
        for one in self.objects:
            name = f"{one['kind']} {one['metadata']['name']}"
            if one["kind"] == "Pod":
                yield name, one
            elif "template" in one.get("spec", {}) and one["kind"] in {"StatefulSet", "Deployment", "DaemonSet", "Job"}:
                yield name, one["spec"]["template"]


class Refused(Exception):
    """helm said no; the message is all it said."""


def rendered(
    chosen: str,
    changed: Mapping[str, Any] | None = None,
    *,
    name: str = NAME,
    version: str = NEWEST,
) -> Release:
    """A release of the values ``values/CHOSEN.yaml`` with changes. Raises `Refused`."""
    return _rendered(chosen, json.dumps(changed or {}, sort_keys=True), name, version)


def unchecked(chosen: str, changed: Mapping[str, Any], *, name: str = NAME) -> Release:
    """The same without a cache."""
    return _read(_template(chosen, json.dumps(changed), name, NEWEST))


@functools.cache
def _rendered(chosen: str, changed: str, name: str, version: str) -> Release:
    return _read(_template(chosen, changed, name, version))


def _template(chosen: str, changed: str, name: str, version: str) -> str:
    said = helm(
        "template", name, CHART, "--namespace", NAMESPACE, "--kube-version", version,
        "--values", VALUES / f"{chosen}.yaml", values=json.loads(changed),
    )  # fmt: skip
    if said.returncode:
        raise Refused(said.stderr)
    return said.stdout


def _read(text: str) -> Release:
    return Release(text, tuple(one for one in yaml.load_all(text, yaml.CSafeLoader) if one is not None))


def sets() -> list[str]:
    """The names of all sets of values."""
    return sorted(path.stem for path in VALUES.glob("*.yaml"))


each_set = pytest.mark.parametrize("chosen", sets())
