"""The dataflow as data: who writes and reads which topic, and what is kept between.

TORI → state → loop → actions → TORI
                 ↓ ↘ metrics → dashboards · dead letters → operators
              changelog (sessions, models, progress)
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from topology.topics import INPUT_HEADROOM_BYTES, Topic, TopicNames, TopologyError, declare_topics


class Node(Struct, frozen=True):
    """A place in the dataflow; a topic's node has the topic's role as its name."""

    name: str
    kind: Literal["neighbour", "topic", "step", "store"]
    label: str


class Edge(Struct, frozen=True):
    """Data flows from `source` to `target`; the label says what."""

    source: str
    target: str
    label: str


class Topology(Struct, frozen=True):
    """Topics and dataflow, validated together."""

    topics: tuple[Topic, ...]
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]

    def __post_init__(self) -> None:
        names = [node.name for node in self.nodes]
        for name in names:
            if names.count(name) > 1:
                raise TopologyError(f"dataflow node {name}: declared twice")
        for edge in self.edges:
            for end in (edge.source, edge.target):
                if end not in names:
                    raise TopologyError(f"dataflow edge {edge.source} → {edge.target}: no node {end}")
        connected = {end for edge in self.edges for end in (edge.source, edge.target)}
        for node in self.nodes:
            if node.name not in connected:
                raise TopologyError(f"dataflow node {node.name}: no edge leads to it or from it")
        roles = {topic.role for topic in self.topics}
        if roles != {node.name for node in self.nodes if node.kind == "topic"}:
            raise TopologyError("dataflow: every topic has exactly one node, and every topic node a topic")
        for node in self.nodes:
            if node.kind == "store" and not any(
                edge.source == node.name and edge.target == "changelog" for edge in self.edges
            ):
                raise TopologyError(f"dataflow store {node.name}: nothing writes it to the changelog")

    @property
    def input(self) -> Topic:
        """The topic of state events."""
        return self.topic("state")

    def topic(self, role: str) -> Topic:
        """The topic of a role. Raises `KeyError` for a name that is no role."""
        for topic in self.topics:
            if topic.role == role:
                return topic
        raise KeyError(role)


_NODES = (
    Node("tori", "neighbour", "TORI"),
    Node("readers", "neighbour", "dashboards, analytics"),
    Node("operators", "neighbour", "operators"),
    Node("state", "topic", "state events"),
    Node("actions", "topic", "actions"),
    Node("metrics", "topic", "metrics"),
    Node("dead_letters", "topic", "dead letters"),
    Node("changelog", "topic", "changelog"),
    Node("decode", "step", "decode"),
    Node("loop", "step", "feedback loop"),
    Node("sessions", "store", "sessions"),
    Node("models", "store", "quality models"),
    Node("progress", "store", "progress"),
)
_EDGES = (
    Edge("tori", "state", "keyed by session"),
    Edge("state", "decode", "read committed"),
    Edge("decode", "loop", "StateEvent"),
    Edge("decode", "dead_letters", "unusable input"),
    Edge("loop", "dead_letters", "refused states"),
    Edge("loop", "actions", "Action"),
    Edge("loop", "metrics", "Metric"),
    Edge("loop", "sessions", "one step"),
    Edge("loop", "models", "samples, fits"),
    Edge("decode", "progress", "next offset"),
    Edge("sessions", "changelog", "latest state"),
    Edge("models", "changelog", "latest state"),
    Edge("progress", "changelog", "per partition"),
    Edge("actions", "tori", "read committed"),
    Edge("metrics", "readers", "read committed"),
    Edge("dead_letters", "operators", "show, redrive"),
)


def declare(
    names: TopicNames | None = None,
    *,
    partitions: int = 8,
    replication_factor: int = 3,
    max_event_bytes: int = 1024 * 1024,
) -> Topology:
    """The whole topology for these names and sizes. Raises `TopologyError`."""
    topics = declare_topics(
        names or TopicNames(),
        partitions=partitions,
        replication_factor=replication_factor,
        input_max_bytes=max_event_bytes + INPUT_HEADROOM_BYTES,
    )
    return Topology(topics, _NODES, _EDGES)
