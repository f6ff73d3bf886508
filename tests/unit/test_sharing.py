"""Where two processes share the tests, those with brokers do not all start at once."""

from __future__ import annotations

import pytest

from tests.kafka.fixtures import BROKER_FIXTURES
from tests.sharing import ONE_HALF, OTHER_HALF, share_of


def test_whatever_may_start_a_broker_is_of_one_of_two_shares(request: pytest.FixtureRequest) -> None:
    asking = [
        item.nodeid
        for item in request.session.items
        if isinstance(item, pytest.Function)
        and (item.get_closest_marker("kafka") or BROKER_FIXTURES.intersection(item.fixturenames))
    ]
    assert [nodeid for nodeid in asking if share_of(nodeid) not in {ONE_HALF, OTHER_HALF}] == []


def test_tests_without_brokers_are_shared_by_file() -> None:
    assert share_of("tests/unit/loop/test_step.py::test_one[a::b]") == "tests/unit/loop/test_step.py"
