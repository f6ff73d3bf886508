"""``creative-feedback leave``: what it asks of the group, and what it says."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import pytest

from processor.config import Settings
from tests.unit.surfaces.cli.commands import run_command


class GroupInMemory:
    """`processor.surfaces.ports.Kafka` with one static member, ``pod-2``."""

    def __init__(self) -> None:
        self.members = {"pod-2"}
        self.groups: list[str] = []

    async def take_out(self, settings: Settings, instances: Sequence[str]) -> Mapping[str, bool]:
        self.groups.append(settings.engine.application_id)
        return {instance: instance in self.members for instance in instances}


def test_it_says_who_left_and_who_was_not_there(capfd: pytest.CaptureFixture[str]) -> None:
    kafka = GroupInMemory()
    ended = run_command(capfd, "leave", "--set", "engine.application_id=app", "pod-2", "pod-3", kafka=kafka)
    assert (ended.code, ended.err, kafka.groups) == (0, "", ["app"])
    assert ended.out.splitlines() == ["pod-2: left group app", "pod-3: no static member of group app"]


def test_a_script_gets_json(capfd: pytest.CaptureFixture[str]) -> None:
    ended = run_command(capfd, "leave", "--json", "pod-2", "pod-3", kafka=GroupInMemory())
    assert (ended.code, json.loads(ended.out)) == (0, {"left": ["pod-2"], "absent": ["pod-3"]})


def test_nobody_named_is_refused_before_a_cluster_is_asked(capfd: pytest.CaptureFixture[str]) -> None:
    ended = run_command(capfd, "leave")
    assert ended.code == 2
    assert "INSTANCE" in ended.err
