"""Brokers as fixtures."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterator

import pytest

from processor.backends.embedded import EmbeddedKafka

BROKER_FIXTURES = frozenset({"kafka", "own_kafka", "three_nodes"})

# Faults that take minutes with Kafka's defaults take a second with these.
QUICK_SETTINGS = {
    "group.min.session.timeout.ms": "500",
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "500",
    "transaction.remove.expired.transaction.cleanup.interval.ms": "5000",
    "log.cleaner.backoff.ms": "200",
    "log.initial.task.delay.ms": "500",
    "log.retention.check.interval.ms": "1000",
    "log.segment.delete.delay.ms": "100",
    # A killed broker may register again only when its old session is over: 9 s by default.
    "broker.session.timeout.ms": "3000",
    "broker.heartbeat.interval.ms": "500",
    "message.max.bytes": str(16 * 1024 * 1024),
    "replica.fetch.max.bytes": str(16 * 1024 * 1024),
}


@pytest.fixture(scope="session")
def kafka() -> Iterator[EmbeddedKafka]:
    """One broker for the whole run. Tests keep apart by topic, group and transactional id."""
    with EmbeddedKafka(properties=QUICK_SETTINGS) as broker:
        yield broker


@pytest.fixture
def own_kafka() -> Iterator[EmbeddedKafka]:
    """One broker for one test, to be treated badly."""
    with EmbeddedKafka(properties=QUICK_SETTINGS) as broker:
        yield broker


@pytest.fixture(scope="module")
def three_nodes() -> Iterator[EmbeddedKafka]:
    """Three brokers for one test module; a test that kills one restarts it."""
    with EmbeddedKafka(nodes=3, properties=QUICK_SETTINGS) as cluster:
        yield cluster


@pytest.fixture
def topic_name(request: pytest.FixtureRequest) -> Callable[[str], str]:
    """`topic_name("state")` is a name no other call and no earlier run has given."""
    test = re.sub(r"[^a-zA-Z0-9]+", "-", str(request.node.name))[:60]
    return lambda label: f"{test}.{label}.{secrets.token_hex(3)}"
