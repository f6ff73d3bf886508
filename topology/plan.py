"""From what is declared and what a cluster has to what must be done: a pure function.

It creates and alters, it never deletes and never changes a partition count: the state of a session lives
where its key hashed to.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec
from msgspec import Struct

from topology.dataflow import Topology
from topology.topics import OUTPUT_HEADROOM_BYTES, Requirement, Topic

SAFE_REPLICATION_FACTOR: Final = 3


class ObservedTopic(Struct, frozen=True):
    """A topic as the cluster reports it; `settings` are effective values by Kafka's names."""

    name: str
    partitions: int
    replication_factor: int
    settings: Mapping[str, str]


class ObservedCluster(Struct, frozen=True):
    """What a cluster has. Topics nobody declared may be left out."""

    broker_count: int
    topics: Mapping[str, ObservedTopic]


class CreateTopic(Struct, frozen=True):
    """Create a topic with these settings."""

    name: str
    partitions: int
    replication_factor: int
    settings: Mapping[str, str]

    def __str__(self) -> str:
        settings = " ".join(f"{setting}={value}" for setting, value in self.settings.items())
        return f"create {self.name}: partitions={self.partitions} replicas={self.replication_factor} {settings}"


class AlterSetting(Struct, frozen=True):
    """Set one setting of an existing topic, leaving the others alone."""

    name: str
    setting: str
    observed: str
    wanted: str
    why: str

    def __str__(self) -> str:
        return f"alter {self.name}: {self.setting} {self.observed} → {self.wanted} ({self.why})"


class Refusal(Struct, frozen=True):
    """What no plan may change: one line with the remedy."""

    name: str
    message: str

    def __str__(self) -> str:
        return f"refuse {self.name}: {self.message}"


class Plan(Struct, frozen=True):
    """What to do. With refusals nothing must be applied; notices are risks that stop nobody."""

    creations: tuple[CreateTopic, ...]
    alterations: tuple[AlterSetting, ...]
    refusals: tuple[Refusal, ...]
    notices: tuple[str, ...]

    @property
    def up_to_date(self) -> bool:
        """Whether the cluster already is as declared."""
        return not (self.creations or self.alterations or self.refusals)


def plan(declared: Topology, observed: ObservedCluster) -> Plan:
    """The steps from `observed` to `declared`, in the order of the declared topics."""
    creations: list[CreateTopic] = []
    alterations: list[AlterSetting] = []
    refusals: list[Refusal] = []
    notices: list[str] = []
    for topic in _fitted(declared, observed):
        found = observed.topics.get(topic.name)
        if found is None:
            creations.append(
                CreateTopic(topic.name, topic.partitions, topic.replication_factor, topic.settings_at_creation())
            )
            if topic.replication_factor > observed.broker_count:
                refusals.append(_too_few_brokers(topic, observed.broker_count))
            if topic.replication_factor < SAFE_REPLICATION_FACTOR:
                notices.append(_weak(topic.name, topic.replication_factor))
            continue
        if found.partitions != topic.partitions:
            refusals.append(_other_partition_count(topic, found))
        if found.replication_factor < SAFE_REPLICATION_FACTOR:
            notices.append(_weak(found.name, found.replication_factor))
        for need in topic.requirements:
            value = found.settings.get(need.setting)
            if value is None:
                notices.append(f"{topic.name}: the cluster does not report {need.setting} (wanted: {need.value})")
            elif not need.holds(value):
                if topic.role == "state" and need.setting == "cleanup.policy":
                    refusals.append(_foreign_cleanup(topic, value))
                else:
                    alterations.append(AlterSetting(topic.name, need.setting, value, need.value, need.why))
    return Plan(tuple(creations), tuple(alterations), tuple(refusals), tuple(notices))


def _fitted(declared: Topology, observed: ObservedCluster) -> tuple[Topic, ...]:
    """The declared topics, their requirements fitted to what exists.

    Outputs must hold what the existing input lets in, and a topic of one replica cannot have two in sync.
    """
    found_input = observed.topics.get(declared.input.name)
    input_bytes = found_input.settings.get("max.message.bytes") if found_input else None
    fitted = []
    for topic in declared.topics:
        found = observed.topics.get(topic.name)
        replicas = found.replication_factor if found else topic.replication_factor
        needs = []
        for need in topic.requirements:
            if need.setting == "min.insync.replicas":
                needs.append(_with_value(need, min(2, replicas)))
                if found:
                    writable = Requirement(need.setting, "at_most", str(replicas), "more can never be in sync")
                    needs.append(writable)
            elif need.setting == "max.message.bytes" and input_bytes is not None:
                # Compressed input may be larger than its topic allows: outputs hold the declared size at least.
                needs.append(_with_value(need, max(int(need.value), int(input_bytes) + OUTPUT_HEADROOM_BYTES)))
            else:
                needs.append(need)
        fitted.append(msgspec.structs.replace(topic, requirements=tuple(needs)))
    return tuple(fitted)


def _with_value(need: Requirement, value: int) -> Requirement:
    return msgspec.structs.replace(need, value=str(value))


def _too_few_brokers(topic: Topic, broker_count: int) -> Refusal:
    return Refusal(
        topic.name,
        f"replication factor {topic.replication_factor} needs as many brokers, the cluster has {broker_count};"
        f" set topics.replication_factor = {max(broker_count, 1)} or add brokers",
    )


def _other_partition_count(topic: Topic, found: ObservedTopic) -> Refusal:
    return Refusal(
        topic.name,
        f"it has {found.partitions} partitions, {topic.partitions} are declared; set topics.partitions ="
        f" {found.partitions} if all five topics have that many, else use new topics with another"
        " engine.application_id (sessions stay in the partition their key hashed to)",
    )


def _foreign_cleanup(topic: Topic, observed: str) -> Refusal:
    return Refusal(
        topic.name,
        f"cleanup.policy is {observed}, so events of a session would vanish before they are read;"
        " its owner sets cleanup.policy = delete",
    )


def _weak(name: str, replication_factor: int) -> str:
    return (
        f"{name}: replication factor {replication_factor}, so a broker's loss can lose acknowledged records"
        f" (safe: {SAFE_REPLICATION_FACTOR} with min.insync.replicas 2)"
    )
