"""What every test knows. A broker starts only for a test that asks for one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kafka.fixtures import BROKER_FIXTURES, kafka, own_kafka, shared_kafka, three_nodes, topic_name

__all__ = ["kafka", "own_kafka", "shared_kafka", "three_nodes", "topic_name"]  # found by pytest here

_BROKER_TIMEOUT_S = 180  # the first test with a broker also pays for its start
_WITH_BROKERS = ("integration", "bench")  # folders whose tests start brokers and processes of their own


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--secure",
        action="store_true",
        help="every processor, command and producer that is tested logs in by SASL/SCRAM over TLS, and may do exactly "
        "what `creative-feedback topics acls` prints for it; without this, those of some modules do",
    )


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist looks at the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        asks = isinstance(item, pytest.Function) and BROKER_FIXTURES.intersection(item.fixturenames)
        if asks:
            item.add_marker(pytest.mark.kafka)
            if item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(_BROKER_TIMEOUT_S))
        # A fixture that asks for one only when it is set up is no argument of the test: its marker tells.
        if item.get_closest_marker("kafka") or item.path.relative_to(here).parts[0] in _WITH_BROKERS:
            # Where the run is shared by two processes, one has all brokers, one after the other.
            item.add_marker(pytest.mark.xdist_group("broker"))
