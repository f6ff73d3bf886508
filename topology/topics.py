"""The five topics as data: what they are for, how they are made, what they must satisfy.

Sizes are bytes, times milliseconds; Kafka's own configuration names and value texts.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Final, Literal

from msgspec import Struct

Role = Literal["state", "actions", "metrics", "dead_letters", "changelog"]

# A dead letter is its input and a few headers; an action or a state record may outgrow a small input.
OUTPUT_HEADROOM_BYTES: Final = 128 * 1024
# Input somewhat above the event limit still gets in, and becomes a dead letter that says so.
INPUT_HEADROOM_BYTES: Final = 1024 * 1024
# Sessions expire by record timestamps: one record from far ahead would end all sessions of its partition.
MAX_TIMESTAMP_AHEAD_MS: Final = 3_600_000

_DAY_MS: Final = 86_400_000
_LEGAL_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,249}")


class TopologyError(ValueError):
    """The declared topology contradicts itself or Kafka's rules; the message names what and why."""


class Requirement(Struct, frozen=True):
    """What an existing topic's setting must satisfy, and why (for the plan's reader)."""

    setting: str
    relation: Literal["equals", "at_least", "at_most"]
    value: str
    why: str

    def holds(self, observed: str) -> bool:
        """Whether the observed value satisfies it."""
        if self.relation == "equals":
            return sorted(observed.replace(" ", "").split(",")) == [self.value]
        if self.relation == "at_least":
            return int(observed) >= int(self.value)
        return int(observed) <= int(self.value)


class Topic(Struct, frozen=True):
    """One topic. `created_with` are the settings a new one gets beyond the requirements' values."""

    role: Role
    name: str
    key: str
    value: str
    partitions: int
    replication_factor: int
    requirements: tuple[Requirement, ...]
    created_with: tuple[tuple[str, str], ...] = ()

    def settings_at_creation(self) -> dict[str, str]:
        """Everything a new topic is created with."""
        return {**{need.setting: need.value for need in self.requirements}, **dict(self.created_with)}


class TopicNames(Struct, frozen=True):
    """The names, by role."""

    state: str = "tori.state"
    actions: str = "tori.actions"
    metrics: str = "tori.metrics"
    dead_letters: str = "tori.state.dead-letters"
    changelog: str = "tori.creative-feedback.changelog"


def declare_topics(
    names: TopicNames, *, partitions: int, replication_factor: int, input_max_bytes: int
) -> tuple[Topic, ...]:
    """The five topics. `input_max_bytes` is the input topic's ``max.message.bytes``."""
    output_bytes = str(input_max_bytes + OUTPUT_HEADROOM_BYTES)
    fits = Requirement(
        "max.message.bytes", "at_least", output_bytes, "every input must fit as a dead letter, with headers"
    )
    durable = (
        Requirement(
            "min.insync.replicas",
            "at_least",
            str(min(2, replication_factor)),
            "exactly-once holds while no acknowledged record is lost",
        ),
        Requirement(
            "unclean.leader.election.enable",
            "equals",
            "false",
            "exactly-once holds while no acknowledged record is lost",
        ),
    )
    appended = Requirement("cleanup.policy", "equals", "delete", "records are facts, not latest values")
    compacted = Requirement("cleanup.policy", "equals", "compact", "the newest record of a key is the state")
    punctual = Requirement(
        "message.timestamp.after.max.ms",
        "at_most",
        str(MAX_TIMESTAMP_AHEAD_MS),
        "a record from far ahead would expire every session of its partition",
    )

    stamped = Requirement(
        "message.timestamp.type",
        "equals",
        "LogAppendTime",
        "the broker refuses records from a worker whose clock is ahead, and its retention believes their times",
    )

    def topic(role: Role, key: str, value: str, *needs: Requirement, **created_with: str) -> Topic:
        return Topic(
            role=role,
            name=getattr(names, role),
            key=key,
            value=value,
            partitions=partitions,
            replication_factor=replication_factor,
            requirements=(*needs, *durable),
            created_with=tuple((name.replace("_", "."), text) for name, text in created_with.items()),
        )

    week, month = str(7 * _DAY_MS), str(30 * _DAY_MS)
    topics = (
        topic(
            "state",
            "session_id",
            "StateEvent",
            appended,
            punctual,
            retention_ms=week,
            max_message_bytes=str(input_max_bytes),
        ),
        topic("actions", "session_id", "Action", appended, fits, stamped, retention_ms=week),
        topic("metrics", "session_id", "Metric", appended, fits, stamped, retention_ms=week),
        topic("dead_letters", "the input's key", "the input's bytes", appended, fits, stamped, retention_ms=month),
        topic(
            "changelog",
            "record kind + session_id",
            "state and progress records",
            compacted,
            fits,
            stamped,
            # A restore reads what is not compacted yet: small segments and an eager cleaner keep that short.
            segment_bytes=str(64 * 1024 * 1024),
            min_cleanable_dirty_ratio="0.2",
        ),
    )
    validate_topics(topics)
    return topics


def validate_topics(topics: tuple[Topic, ...]) -> None:
    """Raise `TopologyError` unless names are legal and distinct and all partition counts are the same."""
    folded = Counter(topic.name.replace(".", "_") for topic in topics)
    for topic in topics:
        if not _LEGAL_NAME.fullmatch(topic.name) or topic.name in {".", ".."}:
            raise TopologyError(
                f"topic {topic.name!r} ({topic.role}): a name is 1 to 249 of letters, digits, '.', '_' and '-'"
            )
        if folded[topic.name.replace(".", "_")] > 1:
            raise TopologyError(
                f"topic {topic.name} ({topic.role}): another role's topic has this name"
                " (Kafka takes '.' and '_' for the same); give each its own"
            )
        if topic.partitions < 1 or topic.replication_factor < 1:
            raise TopologyError(f"topic {topic.name} ({topic.role}): partitions and replication factor are at least 1")
        if topic.partitions != topics[0].partitions:
            raise TopologyError(
                f"topic {topic.name} has {topic.partitions} partitions, {topics[0].name} has"
                f" {topics[0].partitions}: what is made of a partition goes to the same number, so all are equal"
            )
