"""The topology in words and as a picture, rendered from the declaration."""

from __future__ import annotations

from topology.dataflow import Node, Topology
from topology.plan import Plan

_SHAPES = {"neighbour": ("([", "])"), "topic": ("[/", "/]"), "step": ("[", "]"), "store": ("[(", ")]")}


def topology_text(topology: Topology) -> str:
    """One paragraph per topic, for a terminal."""
    lines = []
    for topic in topology.topics:
        lines.append(
            f"{topic.name} ({topic.role}): {topic.partitions} partitions, {topic.replication_factor} replicas,"
            f" key = {topic.key}, value = {topic.value}"
        )
        lines += [f"    {setting} = {value}" for setting, value in topic.settings_at_creation().items()]
    return "\n".join(lines) + "\n"


def topology_mermaid(topology: Topology) -> str:
    """A Mermaid flowchart; topics carry their names."""
    names: dict[str, str] = {topic.role: topic.name for topic in topology.topics}
    lines = ["flowchart LR"]
    lines += [f"    {node.name}{_box(node, names.get(node.name))}" for node in topology.nodes]
    lines += [f"    {edge.source} -->|{edge.label}| {edge.target}" for edge in topology.edges]
    return "\n".join(lines) + "\n"


def topology_markdown(topology: Topology) -> str:
    """The picture and a table of the topics, for the README."""
    rows = [
        f"| `{topic.name}` | {topic.key} | {topic.value} | {topic.settings_at_creation()['cleanup.policy']} |"
        for topic in topology.topics
    ]
    table = "\n".join(["| topic | key | value | cleanup |", "|---|---|---|---|", *rows])
    return f"```mermaid\n{topology_mermaid(topology)}```\n\n{table}\n"


def plan_text(plan: Plan) -> str:
    """One line per step, refusals first; says so where there is nothing to do."""
    lines = [*map(str, plan.refusals), *map(str, plan.creations), *map(str, plan.alterations)]
    lines = lines or ["up to date: nothing to create, nothing to alter"]
    lines += [f"notice {notice}" for notice in plan.notices]
    return "\n".join(lines) + "\n"


def _box(node: Node, topic_name: str | None) -> str:
    opening, closing = _SHAPES[node.kind]
    label = f"{node.label}<br/>{topic_name}" if topic_name else node.label
    return f'{opening}"{label}"{closing}'
