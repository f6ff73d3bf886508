"""How two processes share the tests: one has all that start brokers, the other the rest, a file at a time."""

from __future__ import annotations

from typing import Final

from xdist.scheduler.loadscope import LoadScopeScheduling

BROKERS: Final = "brokers"

# Folders and files with tests that start brokers, or many processes.
_WITH_BROKERS: Final = (
    "tests/bench/",
    "tests/contract/",
    "tests/deploy/chart/test_running.py",
    "tests/deploy/compose/test_services.py",
    "tests/integration/",
    "tests/unit/backends/test_kafka_diagnosis.py",
)


def share_of(nodeid: str) -> str:
    """What is run by one process, one after the other."""
    return BROKERS if nodeid.startswith(_WITH_BROKERS) else nodeid.split("::", 1)[0]


class BrokersTogether(LoadScopeScheduling):
    """pytest-xdist's ``loadscope`` with these shares (its groups are not seen by pytest 9.2)."""

    def _split_scope(self, nodeid: str) -> str:
        return share_of(nodeid)
