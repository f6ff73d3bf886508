"""Looking at a cluster and bringing its topics to what is declared."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiokafka.client import ConnectionGroup
from aiokafka.cluster import ClusterMetadata
from aiokafka.errors import IncompatibleBrokerVersion
from aiokafka.protocol.admin import CreateTopicsRequest, DescribeConfigsRequest

from processor.backends.kafka.buffer import BatchList
from processor.backends.kafka.cluster import KafkaCluster
from processor.backends.kafka.connection import (
    UNAUTHORIZED,
    Connection,
    NotSent,
    error_name,
    missing_acl,
    missing_acls,
    retries,
)
from processor.backends.kafka.ownership import refuse_another_application
from processor.backends.kafka.protocol import AllowedOperations, SetTopicConfigs, StableOffsets
from processor.backends.kafka.reader import EARLIEST, LATEST, list_offset
from processor.backends.kafka.records import produce_plain
from processor.config import Settings, access_notices
from processor.errors import InDoubt, Refused, Unreachable
from schemas.progress import BARRIER_KEY, FORMAT, PROGRESS_KEY, Progress, encode_progress
from topology import ObservedCluster, ObservedTopic, Party, Plan, Topology, acls, plan

log = logging.getLogger(__name__)

OLDEST = "3.6"
MOST_BARRIERS = 1_000
# What a broker of at least that version answers: AddPartitionsToTxn v4 came with the verification of partitions
# (KIP-890), TxnOffsetCommit v3 with the fencing of offsets (KIP-447).
VERIFIED = 24
NEEDED_VERSIONS = {VERIFIED: (4, "partition verification, KIP-890"), 28: (3, "fenced offset commits, KIP-447")}


@asynccontextmanager
async def connected(settings: Settings, name: str) -> AsyncIterator[Connection]:
    """A connection for administration. Raises `Unreachable`."""
    connection = Connection(settings.kafka, f"{settings.engine.application_id}-{name}")
    await connection.open()
    try:
        yield connection
    finally:
        await connection.close()


async def _ask(connection: Connection, request: Any) -> Any:
    async for _ in retries():
        node = connection.client.get_random_node()
        try:
            return await connection.send(node, request)
        except NotSent:
            await connection.refresh()
        except IncompatibleBrokerVersion as error:
            raise Refused(
                f"the broker is too old for {type(request).__name__}: {error}; use Kafka {OLDEST} or newer"
            ) from None
    raise AssertionError("retries() does not end")


async def observe(connection: Connection, declared: Topology) -> ObservedCluster:
    """What the cluster has of the declared topics."""
    # By name: a list of all topics leaves out what we may not see, as if it did not exist.
    metadata = ClusterMetadata()
    if not await connection.client._metadata_update(metadata, {topic.name for topic in declared.topics}):
        raise Unreachable(connection.client.refused or "no broker answers a request for metadata: check the brokers")
    topics: dict[str, ObservedTopic] = {}
    for topic in declared.topics:
        partitions = metadata.partitions_for_topic(topic.name)
        if topic.name in metadata.unauthorized_topics:
            raise missing_acl(connection.kafka, "Describe", f"topic {topic.name}")
        if not partitions:
            continue
        replicas = min(len(metadata._partitions[topic.name][partition].replicas) for partition in partitions)
        topics[topic.name] = ObservedTopic(
            topic.name, len(partitions), replicas, await _configs(connection, topic.name)
        )
    return ObservedCluster(broker_count=len(metadata.brokers()), topics=topics)


async def _configs(connection: Connection, topic: str) -> dict[str, str]:
    reply = await _ask(connection, DescribeConfigsRequest([(SetTopicConfigs.TOPIC, topic, None)]))
    [(code, message, _, _, entries)] = reply.resources
    if code in UNAUTHORIZED:
        raise missing_acl(connection.kafka, "DescribeConfigs", f"topic {topic}")
    if code:
        raise Refused(f"configuration of {topic}: {error_name(code)} {message or ''}")
    return {entry[0]: entry[1] or "" for entry in entries}


async def apply(connection: Connection, settings: Settings, steps: Plan, declared: Topology) -> list[str]:
    """Carry out a plan without refusals and make every changelog partition ready; returns what was done."""
    assert not steps.refusals
    done: list[str] = []
    if settings.topics.changelog not in {topic.name for topic in steps.creations}:
        # Before anything is changed: the topics of another application are not ours to alter.
        await _check_acls(connection, declared, settings.engine.application_id, "topics")
        await _check_owner(settings, declared)
    if steps.creations:
        requests: list[Any] = [
            (topic.name, topic.partitions, topic.replication_factor, [], list(topic.settings.items()))
            for topic in steps.creations
        ]
        reply = await _ask(
            connection, CreateTopicsRequest(requests, settings.kafka.request_timeout_ms, validate_only=False)
        )
        for name, code, *message in reply.topic_errors:
            if code == 36:  # TOPIC_ALREADY_EXISTS: somebody was faster, the next check says whether it fits
                done.append(f"{name} exists")
            elif code in UNAUTHORIZED:
                raise missing_acl(connection.kafka, "Create", f"topic {name}")
            elif code:
                text = message[0] if message and message[0] else ""
                raise Refused(f"create {name}: {error_name(code)} {text}")
            else:
                done.append(f"created {name}")
        await _await_leaders(connection, declared)
    changes: dict[str, dict[str, str]] = {}
    for step in steps.alterations:
        changes.setdefault(step.name, {})[step.setting] = step.wanted
    if changes:
        reply = await _ask(connection, SetTopicConfigs(changes))
        for code, message, _, name in reply.responses:
            if code in UNAUTHORIZED:
                raise missing_acl(connection.kafka, "AlterConfigs", f"topic {name}")
            if code:
                raise Refused(f"alter {name}: {error_name(code)} {message or ''}")
        done.extend(str(step) for step in steps.alterations)
    await _check_acls(connection, declared, settings.engine.application_id, "topics")
    await connection.client.set_topics(frozenset(topic.name for topic in declared.topics))
    initialised = await _initialise(connection, settings, declared)
    if initialised:
        done.append(f"wrote the first progress record of {initialised} changelog partitions")
    return done


async def _await_leaders(connection: Connection, declared: Topology) -> None:
    names = frozenset(topic.name for topic in declared.topics)
    await connection.client.set_topics(names)
    async for _ in retries():
        if all(
            connection.leader(topic.name, partition) is not None
            for topic in declared.topics
            for partition in range(topic.partitions)
        ):
            return
        await connection.refresh()


async def _initialise(connection: Connection, settings: Settings, declared: Topology) -> int:
    """Write the first progress record where a changelog partition never had anything; returns in how many.

    Without its changelog an application that has worked before would begin anew and repeat everything.
    """
    cluster = KafkaCluster(settings, "topics")
    await cluster.open()
    changelog = settings.topics.changelog
    written = 0
    try:
        for partition in range(declared.input.partitions):
            if not await _untouched(cluster, changelog, partition):
                continue
            worked = await _worked(cluster, connection, settings, partition)
            if worked is not None:
                raise Refused(
                    f"changelog {changelog}-{partition} is empty but {worked}: the changelog was lost; rebuild it from "
                    "the input with `creative-feedback rebuild`, restore it, or use a new engine.application_id with "
                    "new output topics"
                )
            start = await list_offset(cluster.input_connection, settings.topics.state, partition, EARLIEST)
            records = BatchList(changelog, 4096, transactional=False)
            application_id = settings.engine.application_id
            progress = Progress(FORMAT, "0", declared.input.partitions, start, application_id=application_id)
            records.append(PROGRESS_KEY, encode_progress(progress), [])
            await produce_plain(cluster.store_connection, changelog, partition, records)
            written += 1
    finally:
        await cluster.close()
    return written


async def _check_owner(settings: Settings, declared: Topology) -> None:
    cluster = KafkaCluster(settings, "topics")
    try:
        await cluster.open()
        await refuse_another_application(cluster.store_connection, settings, declared.input.partitions)
    finally:
        await cluster.close()


async def _worked(cluster: KafkaCluster, connection: Connection, settings: Settings, partition: int) -> str | None:
    """What shows that the partition was processed before: the group forgets its offsets, the outputs do not."""
    committed = await committed_offset(cluster.store_connection, settings, partition)
    if committed > 0:
        return f"group {settings.engine.application_id!r} has committed offset {committed}"
    topics = settings.topics
    for topic in (topics.actions, topics.dead_letters):  # every first event has one of them
        if await list_offset(connection, topic, partition, LATEST) > 0:
            return f"{topic}-{partition} is not"
    return None


async def _untouched(cluster: KafkaCluster, changelog: str, partition: int) -> bool:
    """Nothing was ever written there, or nothing but barriers of processors that then refused to start."""
    connection = cluster.store_connection
    earliest = await list_offset(connection, changelog, partition, EARLIEST)
    end = await list_offset(connection, changelog, partition, LATEST)
    if earliest != 0 or end > MOST_BARRIERS:
        return False
    keys: set[bytes] = set()
    if end:
        await cluster.read_changelog(partition, end - 1, lambda key, _: keys.add(key), lambda _: None)
    return keys <= {BARRIER_KEY}


async def committed_offset(connection: Connection, settings: Settings, partition: int) -> int:
    """Of the application's group on the input partition, -1 where there is none; waits for an open transaction."""
    group = settings.engine.application_id
    request = StableOffsets(group, settings.topics.state, [partition])
    told = False
    async for _ in retries():
        try:
            node = await connection.coordinator("group", group, "Describe")
            reply = await connection.send(node, request, coordination=True)
        except (NotSent, InDoubt):
            await connection.refresh()
            continue
        code = reply.error_code
        if code == 0:
            [(_, [(_, offset, _, _, code, _)], _)] = reply.topics
            if code == 0:
                return int(offset)
            if code in UNAUTHORIZED:
                raise missing_acl(settings.kafka, "Describe", f"topic {settings.topics.state}")
        elif code in UNAUTHORIZED:
            raise missing_acl(settings.kafka, "Describe", f"group {group}")
        if not told:
            what = "waiting for a transaction to end" if code == StableOffsets.UNSTABLE else error_name(code)
            log.warning("offset of group %s, partition %d: %s", group, partition, what)
            told = True
    raise AssertionError("retries() does not end")


