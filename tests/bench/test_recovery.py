"""The measurement of recoveries measures: instances come back, and what they committed is complete."""

from __future__ import annotations

from pathlib import Path

import pytest

from processor.backends.embedded import EmbeddedKafka
from tests.bench.recovery import restarts


@pytest.mark.timeout(180)
async def test_killed_static_members_come_back_with_their_state_complete(kafka: EmbeddedKafka, tmp_path: Path) -> None:
    figures = await restarts(kafka.bootstrap_servers, tmp_path, kills=2, sessions=100, session_timeout_ms=10_000)
    assert figures.recoveries == 2
    assert figures.differences == []
