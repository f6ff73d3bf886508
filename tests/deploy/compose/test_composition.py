"""docker-compose.yml: nothing misspelt, nothing missing, nothing open, nothing that only a comment says."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from processor.config import load_settings
from tests.deploy.compose.composition import OURS, ROOT, Service, compose, text, variables
from tests.deploy.delivered import ALERTS, DASHBOARD, dashboard

# What of Compose is used here: another word is misspelt, or new and to be looked at.
FILE_KEYS = {"name", "services", "configs", "volumes"}
SERVICE_KEYS = {
    "build", "cap_drop", "command", "configs", "depends_on", "environment", "healthcheck", "image", "logging",
    "mem_limit", "ports", "profiles", "pull_policy", "read_only", "restart", "security_opt", "stop_grace_period",
    "tmpfs", "volumes",
}  # fmt: skip
HEALTH_KEYS = {"test", "interval", "timeout", "retries", "start_period", "start_interval"}
DURATIONS = ("interval", "timeout", "start_period", "start_interval")

SERVICES = list(compose().services.values())
each_service = pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.name)
each_of_ours = pytest.mark.parametrize(
    "service", [service for service in SERVICES if service.is_ours], ids=lambda service: service.name
)


def _seconds(text: str) -> int:
    found = re.fullmatch(r"(\d+)(s|m)", text)
    assert found is not None, text
    return int(found[1]) * (60 if found[2] == "m" else 1)


def test_every_word_is_one_of_compose() -> None:
    declared = compose().declared
    assert {key for key in declared if not key.startswith("x-")} == FILE_KEYS
    for name, config in declared["configs"].items():
        assert len(config) == 1, name
        assert config.keys() <= {"content", "file"}, name
    assert all(volume is None for volume in declared["volumes"].values())


@each_service
def test_every_word_of_a_service_is_one_of_compose(service: Service) -> None:
    assert service.declared.keys() - SERVICE_KEYS == set()
    assert all(isinstance(value, str) for value in service.environment.values()), "quote numbers and true"
    assert all(isinstance(word, str) for word in service.command)
    assert {len(mount) for mount in service.declared.get("configs", [])} <= {2}
    assert service.declared.get("restart") in {"no", "unless-stopped"}
    if check := service.declared.get("healthcheck"):
        assert check.keys() == HEALTH_KEYS
        assert _seconds(check["timeout"]) <= _seconds(check["interval"])
        assert all(_seconds(check[key]) for key in DURATIONS)


@each_service
def test_what_a_service_refers_to_is_there(service: Service) -> None:
    composition = compose()
    for before, condition in service.waits_for.items():
        waited_for = composition.services[before]
        assert not set(waited_for.profiles) - set(service.profiles), "it would have to be asked for"
        if condition == "service_healthy":
            assert waited_for.health_check
        else:
            assert condition == "service_completed_successfully"
            assert waited_for.declared["restart"] == "no"
    for config in service.configs:
        assert composition.config(config.source).strip()
    for volume in service.volumes:
        assert volume.source in composition.declared["volumes"]
    for host, port in re.findall(r"\b([a-z][\w-]*):(\d{4,5})\b", json.dumps(service.declared)):
        assert host in composition.services, f"{host}:{port}"


def test_nothing_is_declared_that_nobody_uses() -> None:
    declared = compose().declared
    assert {mount.source for service in SERVICES for mount in service.configs} == set(declared["configs"])
    assert {mount.source for service in SERVICES for mount in service.volumes} == set(declared["volumes"])


def test_nothing_is_reached_from_another_machine_and_no_port_is_taken_twice() -> None:
    published = [outside for service in SERVICES for outside in service.ports.values()]
    assert all(re.fullmatch(r"127\.0\.0\.1:\d+", outside) for outside in published), published
    assert len(set(published)) == len(published)


@each_service
def test_an_image_is_of_one_version(service: Service) -> None:
    name, _, tag = service.image.partition(":")
    assert re.fullmatch(r"v?\d+\.\d+\.\d+", tag)
    if service.is_ours:
        assert tag == tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
        builds = service.name == "topics"
        assert ("build" in service.declared) == builds, "one builds the image for all"
        assert service.declared["pull_policy"] == ("build" if builds else "never")
        assert builds or "topics" in _all_before(service), "it would start before its image is there"
    else:
        assert name != OURS
        assert "build" not in service.declared


def _all_before(service: Service) -> set[str]:
    before = set(service.waits_for)
    return before.union(*(_all_before(compose().services[name]) for name in before))


@each_service
def test_a_service_may_do_no_more_than_it_needs(service: Service) -> None:
    declared = service.declared
    assert declared["cap_drop"] == ["ALL"]
    assert declared["security_opt"] == ["no-new-privileges:true"]
    assert declared["logging"]["options"].keys() == {"max-size", "max-file"}
    assert re.fullmatch(r"\d+[mg]", declared["mem_limit"])
    assert declared.get("read_only", False) == service.is_ours
    assert declared.get("tmpfs", []) == (["/tmp"] if service.is_ours else [])
    inline = [mount for mount in service.configs if "content" in compose().declared["configs"][mount.source]]
    assert not (inline and service.is_ours), "Compose puts no content into a container that is read-only"


@each_of_ours
def test_every_setting_is_one_of_ours_and_has_a_value_that_it_may_have(service: Service) -> None:
    settings = load_settings(environ=service.environment)
    assert settings.kafka.bootstrap_servers == "kafka:9092"
    assert settings.topics.replication_factor == 1
    others = {name for name in service.environment if not name.startswith("CREATIVE_FEEDBACK__")}
    assert others <= {"OTEL_EXPORTER_OTLP_ENDPOINT"}


def test_processors_differ_in_their_names_alone_and_have_time_to_stop() -> None:
    processors = [compose().services[name] for name in ("processor-1", "processor-2")]
    for service in processors:
        settings = load_settings(environ=service.environment)
        assert settings.engine.instance_id == service.name
        assert settings.engine.static_membership
        assert settings.engine.leave_on_stop
        assert (settings.http.host, list(service.ports)) == ("0.0.0.0", [settings.http.port])
        assert settings.http.advertised_url == f"http://{service.name}:{settings.http.port}"
        grace_ms = _seconds(service.declared["stop_grace_period"]) * 1000
        assert grace_ms >= settings.engine.shutdown_timeout_ms + 10_000
    one, other = (_without_ports(service.declared, service.name) for service in processors)
    assert one == other


def _without_ports(declared: dict[str, Any], name: str) -> str:
    return json.dumps({key: value for key, value in declared.items() if key != "ports"}).replace(name, "NAME")


def test_the_comments_tell_every_variable_with_its_default() -> None:
    told = dict(re.findall(r"\b([A-Z][A-Z0-9_]+_?[A-Z0-9_]*) ([\w:.-]+)", _comments("# Variables")))
    used = variables()
    assert {name: default for name, default in used.items() if default} == told
    for name in used.keys() - told.keys():
        assert f"{name}  " in _comments("# Variables")
        assert "empty" in _comments("# Variables")


def test_the_comments_tell_what_is_optional_and_where_to_look() -> None:
    profiles = {profile for service in SERVICES for profile in service.profiles}
    assert set(re.findall(r"--profile (\w+)", _comments("# Optional"))) == profiles
    head = text().partition("# Optional")[0]
    for service in SERVICES:
        for outside in service.ports.values():
            if not service.profiles:
                assert outside.rpartition(":")[2] in head


def _comments(first: str) -> str:
    """A paragraph of the comments at the top, from these words on."""
    return text().partition(first)[2].partition("\n#\n")[0].partition("\nname:")[0]


def test_prometheus_scrapes_every_processor_and_loads_the_alerts_of_the_chart() -> None:
    composition = compose()
    service = composition.services["prometheus"]
    places = {mount.target: mount.source for mount in service.configs}
    (settings,) = (word.partition("=")[2] for word in service.command if word.startswith("--config.file="))
    configuration = yaml.safe_load(composition.config(places[settings]))
    (rule_file,) = configuration["rule_files"]
    assert composition.config(places[rule_file]) == ALERTS.read_text()
    targets = [target for job in configuration["scrape_configs"] for target in job["static_configs"][0]["targets"]]
    assert targets == [
        f"{name}:{port}"
        for name, each in composition.services.items()
        if each.command == ["run"]
        for port in each.ports
    ]
    (volume,) = service.volumes
    assert f"--storage.tsdb.path={volume.target}" in service.command


def test_grafana_finds_the_dashboard_of_the_chart_and_its_data_source() -> None:
    composition = compose()
    service = composition.services["grafana"]
    provisioned = PurePosixPath("/etc/grafana/provisioning")
    places = {PurePosixPath(mount.target): composition.config(mount.source) for mount in service.configs}
    files = {kind: _only(path for path in places if path.parent == provisioned / kind) for kind in _KINDS}

    (source,) = yaml.safe_load(places[files["datasources"]])["datasources"]
    prometheus = composition.services["prometheus"]
    assert source["url"] == f"http://prometheus:{_only(prometheus.ports)}"
    assert source["isDefault"] is True, "the dashboard takes the default one"
    variable = dashboard()["templating"]["list"][0]
    assert (variable["type"], variable["query"]) == ("datasource", source["type"])
    assert source["type"] == "prometheus"
    scraped = yaml.safe_load(composition.config("prometheus"))["global"]["scrape_interval"]
    assert source["jsonData"]["timeInterval"] == scraped, "or rates would be taken over too short a time"

    (provider,) = yaml.safe_load(places[files["dashboards"]])["providers"]
    found = [path for path in places if path.parent == PurePosixPath(provider["options"]["path"])]
    assert [places[path] for path in found] == [DASHBOARD.read_text()]
    assert service.environment["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"] == str(found[0])


_KINDS = ("datasources", "dashboards")


def _only(found: Iterable[Any]) -> Any:
    (one,) = found
    return one


def test_grafana_has_nobody_who_could_change_anything() -> None:
    environment = compose().services["grafana"].environment
    assert environment["GF_AUTH_ANONYMOUS_ORG_ROLE"] == "Viewer"
    assert environment["GF_AUTH_DISABLE_LOGIN_FORM"] == "true"
    assert environment["GF_SECURITY_DISABLE_INITIAL_ADMIN_CREATION"] == "true"
