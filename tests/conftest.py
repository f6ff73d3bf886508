"""What every test knows. A broker starts only for a test that asks for one."""

from __future__ import annotations

import pytest

from tests.kafka.fixtures import BROKER_FIXTURES, kafka, own_kafka, three_nodes, topic_name

__all__ = ["kafka", "own_kafka", "three_nodes", "topic_name"]  # found by pytest here

_BROKER_TIMEOUT_S = 180  # the first test with a broker also pays for its start


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if isinstance(item, pytest.Function) and BROKER_FIXTURES.intersection(item.fixturenames):
            item.add_marker(pytest.mark.kafka)
            if item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(_BROKER_TIMEOUT_S))
