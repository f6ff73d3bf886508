"""``docker compose up``, without containers: every service that can be had here does what it is there for.

One course of events, played by the fixture; each test looks at a part of what was seen.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
import urllib.parse
import urllib.request
from typing import Any

import msgspec
import pytest

from tests.deploy.compose.composition import compose
from tests.deploy.compose.machine import PATIENCE_S, Machine
from tests.deploy.delivered import promtool, rules

PROCESSORS = ("processor-1", "processor-2")
LONG_RUNNING = ("kafka", *PROCESSORS, "simulator", "prometheus")
JOBS = ("topics", "audit")
FOREIGN = ("grafana", "kafka-ui", "jaeger")  # only their images have them

pytestmark = [
    pytest.mark.kafka,
    pytest.mark.timeout(300),  # the first test plays the course
    pytest.mark.skipif(shutil.which("prometheus") is None, reason="prometheus is not installed (Debian: prometheus)"),
]


class Seen(msgspec.Struct):
    """What was seen of the composition."""

    healthy: dict[str, bool]
    healthy_after: dict[str, bool]
    applied_again: subprocess.CompletedProcess[str]
    targets: dict[str, str]
    rules_loaded: list[str]
    firing: list[Any]
    events: dict[str, float]
    partitions: dict[str, float]
    configuration: subprocess.CompletedProcess[str]
    audit: subprocess.CompletedProcess[str]
    codes: dict[str, int]
    said: dict[str, str]


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    """From ``up`` to SIGTERM."""
    with Machine(tmp_path_factory.mktemp("compose")) as machine:
        machine.up("prometheus", *PROCESSORS, "simulator")
        healthy = {name: machine.healthy(name) for name in ("prometheus", *PROCESSORS)}
        from_outside = f"kafka.bootstrap_servers={machine.address('kafka', 19092)}"
        applied_again = machine.run("topics", "topics", "apply", "--json", "--set", from_outside)
        events = _events_of_both(machine)
        partitions = _shares(machine)
        targets = _ask(machine, "targets")["activeTargets"]
        groups = _ask(machine, "rules")["groups"]
        firing = _ask(machine, "query", query='ALERTS{alertstate="firing"}')["result"]
        configuration = promtool("check", "config", machine.path("prometheus", "/etc/prometheus/prometheus.yml"))
        machine.stop("simulator")
        audit = machine.run("audit")
        machine.stop(*PROCESSORS)
        healthy_after = {name: machine.healthy(name) for name in PROCESSORS}
        machine.stop("kafka", "prometheus")
        return Seen(
            healthy=healthy,
            healthy_after=healthy_after,
            applied_again=applied_again,
            targets={each["labels"]["instance"]: each["health"] for each in targets},
            rules_loaded=[rule["name"] for group in groups for rule in group["rules"]],
            firing=firing,
            events=events,
            partitions=partitions,
            configuration=configuration,
            audit=audit,
            codes=machine.codes,
            said={name: machine.log(name).read_text() for name in (*LONG_RUNNING, "topics")},
        )


def test_no_service_is_forgotten_here() -> None:
    assert sorted(compose().services) == sorted((*LONG_RUNNING, *JOBS, *FOREIGN))


def test_the_topics_job_makes_the_topics_and_has_nothing_to_do_the_next_time_from_this_machine(seen: Seen) -> None:
    assert seen.codes["topics"] == 0
    assert seen.said["topics"].count("create ") == 5
    assert seen.applied_again.returncode == 0, seen.applied_again.stderr
    assert json.loads(seen.applied_again.stdout)["up_to_date"] is True


def test_health_checks_say_who_serves_and_who_does_not(seen: Seen) -> None:
    assert seen.healthy == {"prometheus": True, "processor-1": True, "processor-2": True}
    assert seen.healthy_after == {"processor-1": False, "processor-2": False}


def test_both_processors_work_and_share_the_partitions(seen: Seen) -> None:
    assert len(seen.partitions) == 2
    assert min(seen.partitions.values()) > 0
    assert min(seen.events.values()) > 0


def test_prometheus_scrapes_both_and_has_every_rule(seen: Seen) -> None:
    assert sorted(seen.targets.values()) == ["up", "up"]
    assert sorted(seen.rules_loaded) == sorted(rule["alert"] for rule in rules())
    assert seen.firing == []


def test_promtool_finds_the_configuration_right(seen: Seen) -> None:
    assert seen.configuration.returncode == 0, seen.configuration.stdout + seen.configuration.stderr
    assert f"SUCCESS: {len(rules())} rules found" in seen.configuration.stdout


def test_what_was_committed_is_what_a_replay_gives(seen: Seen) -> None:
    assert seen.audit.returncode == 0, seen.audit.stdout + seen.audit.stderr
    found = re.match(r"equal: ([\d,]+) events of 8 partitions", seen.audit.stdout)
    assert found is not None, seen.audit.stdout
    assert int(found[1].replace(",", "")) >= sum(seen.events.values())


def test_sigterm_ends_every_service_well(seen: Seen) -> None:
    java_ended_by_sigterm = 128 + 15
    assert seen.codes == {**dict.fromkeys((*LONG_RUNNING, "topics"), 0), "kafka": java_ended_by_sigterm}
    for name in (*PROCESSORS, "simulator"):
        assert '"level": "error"' not in seen.said[name]
        assert "Traceback" not in seen.said[name]


def _events_of_both(machine: Machine) -> dict[str, float]:
    """Once Prometheus knows of events of both."""
    deadline = time.monotonic() + PATIENCE_S
    while len(found := _by_instance(machine, "creative_feedback_events_total > 0")) < len(PROCESSORS):
        assert time.monotonic() < deadline, found
        time.sleep(0.2)
    return found


def _shares(machine: Machine) -> dict[str, float]:
    """Partitions of each processor, once no scrape is left in which one that has moved stands twice or not at all."""
    deadline = time.monotonic() + PATIENCE_S
    working = 'sum by (instance) (creative_feedback_partition_phase{phase="running"})'
    declared = int(machine.services["topics"].environment["CREATIVE_FEEDBACK__TOPICS__PARTITIONS"])
    while sum((found := _by_instance(machine, working)).values()) != declared:
        assert time.monotonic() < deadline, found
        time.sleep(0.2)
    return found


def _by_instance(machine: Machine, query: str) -> dict[str, float]:
    found = _ask(machine, "query", query=query)["result"]
    return {each["metric"]["instance"]: float(each["value"][1]) for each in found}


def _ask(machine: Machine, what: str, **query: str) -> Any:
    """Prometheus' answer."""
    url = f"http://{machine.address('prometheus', 9090)}/api/v1/{what}?{urllib.parse.urlencode(query)}"
    with urllib.request.urlopen(url, timeout=10) as answer:
        return json.load(answer)["data"]
