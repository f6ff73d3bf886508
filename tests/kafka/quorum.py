"""Requests about leadership that the client does not have: reassignment, election, the controllers' quorum."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    Array,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Int64,
    Schema,
    String,
    TaggedFields,
)

TIMEOUT_MS = 10_000
TAGS = ("tags", TaggedFields)


class AlterPartitionReassignmentsResponseV0(Response):
    """KIP-455."""

    API_KEY = 45
    API_VERSION = 0
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("error_code", Int16),
        ("error_message", CompactString("utf-8")),
        (
            "responses",
            CompactArray(
                ("topic", CompactString("utf-8")),
                (
                    "partitions",
                    CompactArray(
                        ("partition", Int32), ("error_code", Int16), ("error_message", CompactString("utf-8")), TAGS
                    ),
                ),
                TAGS,
            ),
        ),
        TAGS,
    )


class AlterPartitionReassignmentsRequestV0(RequestStruct):
    """https://kafka.apache.org/protocol.html#The_Messages_AlterPartitionReassignments"""

    FLEXIBLE_VERSION = True
    API_KEY = 45
    API_VERSION = 0
    RESPONSE_TYPE = AlterPartitionReassignmentsResponseV0
    SCHEMA = Schema(
        ("timeout_ms", Int32),
        (
            "topics",
            CompactArray(
                ("topic", CompactString("utf-8")),
                ("partitions", CompactArray(("partition", Int32), ("replicas", CompactArray(Int32)), TAGS)),
                TAGS,
            ),
        ),
        TAGS,
    )


class ReassignPartitions(Request[AlterPartitionReassignmentsRequestV0]):
    """Give each (topic, partition) these replicas, in this order of preference."""

    API_KEY = 45

    def __init__(self, replicas: Mapping[tuple[str, int], Sequence[int]]) -> None:
        self._replicas = dict(replicas)

    def build(
        self, request_struct_class: type[AlterPartitionReassignmentsRequestV0]
    ) -> AlterPartitionReassignmentsRequestV0:
        """The request in the one version there is."""
        topics: list[tuple[str, list[tuple[int, list[int], dict[int, bytes]]], dict[int, bytes]]] = [
            (topic, [(partition, list(self._replicas[topic, partition]), {}) for partition in partitions], {})
            for topic, partitions in _by_topic(self._replicas).items()
        ]
        return request_struct_class(TIMEOUT_MS, topics, {})


class ElectLeadersResponseV0(Response):
    """KIP-183."""

    API_KEY = 43
    API_VERSION = 0
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "replica_election_results",
            Array(
                ("topic", String("utf-8")),
                (
                    "partitions",
                    Array(("partition", Int32), ("error_code", Int16), ("error_message", String("utf-8"))),
                ),
            ),
        ),
    )


class ElectLeadersRequestV0(RequestStruct):
    """https://kafka.apache.org/protocol.html#The_Messages_ElectLeaders"""

    API_KEY = 43
    API_VERSION = 0
    RESPONSE_TYPE = ElectLeadersResponseV0
    SCHEMA = Schema(
        ("topic_partitions", Array(("topic", String("utf-8")), ("partitions", Array(Int32)))),
        ("timeout_ms", Int32),
    )


class ElectPreferredLeaders(Request[ElectLeadersRequestV0]):
    """Let the first replica of each (topic, partition) lead."""

    API_KEY = 43

    def __init__(self, partitions: Iterable[tuple[str, int]]) -> None:
        self._topics = list(_by_topic(partitions).items())

    def build(self, request_struct_class: type[ElectLeadersRequestV0]) -> ElectLeadersRequestV0:
        """The request in the one version there is."""
        return request_struct_class(self._topics, TIMEOUT_MS)


class DescribeQuorumResponseV0(Response):
    """KIP-595."""

    API_KEY = 55
    API_VERSION = 0
    SCHEMA = Schema(
        ("error_code", Int16),
        (
            "topics",
            CompactArray(
                ("topic", CompactString("utf-8")),
                (
                    "partitions",
                    CompactArray(
                        ("partition", Int32),
                        ("error_code", Int16),
                        ("leader_id", Int32),
                        ("leader_epoch", Int32),
                        ("high_watermark", Int64),
                        ("current_voters", CompactArray(("replica_id", Int32), ("log_end_offset", Int64), TAGS)),
                        ("observers", CompactArray(("replica_id", Int32), ("log_end_offset", Int64), TAGS)),
                        TAGS,
                    ),
                ),
                TAGS,
            ),
        ),
        TAGS,
    )


class DescribeQuorumRequestV0(RequestStruct):
    """https://kafka.apache.org/protocol.html#The_Messages_DescribeQuorum"""

    FLEXIBLE_VERSION = True
    API_KEY = 55
    API_VERSION = 0
    RESPONSE_TYPE = DescribeQuorumResponseV0
    SCHEMA = Schema(
        (
            "topics",
            CompactArray(
                ("topic", CompactString("utf-8")), ("partitions", CompactArray(("partition", Int32), TAGS)), TAGS
            ),
        ),
        TAGS,
    )


class DescribeQuorum(Request[DescribeQuorumRequestV0]):
    """Who leads the controllers."""

    API_KEY = 55

    def build(self, request_struct_class: type[DescribeQuorumRequestV0]) -> DescribeQuorumRequestV0:
        """The request in the one version there is."""
        return request_struct_class([("__cluster_metadata", [(0, {})], {})], {})


def _by_topic(partitions: Iterable[tuple[str, int]]) -> dict[str, list[int]]:
    topics: dict[str, list[int]] = defaultdict(list)
    for topic, partition in partitions:
        topics[topic].append(partition)
    return topics
