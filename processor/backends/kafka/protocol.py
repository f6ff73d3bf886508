"""Requests that the client does not have.

TxnOffsetCommit v3 (KIP-447) carries generation, member id and group instance id, so that the group coordinator can
refuse a zombie's offsets; the client's own is v0, which carries none of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    Array,
    Boolean,
    CompactArray,
    CompactString,
    Int8,
    Int16,
    Int32,
    Int64,
    Schema,
    String,
    TaggedFields,
)

from processor.engine.ports import Token


class TxnOffsetCommitResponseV3(Response):
    """Flexible version: compact types and tagged fields."""

    API_KEY = 28
    API_VERSION = 3
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "topics",
            CompactArray(
                ("topic", CompactString("utf-8")),
                (
                    "partitions",
                    CompactArray(("partition", Int32), ("error_code", Int16), ("tags", TaggedFields)),
                ),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class TxnOffsetCommitRequestV3(RequestStruct):
    """https://kafka.apache.org/protocol.html#The_Messages_TxnOffsetCommit"""

    FLEXIBLE_VERSION = True
    API_KEY = 28
    API_VERSION = 3
    RESPONSE_TYPE = TxnOffsetCommitResponseV3
    SCHEMA = Schema(
        ("transactional_id", CompactString("utf-8")),
        ("group_id", CompactString("utf-8")),
        ("producer_id", Int64),
        ("producer_epoch", Int16),
        ("generation_id", Int32),
        ("member_id", CompactString("utf-8")),
        ("group_instance_id", CompactString("utf-8")),
        (
            "topics",
            CompactArray(
                ("topic", CompactString("utf-8")),
                (
                    "partitions",
                    CompactArray(
                        ("partition", Int32),
                        ("committed_offset", Int64),
                        ("committed_leader_epoch", Int32),
                        ("metadata", CompactString("utf-8")),
                        ("tags", TaggedFields),
                    ),
                ),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class FencedTxnOffsetCommit(Request[TxnOffsetCommitRequestV3]):
    """Offsets of one topic in the transaction, under the token's generation."""

    API_KEY = 28

    def __init__(
        self,
        transactional_id: str,
        group_id: str,
        producer_id: int,
        producer_epoch: int,
        token: Token,
        topic: str,
        positions: dict[int, int],
    ) -> None:
        # Kafka accepts a negative generation or an empty member unchecked: the fence would be open.
        assert token.generation >= 0
        assert token.member_id
        self._fields: tuple[Any, ...] = (
            transactional_id,
            group_id,
            producer_id,
            producer_epoch,
            token.generation,
            token.member_id,
            token.group_instance_id,
            [(topic, [(partition, offset, -1, "", {}) for partition, offset in sorted(positions.items())], {})],
            {},
        )

    def build(self, request_struct_class: type[TxnOffsetCommitRequestV3]) -> TxnOffsetCommitRequestV3:
        """The request in the one version there is."""
        return request_struct_class(*self._fields)


class MetadataResponseV8(Response):
    """Per topic, besides what older versions tell, the operations that this principal may do on it (KIP-430)."""

    API_KEY = 3
    API_VERSION = 8
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            Array(("node_id", Int32), ("host", String("utf-8")), ("port", Int32), ("rack", String("utf-8"))),
        ),
        ("cluster_id", String("utf-8")),
        ("controller_id", Int32),
        (
            "topics",
            Array(
                ("error_code", Int16),
                ("topic", String("utf-8")),
                ("is_internal", Boolean),
                (
                    "partitions",
                    Array(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", Array(Int32)),
                        ("isr", Array(Int32)),
                        ("offline_replicas", Array(Int32)),
                    ),
                ),
                ("authorized_operations", Int32),
            ),
        ),
        ("cluster_authorized_operations", Int32),
    )


class MetadataRequestV8(RequestStruct):
    """https://kafka.apache.org/protocol.html#The_Messages_Metadata"""

    API_KEY = 3
    API_VERSION = 8
    RESPONSE_TYPE = MetadataResponseV8
    SCHEMA = Schema(
        ("topics", Array(String("utf-8"))),
        ("allow_auto_topic_creation", Boolean),
        ("include_cluster_authorized_operations", Boolean),
        ("include_topic_authorized_operations", Boolean),
    )


class AllowedOperations(Request[MetadataRequestV8]):
    """What this principal may do on these topics."""

    API_KEY = 3
    NOT_TOLD = -(2**31)
    # AclOperation of the protocol: the bit in `authorized_operations`.
    BITS: ClassVar[Mapping[str, int]] = {
        "Read": 3,
        "Write": 4,
        "Create": 5,
        "Describe": 8,
        "DescribeConfigs": 10,
        "AlterConfigs": 11,
    }

    def __init__(self, topics: Sequence[str]) -> None:
        self._topics = list(topics)

    def build(self, request_struct_class: type[MetadataRequestV8]) -> MetadataRequestV8:
        """The request in the one version there is."""
        return request_struct_class(self._topics, False, False, True)


class IncrementalAlterConfigsResponseV0(Response):
    """One result per resource."""

    API_KEY = 44
    API_VERSION = 0
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "responses",
            Array(
                ("error_code", Int16),
                ("error_message", String("utf-8")),
                ("resource_type", Int8),
                ("resource_name", String("utf-8")),
            ),
        ),
    )


