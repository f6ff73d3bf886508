"""The instance's membership in the consumer group.

Only the client's group coordinator is used: joining, heartbeats and the rebalance.  Fetching and positions are ours
(see `reader`), offsets are committed in transactions (see `epoch`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from typing import Any

import aiokafka.errors
import msgspec
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.consumer.subscription_state import SubscriptionState
from aiokafka.coordinator.assignors.abstract import AbstractPartitionAssignor
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment, ConsumerProtocolMemberMetadata
from aiokafka.errors import (
    BrokerResponseError,
    GroupAuthorizationFailedError,
    InvalidSessionTimeoutError,
    KafkaError,
)
from aiokafka.structs import TopicPartition

from processor.backends.kafka.connection import FENCED_INSTANCE_ID, Connection, error_name, missing_acl
from processor.backends.kafka.protocol import StaticLeave
from processor.config import EngineConfig, Settings
from processor.engine.assignment import Owned, assign
from processor.engine.ports import Listener, Token
from processor.errors import Fenced, InstanceIdInUse, Refused, Stuck

log = logging.getLogger(__name__)

LEAST_HEARTBEAT_MS, MOST_HEARTBEAT_MS = 50, 250
WAITED_FOR = "the group may wait for %s until its session is over: %s"
NEVER_MS = 10 * 365 * 24 * 3600 * 1000  # progress is supervised by the engine, not by the pace of polls


class FencedInstanceId(BrokerResponseError):
    """KIP-345; the client's table of errors ends before it."""

    errno = FENCED_INSTANCE_ID
    message = "FENCED_INSTANCE_ID"


aiokafka.errors.kafka_errors[FencedInstanceId.errno] = FencedInstanceId


class Told(msgspec.Struct, array_like=True):
    """What a member tells the others: what it owns since which generation, its name and its HTTP address."""

    generation: int = -1
    partitions: list[int] = []
    instance: str | None = None
    url: str | None = None


class StickyAssignor(AbstractPartitionAssignor):
    """Carries what this member owns in the join request, so that the leader can leave it there.

    The client's own sticky assignor keeps its state on the class and never learns the generation.
    """

    name = "creative-feedback-sticky"

    def __init__(self, instance: str | None = None, url: str | None = None) -> None:
        self.owned = Owned(-1, frozenset())
        self._instance = instance
        self._url = url

    def metadata(self, topics: Iterable[str]) -> ConsumerProtocolMemberMetadata:  # type: ignore[override]
        """What this member tells the leader."""
        told = Told(self.owned.generation, sorted(self.owned.partitions), self._instance, self._url)
        return ConsumerProtocolMemberMetadata(0, list(topics), msgspec.msgpack.encode(told))

    def assign(  # type: ignore[override]
        self, cluster: Any, members: Mapping[str, ConsumerProtocolMemberMetadata]
    ) -> dict[str, ConsumerProtocolMemberAssignment]:
        """The leader's decision for everybody."""
        result: dict[str, list[tuple[str, list[int]]]] = {member: [] for member in members}
        for topic in sorted({topic for metadata in members.values() for topic in metadata.subscription}):
            owned = {member: _owned(meta) for member, meta in members.items() if topic in meta.subscription}
            for member, partitions in assign(owned, cluster.partitions_for_topic(topic) or ()).items():
                result[member].append((topic, partitions))
        return {member: ConsumerProtocolMemberAssignment(0, parts, b"") for member, parts in result.items()}

    def on_assignment(self, assignment: ConsumerProtocolMemberAssignment) -> None:  # type: ignore[override]
        """Nothing: the listener learns the generation as well."""


def owned_by(metadata: ConsumerProtocolMemberMetadata) -> Told:
    """What a member told when it joined; nothing of a member of another kind."""
    try:
        return msgspec.msgpack.decode(metadata.user_data or b"", type=Told)
    except msgspec.DecodeError:
        return Told()


def _owned(metadata: ConsumerProtocolMemberMetadata) -> Owned:
    told = owned_by(metadata)
    return Owned(told.generation, frozenset(told.partitions))


def heartbeat_interval_ms(engine: EngineConfig) -> int:
    """How often a member asks whether the group still stands.

    Only so does it hear of a rebalance, in which all wait for the last one to hear.  Whoever hears of it after the
    rebalance time-out is left out; a static member's old id is then missed, which is a rebalance more.
    """
    rare_ms = min(engine.session_timeout_ms, engine.rebalance_timeout_ms) // 10
    return max(LEAST_HEARTBEAT_MS, min(rare_ms, MOST_HEARTBEAT_MS))


