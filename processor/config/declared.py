"""The topology these settings declare."""

from __future__ import annotations

from processor.config.settings import Settings
from processor.errors import ConfigError
from topology import TopicNames, Topology, TopologyError, declare


def declared_topology(settings: Settings) -> Topology:
    """Topics and dataflow under the configured names and sizes. Raises `ConfigError`."""
    topics = settings.topics
    names = TopicNames(
        state=topics.state,
        actions=topics.actions,
        metrics=topics.metrics,
        dead_letters=topics.dead_letters,
        changelog=topics.changelog,
    )
    try:
        return declare(
            names,
            partitions=topics.partitions,
            replication_factor=topics.replication_factor,
            max_event_bytes=settings.engine.max_event_bytes,
        )
    except TopologyError as error:
        raise ConfigError(f"topics: {error}") from None
