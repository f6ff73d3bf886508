"""``creative-feedback topics acls``: needs no cluster."""

from __future__ import annotations

import json
import shlex

import pytest

from tests.unit.surfaces.cli.commands import run_command
from topology import PARTIES


def test_every_role_is_printed_with_a_principal_of_its_own(capfd: pytest.CaptureFixture[str]) -> None:
    ended = run_command(capfd, "topics", "acls")
    assert ended.code == 0
    headings = [line for line in ended.out.splitlines() if line.startswith("# ")]
    assert len(headings) == len(PARTIES)
    commands = [shlex.split(line) for line in ended.out.splitlines() if line.startswith("kafka-acls.sh ")]
    principals = {command[command.index("--allow-principal") + 1] for command in commands}
    assert len(principals) == len(PARTIES)
    assert not any("--command-config" in command for command in commands)


def test_principal_role_names_and_brokers_are_the_ones_asked_for(capfd: pytest.CaptureFixture[str]) -> None:
    ended = run_command(
        capfd,
        *("topics", "acls", "--json", "--role", "processor", "--role", "reader", "--principal", "User:CN=w"),
        *("--set", "topics.actions=mine", "--set", "engine.application_id=app", "--set", "kafka.bootstrap_servers=h:1"),
        *("--set", "kafka.security_protocol=SSL"),
    )
    shown = json.loads(ended.out)
    assert list(shown) == ["processor", "reader"]
    assert {one["principal"] for one in shown.values()} == {"User:CN=w"}
    names = {(acl["resource"], acl["name"], acl["operation"]) for acl in shown["processor"]["acls"]}
    assert {("topic", "mine", "Write"), ("group", "app", "Read"), ("transactional-id", "app-", "Write")} <= names
    assert len(names) == 13
    start = "kafka-acls.sh --bootstrap-server h:1 --command-config admin.properties --add --allow-principal User:CN=w "
    assert all(command.startswith(start) for one in shown.values() for command in one["commands"])


@pytest.mark.parametrize(
    ("arguments", "named"),
    [(["--principal", "worker"], "write it as TYPE:NAME"), (["--role", "admin"], "no such role (known: processor, ")],
)
def test_wrong_usage_is_told_in_one_line(arguments: list[str], named: str, capfd: pytest.CaptureFixture[str]) -> None:
    ended = run_command(capfd, "topics", "acls", *arguments)
    assert ended.code == 2
    assert ended.err.count("\n") == 1
    assert named in ended.err
