"""Where a partition begins and ends, asked of a cluster that tells nothing of it."""

from __future__ import annotations

from typing import Any, cast

import pytest
from aiokafka.cluster import ClusterMetadata

from processor.backends.kafka.reader import EARLIEST, list_offset
from processor.config import KafkaConfig
from processor.errors import Refused

TOPIC = "tori.state"


class Gone:
    """A cluster that tells nothing of the topic; ``unauthorized``: because we may not see it."""

    kafka = KafkaConfig()
    timeout_s = 0.01

    def __init__(self, *unauthorized: str) -> None:
        self.client = self
        self.cluster = ClusterMetadata()
        self.cluster.unauthorized_topics = set(unauthorized)

    def leader(self, topic: str, partition: int) -> int | None:
        return None

    async def refresh(self) -> None: ...


@pytest.mark.parametrize(
    ("gone", "said"), [(Gone(), f"missing topic: {TOPIC}"), (Gone(TOPIC), f"Describe on topic {TOPIC}")]
)
async def test_a_topic_that_we_may_not_see_any_more_is_not_called_missing(gone: Gone, said: str) -> None:
    with pytest.raises(Refused, match=said):
        await list_offset(cast(Any, gone), TOPIC, 0, EARLIEST)
