"""Topics, partitioning and dataflow as data, and the plan that brings a cluster there.

Nothing here knows a client: a backend observes a cluster as `ObservedCluster` and applies a `Plan`.
"""

from topology.acls import DEFAULT_PRINCIPALS, PARTIES, PARTY_MEANING, Acl, Party, acl_commands, acls, acls_markdown
from topology.dataflow import Edge, Node, Topology, declare
from topology.describe import plan_text, topology_markdown, topology_mermaid, topology_text
from topology.partitioning import murmur2, partition_of_key, partition_of_session
from topology.plan import AlterSetting, CreateTopic, ObservedCluster, ObservedTopic, Plan, Refusal, plan
from topology.topics import Requirement, Role, Topic, TopicNames, TopologyError

__all__ = [
    "DEFAULT_PRINCIPALS",
    "PARTIES",
    "PARTY_MEANING",
    "Acl",
    "AlterSetting",
    "CreateTopic",
    "Edge",
    "Node",
    "ObservedCluster",
    "ObservedTopic",
    "Party",
    "Plan",
    "Refusal",
    "Requirement",
    "Role",
    "Topic",
    "TopicNames",
    "Topology",
    "TopologyError",
    "acl_commands",
    "acls",
    "acls_markdown",
    "declare",
    "murmur2",
    "partition_of_key",
    "partition_of_session",
    "plan",
    "plan_text",
    "topology_markdown",
    "topology_mermaid",
    "topology_text",
]
