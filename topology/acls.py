"""Who may do what: the fewest ACLs that each party needs, as data.

A party is a program with its own principal.  Kafka lets Read and Write imply Describe, and AlterConfigs imply
DescribeConfigs (KIP-133), so what is implied is not listed.  An idempotent producer needs no IdempotentWrite on the
cluster since Kafka 3.0 (KIP-679): Write on a topic, or on its transactional id, is enough.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import Final, Literal, get_args

from msgspec import Struct

from topology.dataflow import Topology
from topology.topics import Role

Party = Literal["processor", "topics", "producer", "reader", "auditor", "rebuilder"]
PARTIES: Final[tuple[Party, ...]] = get_args(Party)
ResourceType = Literal["topic", "group", "transactional-id"]
Operation = Literal["Read", "Write", "Create", "Describe", "DescribeConfigs", "AlterConfigs"]

PARTY_MEANING: Final[Mapping[Party, str]] = {
    "processor": "the processor (`creative-feedback run|reset`)",
    "topics": "the topics job (`creative-feedback topics plan|apply|check`)",
    "producer": "who writes state events and follows the actions (TORI, `creative-feedback simulate`)",
    "reader": "who reads actions, metrics and dead letters",
    "auditor": "the auditor (`creative-feedback audit`)",
    "rebuilder": "whoever makes a lost changelog anew (`creative-feedback rebuild`)",
}
DEFAULT_PRINCIPALS: Final[Mapping[Party, str]] = {
    "processor": "User:creative-feedback",
    "topics": "User:creative-feedback-topics",
    "producer": "User:tori",
    "reader": "User:creative-feedback-reader",
    "auditor": "User:creative-feedback-auditor",
    "rebuilder": "User:creative-feedback-rebuilder",
}


class Acl(Struct, frozen=True):
    """One permission to allow: `operation` on the resource of this name, or on all whose names begin with it."""

    resource: ResourceType
    name: str
    pattern: Literal["literal", "prefixed"]
    operation: Operation
    why: str

    def __str__(self) -> str:
        prefixed = "names beginning with " if self.pattern == "prefixed" else ""
        return f"{self.operation} on {self.resource} {prefixed}{self.name}"


def acls(topology: Topology, application_id: str) -> dict[Party, tuple[Acl, ...]]:
    """What each party needs; the processor's transactional ids all begin with the application's id."""
    names: dict[Role, str] = {topic.role: topic.name for topic in topology.topics}
    outputs: tuple[Role, ...] = ("actions", "metrics", "dead_letters")

    def on(role: Role, operation: Operation, why: str) -> Acl:
        return Acl("topic", names[role], "literal", operation, why)

    processor = [
        on("state", "Read", "events are fetched"),
        *(on(role, "Write", "output is written") for role in outputs),
        on("changelog", "Read", "state is restored"),
        on("changelog", "Write", "state and progress are written"),
        *(on(role, "DescribeConfigs", "settings are checked at start") for role in names),
        Acl("group", application_id, "literal", "Read", "instances share the partitions, offsets are committed"),
        Acl("transactional-id", f"{application_id}-", "prefixed", "Write", "one transactional id per instance"),
    ]
    rebuilder = [
        on("state", "Read", "events are folded into state again"),
        *(on(role, "Read", "what is rebuilt is held against it") for role in outputs),
        on("changelog", "Read", "what is left there is looked up"),
        on("changelog", "Write", "state that was lost is written again"),
        *(on(role, "DescribeConfigs", "topics are checked before") for role in names),
        Acl("group", application_id, "literal", "Read", "nobody else may be in it while state is written"),
        Acl("transactional-id", f"{application_id}-", "prefixed", "Write", "state is written in transactions"),
    ]
    topics = [
        *(on(role, "Create", "a missing topic is created") for role in names),
        *(on(role, "Describe", "what exists is compared") for role in names if role != "changelog"),
        *(on(role, "AlterConfigs", "settings are compared and corrected") for role in names),
        on("changelog", "Read", "whether a partition was ever used is looked up"),
        on("changelog", "Write", "every partition gets its first progress record"),
        Acl("group", application_id, "literal", "Describe", "an empty changelog beside committed offsets is a loss"),
    ]
    return {
        "processor": _by_resource(processor),
        "topics": _by_resource(topics),
        "producer": (
            on("state", "Write", "events are written"),
            on("actions", "Read", "the answers are followed, unless by `simulate --open-loop`"),
        ),
        "reader": tuple(on(role, "Read", "committed output is read") for role in outputs),
        "auditor": (
            on("state", "Read", "events are processed again"),
            *(on(role, "Read", "committed output is compared") for role in outputs),
            on("changelog", "Read", "state, progress and the settings of the time are looked up"),
        ),
        "rebuilder": _by_resource(rebuilder),
    }


def acl_commands(allowed: Iterable[Acl], principal: str, bootstrap_servers: str, *, admin_config: bool) -> list[str]:
    """A ``kafka-acls.sh`` command line per resource; ``admin_config`` names a file with the administrator's login."""
    commands = []
    for (resource, name, pattern), group in groupby(allowed, key=_resource):
        words = ["kafka-acls.sh", "--bootstrap-server", bootstrap_servers]
        if admin_config:
            words += ["--command-config", "admin.properties"]
        words += ["--add", "--allow-principal", principal]
        for acl in group:
            words += ["--operation", acl.operation]
        words += [f"--{resource}", name]
        if pattern == "prefixed":
            words += ["--resource-pattern-type", pattern]
        commands.append(shlex.join(words))
    return commands


def acls_markdown(topology: Topology, application_id: str) -> str:
    """A table per party, for the README."""
    lines: list[str] = []
    for party, allowed in acls(topology, application_id).items():
        lines += ["", f"**{PARTY_MEANING[party]}**", "", "| resource | name | operations | why |", "|---|---|---|---|"]
        for (resource, name, pattern), group in groupby(allowed, key=_resource):
            grouped = list(group)
            operations = ", ".join(acl.operation for acl in grouped)
            why = "; ".join(acl.why for acl in grouped)
            shown = f"`{name}`" + (" (prefix)" if pattern == "prefixed" else "")
            lines.append(f"| {resource} | {shown} | {operations} | {why} |")
    return "\n".join(lines).strip() + "\n"


def _resource(acl: Acl) -> tuple[ResourceType, str, str]:
    return acl.resource, acl.name, acl.pattern


def _by_resource(allowed: list[Acl]) -> tuple[Acl, ...]:
    """In the order in which the resources first come, all operations on one together."""
    order = list(dict.fromkeys(map(_resource, allowed)))
    return tuple(sorted(allowed, key=lambda acl: order.index(_resource(acl))))