class IncrementalAlterConfigsRequestV0(RequestStruct):
    """KIP-339: settings that are not named keep their values, which the older AlterConfigs would reset."""

    API_KEY = 44
    API_VERSION = 0
    RESPONSE_TYPE = IncrementalAlterConfigsResponseV0
    SCHEMA = Schema(
        (
            "resources",
            Array(
                ("resource_type", Int8),
                ("resource_name", String("utf-8")),
                (
                    "configs",
                    Array(("name", String("utf-8")), ("config_operation", Int8), ("value", String("utf-8"))),
                ),
            ),
        ),
        ("validate_only", Boolean),
    )


class SetTopicConfigs(Request[IncrementalAlterConfigsRequestV0]):
    """Set settings of topics: topic name to setting to value."""

    API_KEY = 44
    TOPIC = 2
    SET = 0

    def __init__(self, settings: Mapping[str, Mapping[str, str]]) -> None:
        self._resources = [
            (self.TOPIC, topic, [(name, self.SET, value) for name, value in values.items()])
            for topic, values in settings.items()
        ]

    def build(self, request_struct_class: type[IncrementalAlterConfigsRequestV0]) -> IncrementalAlterConfigsRequestV0:
        """The request in the one version there is."""
        return request_struct_class(self._resources, False)


class LeaveGroupResponseV3(Response):
    """One result per member."""

    API_KEY = 13
    API_VERSION = 3
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("error_code", Int16),
        (
            "members",
            Array(("member_id", String("utf-8")), ("group_instance_id", String("utf-8")), ("error_code", Int16)),
        ),
    )


class LeaveGroupRequestV3(RequestStruct):
    """KIP-345: whoever may read the group takes static members out of it, by their names."""

    API_KEY = 13
    API_VERSION = 3
    RESPONSE_TYPE = LeaveGroupResponseV3
    SCHEMA = Schema(
        ("group_id", String("utf-8")),
        ("members", Array(("member_id", String("utf-8")), ("group_instance_id", String("utf-8")))),
    )


class StaticLeave(Request[LeaveGroupRequestV3]):
    """Take static members, as pairs of member id and instance, out of a group.

    With an empty member id: under whichever they are there.
    """

    API_KEY = 13

    def __init__(self, group: str, members: Sequence[tuple[str, str]]) -> None:
        self._group = group
        self._members = list(members)

    def build(self, request_struct_class: type[LeaveGroupRequestV3]) -> LeaveGroupRequestV3:
        """The request in the one version there is."""
        return request_struct_class(self._group, self._members)


class OffsetFetchResponseV7(Response):
    """Flexible version; one offset and one code per partition."""

    API_KEY = 9
    API_VERSION = 7
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "topics",
            CompactArray(
                ("topic", CompactString("utf-8")),
                (
                    "partitions",
                    CompactArray(
                        ("partition", Int32),
                        ("committed_offset", Int64),
                        ("committed_leader_epoch", Int32),
                        ("metadata", CompactString("utf-8")),
                        ("error_code", Int16),
                        ("tags", TaggedFields),
                    ),
                ),
                ("tags", TaggedFields),
            ),
        ),
        ("error_code", Int16),
        ("tags", TaggedFields),
    )


class OffsetFetchRequestV7(RequestStruct):
    """https://kafka.apache.org/protocol.html#The_Messages_OffsetFetch"""

    FLEXIBLE_VERSION = True
    API_KEY = 9
    API_VERSION = 7
    RESPONSE_TYPE = OffsetFetchResponseV7
    SCHEMA = Schema(
        ("group_id", CompactString("utf-8")),
        (
            "topics",
            CompactArray(
                ("topic", CompactString("utf-8")),
                ("partitions", CompactArray(Int32)),
                ("tags", TaggedFields),
            ),
        ),
        ("require_stable", Boolean),
        ("tags", TaggedFields),
    )


class StableOffsets(Request[OffsetFetchRequestV7]):
    """The group's offsets on one topic; those that a transaction is about to replace are not told (KIP-447).

    The client's own request gives the older one of such a partition, even after the commit was answered.
    """

    API_KEY = 9
    UNSTABLE = 88  # UNSTABLE_OFFSET_COMMIT: ask again

    def __init__(self, group: str, topic: str, partitions: Sequence[int]) -> None:
        self._fields: tuple[Any, ...] = (group, [(topic, list(partitions), {})], True, {})

    def build(self, request_struct_class: type[OffsetFetchRequestV7]) -> OffsetFetchRequestV7:
        """The request in the one version there is."""
        return request_struct_class(*self._fields)
