"""Every set of values renders what Kubernetes takes, the same each time, under names that fit."""

from __future__ import annotations

import tomllib

import pytest
import yaml  # type: ignore[import-untyped]

from tests.deploy.chart.pod_security import violations
from tests.deploy.chart.rendering import CHART, NEWEST, OLDEST, VALUES, each_set, helm, needs_helm, rendered, unchecked
from tests.deploy.chart.schemas import complaints, misnamed

pytestmark = needs_helm

LONG = "a-release-with-a-name-as-long-as-helm-lets-it-be-53-x"  # what helm allows


@pytest.mark.parametrize("chosen", ["minimal", "production"])
def test_helm_lints_it_strictly(chosen: str) -> None:
    said = helm("lint", "--strict", CHART, "--values", VALUES / f"{chosen}.yaml")
    assert said.returncode == 0, said.stdout + said.stderr


@each_set
@pytest.mark.parametrize("version", [OLDEST, NEWEST])
def test_every_object_is_valid(chosen: str, version: str) -> None:
    release = rendered(chosen)
    assert release.statefulset
    assert [
        (one["kind"], one["metadata"]["name"], said) for one in release.objects for said in complaints(one, version)
    ] == []


@each_set
def test_every_name_and_label_fits(chosen: str) -> None:
    assert [said for one in rendered(chosen).objects for said in misnamed(one)] == []


def test_names_as_long_as_can_be_fit_and_stay_apart() -> None:
    one, other = rendered("long-names", name=LONG), rendered("long-names", name=f"{LONG[:-1]}y")
    assert [said for found in (*one.objects, *other.objects) for said in misnamed(found)] == []
    assert one.statefulset["metadata"]["name"] != other.statefulset["metadata"]["name"]


@pytest.mark.parametrize("name", ["feedback.of.tori", "creative-feedback", "7"])
def test_a_release_may_be_called_anything_that_helm_allows(name: str) -> None:
    changed = {"fullnameOverride": "seven"} if name.isdigit() else {}
    assert [said for one in rendered("minimal", changed, name=name).objects for said in misnamed(one)] == []


@each_set
def test_every_pod_may_run_where_restricted_pod_security_is_enforced(chosen: str) -> None:
    templates = dict(rendered(chosen).pod_templates())
    assert len(templates) >= 2, "the StatefulSet's and the one of helm test"
    assert [(name, said) for name, template in templates.items() for said in violations(template)] == []


@each_set
def test_no_two_objects_have_one_name(chosen: str) -> None:
    names = [(one["kind"], one["metadata"]["name"]) for one in rendered(chosen).objects]
    assert len(names) == len(set(names))


@each_set
def test_no_object_is_a_secret_or_chooses_its_namespace(chosen: str) -> None:
    for one in rendered(chosen).objects:
        assert one["kind"] != "Secret"
        assert "namespace" not in one["metadata"]


@pytest.mark.parametrize("chosen", ["production", "odd-settings"])
def test_the_same_values_render_the_same_bytes(chosen: str) -> None:
    assert unchecked(chosen, {}).text == rendered(chosen).text


def test_the_chart_is_of_the_version_of_its_processor() -> None:
    project = tomllib.loads((CHART.parent.parent / "pyproject.toml").read_text())["project"]
    chart = yaml.safe_load(helm("show", "chart", CHART).stdout)
    assert (chart["name"], chart["appVersion"]) == (project["name"], project["version"])
    assert chart["kubeVersion"] == f">={OLDEST}-0"
