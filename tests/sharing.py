"""How two processes share the tests: those that start brokers in two halves, the others a file at a time.

Each half is run by one process, one test after the other, on a broker that the half has for itself.
"""

from __future__ import annotations

from typing import Final

from xdist.scheduler.loadscope import LoadScopeScheduling

ONE_HALF: Final = "brokers, one half"
OTHER_HALF: Final = "brokers, the other half"

# Mostly clusters and demos of their own; beside the tests without brokers they take as long as the first half.
_OTHER_HALF: Final = (
    "tests/deploy/chart/test_running.py",
    "tests/deploy/compose/test_services.py",
    "tests/integration/test_campaign.py",
    "tests/integration/test_dashboard.py",
    "tests/integration/test_demo.py",
    "tests/integration/test_embedded_broker.py",
    "tests/integration/test_embedded_broker_command.py",
    "tests/integration/test_three_nodes.py",
)
_BROKERS: Final = (
    "tests/bench/",
    "tests/contract/",
    "tests/integration/",
    "tests/unit/backends/test_kafka_diagnosis.py",
)


def share_of(nodeid: str) -> str:
    """What is run by one process, one after the other."""
    if nodeid.startswith(_OTHER_HALF):
        return OTHER_HALF
    return ONE_HALF if nodeid.startswith(_BROKERS) else nodeid.split("::", 1)[0]


class BrokersTogether(LoadScopeScheduling):
    """pytest-xdist's ``loadscope`` with these shares (its groups are not seen by pytest 9.2)."""

    def _split_scope(self, nodeid: str) -> str:
        return share_of(nodeid)
