"""The fewest ACLs, as data and as commands."""

from __future__ import annotations

import shlex

import pytest

from topology import PARTIES, Acl, TopicNames, acl_commands, acls, acls_markdown, declare

IMPLIED = {"Describe": {"Read", "Write"}, "DescribeConfigs": {"AlterConfigs"}}
NAMES = TopicNames("in", "act", "met", "dead", "log")
DECLARED = acls(declare(NAMES), "app")


@pytest.mark.parametrize("party", PARTIES)
def test_no_acl_is_listed_twice_or_implied_by_another(party: str) -> None:
    allowed = DECLARED[party]  # type: ignore[index]
    assert len(set(allowed)) == len(allowed)
    for acl in allowed:
        others = {other.operation for other in allowed if (other.resource, other.name) == (acl.resource, acl.name)}
        assert not IMPLIED.get(acl.operation, set()) & others, str(acl)


def test_the_processor_writes_no_input_and_changes_no_topic() -> None:
    operations = {(acl.name, acl.operation) for acl in DECLARED["processor"]}
    assert ("in", "Write") not in operations
    assert not {operation for _, operation in operations} & {"Create", "AlterConfigs"}
    assert {name for name, operation in operations if operation == "Write"} == {"act", "met", "dead", "log", "app-"}


def test_only_the_processor_the_topics_job_and_the_rebuilder_write_the_changelog() -> None:
    def parties(*operations: str) -> set[str]:
        return {
            party
            for party, allowed in DECLARED.items()
            if any(acl.name == "log" and (not operations or acl.operation in operations) for acl in allowed)
        }

    assert parties("Write", "Create", "AlterConfigs") == {"processor", "topics", "rebuilder"}
    assert parties() == {"processor", "topics", "auditor", "rebuilder"}


def test_the_auditor_reads_everything_and_does_nothing_else() -> None:
    assert {(acl.resource, acl.name, acl.operation) for acl in DECLARED["auditor"]} == {
        ("topic", name, "Read") for name in ("in", "act", "met", "dead", "log")
    }


def test_the_rebuilder_reads_all_topics_and_writes_no_output() -> None:
    operations = {(acl.name, acl.operation) for acl in DECLARED["rebuilder"]}
    assert {name for name, operation in operations if operation == "Read"} == {"in", "act", "met", "dead", "log", "app"}
    assert {name for name, operation in operations if operation == "Write"} == {"log", "app-"}


def test_transactional_ids_of_all_instances_are_allowed_and_of_no_other_application() -> None:
    [acl] = [acl for acl in DECLARED["processor"] if acl.resource == "transactional-id"]
    assert (acl.pattern, acl.name, acl.operation) == ("prefixed", "app-", "Write")


def test_a_command_per_resource_holds_all_its_operations() -> None:
    commands = acl_commands(DECLARED["processor"], "User:CN=worker one,O=x", "h:1", admin_config=False)
    assert [shlex.split(command) for command in commands][4:] == [
        [
            *("kafka-acls.sh", "--bootstrap-server", "h:1", "--add", "--allow-principal", "User:CN=worker one,O=x"),
            *("--operation", "Read", "--operation", "Write", "--operation", "DescribeConfigs", "--topic", "log"),
        ],
        [
            *("kafka-acls.sh", "--bootstrap-server", "h:1", "--add", "--allow-principal", "User:CN=worker one,O=x"),
            *("--operation", "Read", "--group", "app"),
        ],
        [
            *("kafka-acls.sh", "--bootstrap-server", "h:1", "--add", "--allow-principal", "User:CN=worker one,O=x"),
            *("--operation", "Write", "--transactional-id", "app-", "--resource-pattern-type", "prefixed"),
        ],
    ]


def test_the_commands_grant_every_acl_of_the_list() -> None:
    for allowed in DECLARED.values():
        commands = acl_commands(allowed, "User:x", "h:1", admin_config=True)
        words = [shlex.split(command) for command in commands]
        assert sum(command.count("--operation") for command in words) == len(allowed)
        assert all("admin.properties" in command for command in words)


def test_the_table_tells_every_acl_with_its_reason() -> None:
    table = acls_markdown(declare(NAMES), "app")
    for allowed in DECLARED.values():
        for acl in allowed:
            [row] = [
                line for line in table.splitlines() if f"`{acl.name}`" in line and acl.why in line and row_of(line, acl)
            ]
            assert acl.operation in row


def row_of(line: str, acl: Acl) -> bool:
    return line.startswith(f"| {acl.resource} |")
