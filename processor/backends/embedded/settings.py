"""Kafka's settings for a small cluster on one machine."""

from __future__ import annotations

from collections.abc import Sequence

from processor.backends.embedded.ports import HOST


def broker_properties(number: int, ports: Sequence[int], controller_ports: Sequence[int]) -> dict[str, str]:
    """Settings of node `number` (from 1) in such a cluster: small, and as safe as its size allows."""
    nodes = len(ports)
    copies, in_sync = (str(nodes), "2") if nodes > 1 else ("1", "1")
    voters = ",".join(f"{node}@{HOST}:{port}" for node, port in enumerate(controller_ports, 1))
    broker, controller = (
        f"PLAINTEXT://{HOST}:{ports[number - 1]}",
        f"CONTROLLER://{HOST}:{controller_ports[number - 1]}",
    )
    return {
        "process.roles": "broker,controller",
        "node.id": str(number),
        "controller.quorum.voters": voters,
        "controller.listener.names": "CONTROLLER",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "listeners": f"{broker},{controller}",
        "advertised.listeners": broker,
        "inter.broker.listener.name": "PLAINTEXT",
        "auto.create.topics.enable": "false",  # a topic with a wrong partition count is worse than none
        "default.replication.factor": copies,
        "min.insync.replicas": in_sync,
        "offsets.topic.replication.factor": copies,
        "transaction.state.log.replication.factor": copies,
        "transaction.state.log.min.isr": in_sync,
        "share.coordinator.state.topic.replication.factor": copies,
        "share.coordinator.state.topic.min.isr": in_sync,
        # One group and few producers: more internal partitions only lengthen starts.
        "offsets.topic.num.partitions": "4",
        "transaction.state.log.num.partitions": "4",
        "group.initial.rebalance.delay.ms": "0",
        # The default of 128 MiB would be a third of the heap; this is enough for 600,000 keys a pass.
        "log.cleaner.dedupe.buffer.size": str(16 * 1024 * 1024),
    }
