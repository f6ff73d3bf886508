"""Where two processes share the tests, one of them has all that start brokers."""

from __future__ import annotations

import pytest

from tests.kafka.fixtures import BROKER_FIXTURES


def test_whatever_may_start_a_broker_is_of_one_group(request: pytest.FixtureRequest) -> None:
    asking = [
        item
        for item in request.session.items
        if isinstance(item, pytest.Function)
        and (item.get_closest_marker("kafka") or BROKER_FIXTURES.intersection(item.fixturenames))
    ]
    groups = {str(marker and marker.args) for marker in (item.get_closest_marker("xdist_group") for item in asking)}
    assert groups <= {"('broker',)"}
