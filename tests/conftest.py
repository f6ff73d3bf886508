"""What every test knows. A broker starts only for a test that asks for one."""

from __future__ import annotations

from typing import Any

import pytest

from tests.kafka.fixtures import BROKER_FIXTURES, kafka, own_kafka, shared_kafka, three_nodes, topic_name
from tests.sharing import BrokersTogether

__all__ = ["kafka", "own_kafka", "shared_kafka", "three_nodes", "topic_name"]  # found by pytest here

_BROKER_TIMEOUT_S = 180  # the first test with a broker also pays for its start


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--secure",
        action="store_true",
        help="every processor, command and producer that is tested logs in by SASL/SCRAM over TLS, and may do exactly "
        "what `creative-feedback topics acls` prints for it; without this, those of some modules do",
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if isinstance(item, pytest.Function) and BROKER_FIXTURES.intersection(item.fixturenames):
            item.add_marker(pytest.mark.kafka)
            if item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(_BROKER_TIMEOUT_S))


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> BrokersTogether:
    """``--dist`` of every run that is shared."""
    return BrokersTogether(config, log)
