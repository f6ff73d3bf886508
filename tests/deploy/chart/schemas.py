"""Objects held against the schemas of Kubernetes and of the custom resources, without a cluster."""

from __future__ import annotations

import functools
import json
import re
import sys
from collections.abc import Iterator
from importlib import resources
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import pydantic
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from referencing import Registry, Resource

from tests.deploy.chart.rendering import Object

_CUSTOM = {
    "keda.sh/v1alpha1": ("cloudcoil.models.keda", "v1alpha1"),
    "monitoring.coreos.com/v1": ("cloudcoil.models.prometheus_operator", "v1"),
}


def complaints(found: Object, version: str) -> list[str]:
    """What an API server of this version of Kubernetes would not take, unknown fields included.

    Raises `KeyError` for a kind of which no schema is known.
    """
    return list(_complaints(json.dumps(found, sort_keys=True), version))


@functools.cache
def _complaints(text: str, version: str) -> tuple[str, ...]:
    found = json.loads(text)
    if found["apiVersion"] in _CUSTOM:
        return tuple(_custom(found, text))
    errors = _validator(found["apiVersion"], found["kind"], version).iter_errors(found)
    return tuple(f"{'.'.join(map(str, error.absolute_path))}: {error.message}" for error in errors)


@functools.cache
def _validator(api_version: str, kind: str, version: str) -> Draft202012Validator:
    group, _, api = api_version.rpartition("/")
    name = "-".join(part for part in (kind.lower(), group.partition(".")[0], api) if part)
    schema = _schema(version, f"{name}.json")
    # Every file refers to the definitions of its version by name.
    return Draft202012Validator(schema, registry=_definitions(version))


@functools.cache
def _definitions(version: str) -> Registry[Any]:
    definitions: Resource[Any] = Resource.from_contents(_schema(version, "_definitions.json"))
    registry: Registry[Any] = Registry().with_resource("_definitions.json", definitions)
    return registry.crawl()  # once, not for every validator


def _schema(version: str, name: str) -> Any:
    folder = resources.files("kubernetes_validate") / "kubernetes-json-schema" / f"v{version}-local-strict"
    try:
        return json.loads((folder / name).read_bytes())
    except FileNotFoundError:
        raise KeyError(f"Kubernetes {version} has no {name.removesuffix('.json')}") from None


def _custom(found: Object, text: str) -> Iterator[str]:
    """Read into the model of the resource and back: what is lost on the way has no place in it."""
    model = getattr(_models(*_CUSTOM[found["apiVersion"]]), found["kind"], None)
    if model is None:
        raise KeyError(f"{found['apiVersion']} has no {found['kind']}")
    try:
        read = model.model_validate_json(text, strict=True)
    except pydantic.ValidationError as error:
        yield from (f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        return
    yield from _lost(found, read.model_dump(mode="json", by_alias=True, exclude_unset=True), "")


@functools.cache
def _models(package: str, version: str) -> ModuleType:
    """The models of one version; importing the package would make those of all versions, which takes seconds."""
    spec = find_spec(package)
    assert spec is not None
    assert spec.submodule_search_locations
    file = Path(spec.submodule_search_locations[0]) / f"{version}.py"
    one = spec_from_file_location(f"{package}.{version}", file)
    assert one is not None
    assert one.loader is not None
    models = module_from_spec(one)
    sys.modules[one.name] = models  # where a model looks for the types that it names
    one.loader.exec_module(models)
    return models


def _lost(found: Any, kept: Any, path: str) -> Iterator[str]:
    if isinstance(found, dict) and isinstance(kept, dict):
        for name, value in found.items():
            if name in kept:
                yield from _lost(value, kept[name], f"{path}.{name}")
            else:
                yield f"{path.lstrip('.')}: unknown field {name}"
    elif isinstance(found, list) and isinstance(kept, list):
        for at, (one, other) in enumerate(zip(found, kept, strict=True)):
            yield from _lost(one, other, f"{path}.{at}")


_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_LABEL_KEY = re.compile(r"([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_LABEL = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
_LONGEST = {"StatefulSet": 52, "CronJob": 52}  # its revisions' names go into a label, with a hash behind them


def misnamed(found: Object) -> list[str]:
    """Names and labels that a schema says nothing about and an API server refuses, for objects and their pods."""
    name = found["metadata"]["name"]
    bad = []
    if not _NAME.fullmatch(name) or len(name) > _LONGEST.get(found["kind"], 63):
        bad.append(f"name {name}")
    for metadata in (found["metadata"], found.get("spec", {}).get("template", {}).get("metadata", {})):
        for key, value in (metadata.get("labels") or {}).items():
            if not (_LABEL_KEY.fullmatch(key) and isinstance(value, str) and _LABEL.fullmatch(value)):
                bad.append(f"label {key}: {value}")
        for key, value in (metadata.get("annotations") or {}).items():
            if not (_LABEL_KEY.fullmatch(key) and isinstance(value, str)):
                bad.append(f"annotation {key}: {value}")
    return bad