async def check(settings: Settings, declared: Topology, party: Party = "processor") -> list[str]:
    """Raise `Unreachable` or `Refused` unless broker and topics are fit; returns what is a risk but works."""
    async with connected(settings, "check") as connection:
        await _check_versions(connection)
        await _check_acls(connection, declared, settings.engine.application_id, party)
        steps = plan(declared, await observe(connection, declared))
        if steps.creations:
            missing = ", ".join(topic.name for topic in steps.creations)
            raise Refused(f"missing topics: {missing}; create them with `creative-feedback topics apply`")
        if steps.refusals:
            raise Refused("; ".join(f"{refusal.name}: {refusal.message}" for refusal in steps.refusals))
        return [*access_notices(settings.kafka), *steps.notices, *(str(step) for step in steps.alterations)]


async def _check_acls(connection: Connection, declared: Topology, application_id: str, party: Party) -> None:
    """Raise `Refused` naming every ACL that the party lacks on topics that exist: not only at the first dead letter.

    What is lacking on the group and on transactional ids, the first request about them says.
    """
    try:
        reply = await _ask(connection, AllowedOperations([topic.name for topic in declared.topics]))
    except NotImplementedError:
        return  # a stand-in without the question has no ACLs either
    seen = {topic: (code, operations) for code, topic, _, _, operations in reply.topics}
    missing = []
    for acl in acls(declared, application_id)[party]:
        if acl.resource != "topic" or acl.operation == "Create":
            continue
        code, operations = seen[acl.name]
        if code in UNAUTHORIZED:
            # Not even to be seen: so nothing that lets it be seen was granted. The others are not told.
            if acl.operation in ("Read", "Write", "Describe"):
                missing.append(acl)
        elif (
            code == 0
            and operations != AllowedOperations.NOT_TOLD
            and not operations >> AllowedOperations.BITS[acl.operation] & 1
        ):
            missing.append(acl)
    if missing:
        raise missing_acls(connection.kafka, missing)


async def _check_versions(connection: Connection) -> None:
    async for _ in retries(connection.timeout_s):
        node = connection.client.get_random_node()
        if not await connection.client.ready(node):
            continue
        versions = connection.client._conns[node, ConnectionGroup.DEFAULT]._versions
        for key, (needed, what) in NEEDED_VERSIONS.items():
            newest = versions.get(key, (-1, -1))[1]
            if key == VERIFIED and not connection.kafka.require_verification:
                continue
            if newest < needed:
                raise Refused(
                    f"the broker at {connection.kafka.bootstrap_servers} is too old: it has no {what}; "
                    f"use Kafka {OLDEST} or newer"
                )
        return
