"""Every test here runs on the model and on Apache Kafka."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.contract.world import KafkaWorld, ModelWorld, World


@pytest.fixture(params=["model", pytest.param("kafka", marks=[pytest.mark.kafka, pytest.mark.timeout(180)])])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    """A cluster with empty topics."""
    made: World
    if request.param == "kafka":
        made = await KafkaWorld.make(request.getfixturevalue("kafka").bootstrap_servers)
    else:
        made = ModelWorld()
    yield made
    await made.close()
