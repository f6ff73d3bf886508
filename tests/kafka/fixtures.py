"""Brokers as fixtures."""

from __future__ import annotations

import re
import secrets
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest

from processor.backends.embedded import EmbeddedKafka
from tests.kafka.locked import LockedKafka, locked

BROKER_FIXTURES = frozenset({"kafka", "shared_kafka", "own_kafka", "three_nodes"})

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


# Tests whose parties come by the locked door (`locked.py`) in every run; with `--secure` those of all others do too.
SECURED_MODULES = frozenset({"test_exactly_once", "test_locked", "test_cli_kafka"})


@contextmanager
def running_kafka(nodes: int = 1, *, secure: bool) -> Iterator[EmbeddedKafka]:
    """A cluster with quick settings; ``secure`` means for everybody but witnesses.

    To `stage` and to whoever asks `as_party` its ``bootstrap_servers`` is enough to get in either way.
    """
    if not secure:
        with EmbeddedKafka(nodes, properties=QUICK_SETTINGS) as cluster:
            yield cluster
        return
    with tempfile.TemporaryDirectory(prefix="creative-feedback-keys-") as keys:
        with LockedKafka(Path(keys), nodes, properties=QUICK_SETTINGS) as cluster, locked(cluster):
            yield cluster


def _secured(request: pytest.FixtureRequest) -> bool:
    module = request.path.stem
    return bool(request.config.getoption("secure")) or module in SECURED_MODULES


@pytest.fixture(scope="session")
def shared_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LockedKafka]:
    """The broker of the whole run, with both doors; tests ask for `kafka`."""
    with LockedKafka(tmp_path_factory.mktemp("keys"), properties=QUICK_SETTINGS) as broker:
        yield broker


@pytest.fixture(scope="module")
def kafka(request: pytest.FixtureRequest, shared_kafka: LockedKafka) -> Iterator[EmbeddedKafka]:
    """One broker for the whole run. Tests keep apart by topic, group and transactional id."""
    with locked(shared_kafka) if _secured(request) else nullcontext():
        yield shared_kafka


@pytest.fixture
def own_kafka(request: pytest.FixtureRequest) -> Iterator[EmbeddedKafka]:
    """One broker for one test, to be treated badly."""
    with running_kafka(secure=_secured(request)) as broker:
        yield broker


@pytest.fixture(scope="module")
def three_nodes(request: pytest.FixtureRequest) -> Iterator[EmbeddedKafka]:
    """Three brokers for one test module; a test that kills one restarts it."""
    with running_kafka(3, secure=_secured(request)) as cluster:
        yield cluster


@pytest.fixture
def topic_name(request: pytest.FixtureRequest) -> Callable[[str], str]:
    """`topic_name("state")` is a name no other call and no earlier run has given."""
    test = re.sub(r"[^a-zA-Z0-9]+", "-", str(request.node.name))[:60]
    return lambda label: f"{test}.{label}.{secrets.token_hex(3)}"
