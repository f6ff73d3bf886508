"""The running audit says equal exactly when committed output is the fold of the committed input."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.config import settings_from
from processor.engine.ports import Header
from processor.surfaces.audit import Auditor, Output
from processor.surfaces.folds import partition_fold
from processor.surfaces.ports import Chunk

SETTINGS = settings_from({"topics": {"partitions": 2}, "streaming": {"interval_steps": 2}})
TOPICS = SETTINGS.topics
GOOD = b'{"session_id": "s", "state": {"novelty": 0.9, "aesthetic_score": 0.5}}'


class Record(NamedTuple):
    offset: int
    value: bytes | None
    key: bytes | None = b"s"
    headers: tuple[Header, ...] = ()
    timestamp: int = 1_700_000_000_000


class Committed:
    """What a faithful processor commits for some input of partition 0."""

    def __init__(self, inputs: list[Record]) -> None:
        self.records: dict[str, list[Record]] = {TOPICS.actions: [], TOPICS.metrics: [], TOPICS.dead_letters: []}
        partition_fold(SETTINGS, 0).process(inputs, self)

    def _append(self, topic: str, key: bytes | None, value: bytes | None, headers: list[Header]) -> None:
        self.records[topic].append(Record(len(self.records[topic]), value, key, tuple(headers)))

    def action(self, key: bytes | None, value: bytes, headers: list[Header]) -> None:
        self._append(TOPICS.actions, key, value, headers)

    def metric(self, key: bytes | None, value: bytes, headers: list[Header]) -> None:
        self._append(TOPICS.metrics, key, value, headers)

    def dead_letter(self, key: bytes | None, value: bytes | None, headers: list[Header]) -> None:
        self._append(TOPICS.dead_letters, key, value, headers)


def auditor() -> Auditor:
    return Auditor(TOPICS, lambda partition: partition_fold(SETTINGS, partition))


def audited(inputs: list[Record], committed: dict[str, list[Record]], partition: int = 0) -> Auditor:
    audit = auditor()
    audit.take(Chunk(TOPICS.state, 0, inputs))
    for topic, records in committed.items():
        audit.take(Chunk(topic, partition, records))
    return audit


INPUTS = [Record(0, GOOD), Record(1, b"nonsense"), Record(2, GOOD), Record(3, None), Record(5, GOOD)]


def test_faithful_output_is_equal() -> None:
    audit = audited(INPUTS, Committed(INPUTS).records)
    assert audit.equal
    assert audit.inputs == 5
    assert audit.committed == {Output.ACTIONS: 3, Output.METRICS: 2, Output.DEAD_LETTERS: 2}
    assert audit.verdict() == "7 committed records equal the replay"


@given(st.data())
def test_order_of_arrival_makes_no_difference(data: st.DataObject) -> None:
    """Each topic is read in its order; how the topics overtake one another is free."""
    queues = {TOPICS.state: INPUTS, **Committed(INPUTS).records}
    left = {topic: list(records) for topic, records in queues.items()}
    audit = auditor()
    while any(left.values()):
        topic = data.draw(st.sampled_from([topic for topic, records in left.items() if records]))
        audit.take(Chunk(topic, 0, [left[topic].pop(0)]))
    assert audit.equal


def damage(change: Callable[[list[Record]], object]) -> Auditor:
    committed = Committed(INPUTS).records
    change(committed[TOPICS.actions])
    return audited(INPUTS, committed)


@pytest.mark.parametrize(
    "change",
    [
        lambda records: records.pop(),
        lambda records: records.pop(0),
        lambda records: records.append(records[-1]),
        lambda records: records.insert(0, records[0]),
        lambda records: records.reverse(),
        lambda records: records.__setitem__(0, records[0]._replace(key=b"other")),
        lambda records: records.__setitem__(0, records[0]._replace(value=records[0].value + b" ")),
        lambda records: records.__setitem__(0, records[0]._replace(value=None)),
        lambda records: records.__setitem__(0, records[0]._replace(headers=(("source.offset", b"7"),))),
        lambda records: records.__setitem__(0, records[0]._replace(headers=())),
    ],
    ids=[
        "last lost",
        "first lost",
        "last twice",
        "first twice",
        "order",
        "key",
        "value",
        "tombstone",
        "offset",
        "none",
    ],
)
def test_any_deviation_is_found(change: Callable[[list[Record]], object]) -> None:
    audit = damage(change)
    assert not audit.equal
    assert "equal the replay" not in audit.verdict()


def test_first_difference_names_topic_partition_and_both_sides() -> None:
    audit = damage(lambda records: records.__setitem__(0, records[0]._replace(key=b"other", value=b"{}")))
    assert audit.difference is not None
    assert audit.difference.startswith("actions, partition 0: replay gives {")
    assert audit.difference.endswith("committed is {} (source.offset 0)")


def test_output_in_another_partition_is_a_difference() -> None:
    assert not audited(INPUTS, Committed(INPUTS).records, partition=1).equal


def test_output_without_input_is_surplus_and_input_without_output_missing() -> None:
    committed = Committed(INPUTS).records
    only_output, only_input = audited([], committed), audited(INPUTS, {})
    assert (only_output.surplus(), only_output.missing(), only_output.equal) == (7, 0, False)
    assert (only_input.surplus(), only_input.missing(), only_input.equal) == (0, 7, False)
    assert "under way" in only_input.standing()
