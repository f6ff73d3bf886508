"""What the group has committed is asked for by whoever acts upon it: not while a transaction is moving it."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest
from aiokafka import TopicPartition

from processor.backends.embedded import EmbeddedKafka
from processor.backends.kafka import connected
from processor.backends.kafka.admin import committed_offset
from tests.faults.stage import stage
from tests.integration.foreign import foreign_transactions


@pytest.mark.parametrize("committed", [True, False])
async def test_an_offset_that_an_open_transaction_moves_is_waited_for(
    kafka: EmbeddedKafka, tmp_path: Path, caplog: pytest.LogCaptureFixture, committed: bool
) -> None:
    async with stage(kafka.bootstrap_servers, tmp_path, seed=701, partitions=2) as scenario:
        settings = scenario.settings
        moved = TopicPartition(settings.topics.state, 0)
        group = settings.engine.application_id
        async with (
            connected(settings, "onlooker") as connection,
            foreign_transactions(kafka.bootstrap_servers) as producer,
        ):
            async with producer.transaction():
                await producer.send_offsets_to_transaction({moved: 5}, group)
            await producer.begin_transaction()
            await producer.send_offsets_to_transaction({moved: 7}, group)
            with caplog.at_level(logging.WARNING):
                asked = asyncio.create_task(committed_offset(connection, settings, 0))
                async with asyncio.timeout(30):
                    while not any("waiting for a transaction" in record.message for record in caplog.records):
                        assert not asked.done(), asked.result()
                        await asyncio.sleep(0.01)  # a log record wakes nobody
            assert await committed_offset(connection, settings, 1) == -1  # nothing moves that one
            await (producer.commit_transaction() if committed else producer.abort_transaction())
            assert await asked == (7 if committed else 5)
