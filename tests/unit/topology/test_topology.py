"""The declared topology: five topics, one dataflow, no contradiction."""

from __future__ import annotations

import msgspec
import pytest

from topology import Edge, Node, TopicNames, Topology, TopologyError, declare, topology_mermaid, topology_text
from topology.blocks import replace_block
from topology.topics import Requirement


def test_five_topics_of_one_partition_count() -> None:
    topology = declare(partitions=6, replication_factor=3)
    assert [topic.role for topic in topology.topics] == [
        "state",
        "actions",
        "metrics",
        "dead_letters",
        "changelog",
    ]
    assert {topic.partitions for topic in topology.topics} == {6}
    assert topology.input.name == "tori.state"


def test_new_topics_satisfy_their_own_requirements() -> None:
    for replicas in (1, 2, 3):
        for topic in declare(replication_factor=replicas).topics:
            settings = topic.settings_at_creation()
            assert all(need.holds(settings[need.setting]) for need in topic.requirements)


def test_outputs_hold_every_input_and_128_kib() -> None:
    topology = declare(max_event_bytes=5_000_000)
    input_bytes = int(topology.input.settings_at_creation()["max.message.bytes"])
    assert input_bytes > 5_000_000
    for role in ("actions", "metrics", "dead_letters", "changelog"):
        settings = topology.topic(role).settings_at_creation()
        assert int(settings["max.message.bytes"]) == input_bytes + 131_072


def test_only_the_changelog_is_compacted() -> None:
    policies = {topic.role: topic.settings_at_creation()["cleanup.policy"] for topic in declare().topics}
    assert {role for role, policy in policies.items() if policy == "compact"} == {"changelog"}


def test_two_replicas_in_sync_where_there_are_two() -> None:
    wanted = {replicas: declare(replication_factor=replicas).topics[0] for replicas in (1, 2, 3, 5)}
    settings = {replicas: topic.settings_at_creation() for replicas, topic in wanted.items()}
    in_sync = {replicas: found["min.insync.replicas"] for replicas, found in settings.items()}
    assert in_sync == {1: "1", 2: "2", 3: "2", 5: "2"}
    assert {found["unclean.leader.election.enable"] for found in settings.values()} == {"false"}


@pytest.mark.parametrize("name", ["", ".", "..", "a b", "é", "x" * 250, "a/b"])
def test_an_illegal_name_is_refused(name: str) -> None:
    with pytest.raises(TopologyError, match="a name is 1 to 249"):
        declare(TopicNames(metrics=name))


@pytest.mark.parametrize("name", ["tori.state", "tori_state", "tori.metrics"])
def test_two_roles_never_share_a_topic(name: str) -> None:
    with pytest.raises(TopologyError, match="another role's topic"):
        declare(TopicNames(actions=name))


@pytest.mark.parametrize(("partitions", "replicas"), [(0, 3), (8, 0)])
def test_sizes_are_at_least_one(partitions: int, replicas: int) -> None:
    with pytest.raises(TopologyError, match="at least 1"):
        declare(partitions=partitions, replication_factor=replicas)


def test_unequal_partition_counts_are_refused() -> None:
    from topology.topics import validate_topics

    topics = declare(partitions=4).topics
    with pytest.raises(TopologyError, match=r"tori\.metrics has 5 partitions, tori\.state has 4"):
        validate_topics((*topics[:2], msgspec.structs.replace(topics[2], partitions=5)))


def without(topology: Topology, *, node: str | None = None, edge: tuple[str, str] | None = None) -> Topology:
    return Topology(
        topology.topics,
        tuple(found for found in topology.nodes if found.name != node),
        tuple(found for found in topology.edges if (found.source, found.target) != edge),
    )


def test_an_edge_to_nowhere_is_refused() -> None:
    with pytest.raises(TopologyError, match="no node sessions"):
        without(declare(), node="sessions")


def test_a_node_without_an_edge_is_refused() -> None:
    with pytest.raises(TopologyError, match="no edge leads to it"):
        without(declare(), edge=("metrics", "readers"))


def test_a_store_that_nobody_keeps_is_refused() -> None:
    with pytest.raises(TopologyError, match="store models: nothing writes it to the changelog"):
        without(declare(), edge=("models", "changelog"))


def test_a_node_declared_twice_is_refused() -> None:
    topology = declare()
    with pytest.raises(TopologyError, match="loop: declared twice"):
        Topology(topology.topics, (*topology.nodes, Node("loop", "step", "again")), topology.edges)


def test_a_topic_node_without_a_topic_is_refused() -> None:
    topology = declare()
    with pytest.raises(TopologyError, match="every topic node a topic"):
        Topology(
            topology.topics,
            (*topology.nodes, Node("extra", "topic", "extra")),
            (*topology.edges, Edge("loop", "extra", "more")),
        )


@pytest.mark.parametrize(
    ("relation", "value", "observed", "holds"),
    [
        ("equals", "compact", "compact", True),
        ("equals", "compact", "compact,delete", False),
        ("equals", "delete", "", False),
        ("at_least", "10", "10", True),
        ("at_least", "10", "9", False),
        ("at_most", "3600000", "3600000", True),
        ("at_most", "3600000", "9223372036854775807", False),
    ],
)
def test_requirements_compare_as_told(relation: str, value: str, observed: str, holds: bool) -> None:
    need = msgspec.convert({"setting": "x", "relation": relation, "value": value, "why": ""}, Requirement)
    assert need.holds(observed) is holds


def test_the_picture_shows_every_node_edge_and_topic_name() -> None:
    topology = declare(TopicNames(state="my.input"))
    picture = topology_mermaid(topology)
    assert picture.startswith("flowchart LR\n")
    assert "my.input" in picture
    for node in topology.nodes:
        assert f"    {node.name}" in picture
    for edge in topology.edges:
        assert f"    {edge.source} -->|{edge.label}| {edge.target}\n" in picture


def test_the_text_names_every_topic_with_its_settings() -> None:
    text = topology_text(declare())
    for topic in declare().topics:
        assert f"{topic.name} ({topic.role})" in text
    assert "cleanup.policy = compact" in text


def test_a_generated_block_is_replaced_between_its_comments() -> None:
    document = "a\n<!-- generated: x -->\nold\n<!-- end: x -->\nb\n"
    assert replace_block(document, "x", "new\n") == "a\n<!-- generated: x -->\nnew\n<!-- end: x -->\nb\n"
    with pytest.raises(ValueError, match="one block"):
        replace_block(document, "y", "new\n")


def test_everything_we_write_is_stamped_by_the_broker() -> None:
    """A worker whose clock is ahead would be refused, and one far behind would write what retention removes at once."""
    for topic in declare().topics:
        kind = topic.settings_at_creation().get("message.timestamp.type")
        assert kind == (None if topic.role == "state" else "LogAppendTime"), topic.name