class LeavingCoordinator(GroupCoordinator):
    """The client's, whose static members leave the group as well when they close."""

    async def _maybe_leave_group(self) -> None:
        """Once, as it is for dynamic members: the session time-out does the rest.

        With our member id: should the name be another process's by now, that one stays.
        """
        if self._group_instance_id is not None and self.generation > 0:
            try:
                reply = await self._send_req(  # type: ignore[no-untyped-call]
                    StaticLeave(self.group_id, [(self.member_id, self._group_instance_id)])
                )
            except KafkaError as error:
                log.warning(WAITED_FOR, self._group_instance_id, repr(error))
            else:
                codes = {reply.error_code, *(code for *_, code in reply.members)} - {0}
                if codes:
                    log.warning(WAITED_FOR, self._group_instance_id, ", ".join(map(error_name, sorted(codes))))
        await super()._maybe_leave_group()  # type: ignore[no-untyped-call]


class GroupMembership(ConsumerRebalanceListener):
    """Joins at once, stays until `leave`; implements the engine's `Membership`."""

    def __init__(self, settings: Settings, instance_id: str, connection: Connection, listener: Listener) -> None:
        engine = settings.engine
        self._topic = settings.topics.state
        self._instance_id = instance_id
        self._group_instance_id = instance_id if engine.static_membership else None
        self._connection = connection
        self._listener = listener
        self._assignor = StickyAssignor(instance_id, settings.http.advertised_url)
        self._subscription = SubscriptionState()
        # Usually the client's fetcher registers its own; without any an error of the group's could not be reported.
        self._subscription.register_fetch_waiters(set())
        self._stack = ExitStack()
        # The client leaves the group when nobody polls; nobody does, because fetching is ours.
        self._stack.enter_context(self._subscription.fetch_context())
        self._subscription.subscribe({self._topic}, listener=self)
        kind = LeavingCoordinator if engine.leave_on_stop else GroupCoordinator
        self._coordinator = kind(  # type: ignore[no-untyped-call]
            connection.client,
            self._subscription,
            group_id=engine.application_id,
            group_instance_id=self._group_instance_id,
            session_timeout_ms=engine.session_timeout_ms,
            heartbeat_interval_ms=heartbeat_interval_ms(engine),
            retry_backoff_ms=50,
            enable_auto_commit=False,
            assignors=(self._assignor,),
            max_poll_interval_ms=NEVER_MS,
            rebalance_timeout_ms=engine.rebalance_timeout_ms,
        )

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """The client's word before a rebalance; it swallows exceptions, so none may happen unseen."""
        try:
            await self._listener.revoked()
        except Exception:
            log.exception("revocation failed")
            raise

    def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """The client's word after a rebalance; generation and member id are read here and nowhere else."""
        partitions = frozenset(tp.partition for tp in assigned if tp.topic == self._topic)
        coordinator = self._coordinator
        self._assignor.owned = Owned(coordinator.generation, partitions)
        self._listener.assigned(
            Token(coordinator.generation, coordinator.member_id, self._group_instance_id, partitions)
        )

    def check(self) -> None:
        """Raises what the group coordinator could not mend."""
        try:
            self._coordinator.check_errors()
        except GroupAuthorizationFailedError as error:
            raise missing_acl(self._connection.kafka, "Read", f"group {error.args[0]}") from None
        except InvalidSessionTimeoutError:
            raise Refused(
                "engine.session_timeout_ms is outside what the brokers allow: choose one from their "
                "group.min.session.timeout.ms to group.max.session.timeout.ms, or change those"
            ) from None
        except KafkaError as error:
            if FencedInstanceId.__name__ in repr(error):
                raise InstanceIdInUse(self._instance_id) from None
            if self._coordinator._coordination_task.done():
                raise Stuck(f"group coordination ended: {error!r}; start again") from None
            # The client goes on once somebody has taken note; a new assignment puts everything in order.
            raise Fenced(f"group coordination: {error!r}") from None

    def rejoin(self) -> None:
        """Ask for a new assignment."""
        self._coordinator.request_rejoin()

    async def leave(self) -> None:
        """Leave the group; a static member stays listed, so that its restart moves nothing, unless it shall leave."""
        try:
            async with asyncio.timeout(self._connection.timeout_s):
                await self._coordinator.close()
        except (TimeoutError, KafkaError) as error:
            log.warning(WAITED_FOR, self._instance_id, repr(error))
        self._stack.close()
        await self._connection.close()
