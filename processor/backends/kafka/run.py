"""One processor instance on Apache Kafka, from connecting to leaving."""

from __future__ import annotations

import asyncio
import logging
import socket

from processor.backends.kafka.admin import check
from processor.backends.kafka.cluster import KafkaCluster
from processor.config import APPLICATION_VERSION, Settings, declared_topology
from processor.engine.observer import Observer
from processor.engine.ports import FoldFactory
from processor.engine.runner import Runner
from processor.engine.tuning import Tuning

log = logging.getLogger(__name__)

REVOKE_SHARE = 0.5  # of the rebalance time-out: the rest is for joining


def tuning(settings: Settings, instance_id: str) -> Tuning:
    """The engine's numbers from the configuration (milliseconds become seconds)."""
    engine, topics = settings.engine, settings.topics
    return Tuning(
        instance_id=instance_id,
        application_id=engine.application_id,
        partition_count=topics.partitions,
        version=APPLICATION_VERSION,
        changelog=topics.changelog,
        input=topics.state,
        commit_interval_s=engine.commit_interval_ms / 1000,
        max_commit_interval_s=max(engine.commit_interval_ms, engine.max_commit_interval_ms) / 1000,
        max_batch_records=engine.max_batch_records,
        max_batch_bytes=engine.max_batch_bytes,
        transaction_timeout_s=engine.transaction_timeout_ms / 1000,
        revoke_timeout_s=min(engine.transaction_timeout_ms, engine.rebalance_timeout_ms * REVOKE_SHARE) / 1000,
        shutdown_timeout_s=engine.shutdown_timeout_ms / 1000,
        stuck_timeout_s=engine.stuck_timeout_ms / 1000,
    )


async def run_processor(settings: Settings, fold_factory: FoldFactory, observer: Observer, stop: asyncio.Event) -> None:
    """Process until ``stop`` is set, then commit, leave the group and return.

    Raises `Unreachable` and `Refused`, in one line with the remedy, before anything is written.
    """
    instance_id = settings.engine.instance_id or socket.gethostname()
    for notice in await check(settings, declared_topology(settings)):
        log.warning("%s", notice)
    cluster = KafkaCluster(settings, instance_id)
    try:
        await cluster.open()
        await Runner(cluster, fold_factory, tuning(settings, instance_id), observer).run(stop)
    finally:
        await cluster.close()
