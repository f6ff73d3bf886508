"""Nobody thought of these: what clients of a broker may do, in random order, gives the same on the model and on Kafka.

`python -m tests.contract --sequences N --seed S` does more of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator

import pytest

from processor.backends.embedded import EmbeddedKafka
from tests.contract.kafka_rig import KafkaRig
from tests.contract.operations import ADD, END, INIT, PRODUCE, Op, sequence
from tests.contract.rigs import GENERATION, MEMBER, OK, PRODUCER_FENCED, SEQUENCE, TRANSACTION_STATE, ModelRig
from tests.contract.sequences import compare, shrink

SEQUENCES = 12
SEED = 7


@pytest.fixture
async def kafka_rig(kafka: EmbeddedKafka) -> AsyncIterator[KafkaRig]:
    """Its own topic on the one broker."""
    rig = KafkaRig(kafka.bootstrap_servers)
    await rig.open()
    yield rig
    await rig.shut()


async def test_random_sequences_have_equal_answers_and_leave_equal_logs(kafka_rig: KafkaRig) -> None:
    answers: Counter[str] = Counter()
    for number in range(SEQUENCES):
        operations = sequence(SEED * 1_000_003 + number)
        difference, answered = await compare(operations, kafka_rig)
        assert difference is None, f"{difference}\n{await shrink(operations, kafka_rig)}"
        answers.update(answered)
    # A tame generator would compare nothing.
    given = {answer.split(": ")[1] for answer in answers}
    assert given == {OK, GENERATION, MEMBER, PRODUCER_FENCED, SEQUENCE, TRANSACTION_STATE}


async def test_a_difference_is_seen_and_made_short(kafka_rig: KafkaRig, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that commits what was aborted."""
    original = ModelRig.end

    async def wrong(self: ModelRig, name: str, epoch: int, committed: bool) -> str:
        return await original(self, name, epoch, True)

    monkeypatch.setattr(ModelRig, "end", wrong)
    monkeypatch.setattr("tests.contract.sequences.MARKERS_S", 1.0)
    needed = [Op(INIT, 0), Op(ADD, 0, partitions=(1,)), Op(PRODUCE, 0, partitions=(1,)), Op(END, 0, committed=False)]
    around = [Op(ADD, 0, partitions=(2,)), Op(PRODUCE, 0, partitions=(2,))]
    operations = [needed[0], Op(INIT, 1), *around, *needed[1:], Op(INIT, 1)]
    difference, _ = await compare(operations, kafka_rig)
    assert difference is not None
    assert "the model shows" in difference
    smallest = await shrink(operations, kafka_rig)
    assert [operation.kind for operation in smallest] == [INIT, ADD, END] or smallest == needed
