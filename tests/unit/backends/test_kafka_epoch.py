"""The transaction protocol, request by request, against scripted replies.

What was definitely refused for the moment is repeated; everything else is a doubt, and EndTxn goes out once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.record.memory_records import MemoryRecords

from processor.backends.kafka import epoch as epoch_module
from processor.backends.kafka.connection import (
    COORDINATOR_MOVED,
    FENCED_GROUP,
    FENCED_PRODUCER,
    LEADER_MOVED,
    TRY_AGAIN,
    UNAUTHORIZED,
    NotSent,
    error_name,
)
from processor.backends.kafka.epoch import Lineage, TransactionalEpoch
from processor.config import Settings
from processor.engine.ports import Token
from processor.errors import Fenced, InDoubt, ProducerFenced, Refused, Rejected

SETTINGS = Settings()
TOKEN = Token(5, "m", None, frozenset({0, 1}))
TOO_LARGE, INVALID_TXN_STATE, OUT_OF_ORDER, UNKNOWN = 10, 48, 45, 87

Reply = Any


class ScriptedConnection:
    """Answers each kind of request from its script, and in the normal way once that is empty."""

    def __init__(self, *_: object) -> None:
        self.sent: list[tuple[int, Any]] = []
        self.script: dict[str, list[int | Exception]] = {}
        self.produced: dict[tuple[str, int], list[bytes]] = {}
        self.lookups: list[str] = []
        self.refreshed = 0
        self.node = 1
        self.codes: Callable[[str, int], int] | None = None
        self.closed = False

    async def open(self, topics: frozenset[str] = frozenset()) -> None:
        pass

    async def close(self) -> None:
        self.closed = True

    async def refresh(self) -> None:
        self.refreshed += 1
        await asyncio.sleep(0)

    async def coordinator(self, kind: str, key: str) -> int:
        self.lookups.append(kind)
        return self.node

    def leader(self, topic: str, partition: int) -> int | None:
        return self.node

    async def send(self, node: int, request: Any, *, coordination: bool = False) -> Reply:
        kind = type(request).__name__.removesuffix("Request")
        self.sent.append((node, request))
        await asyncio.sleep(0)
        waiting = self.script.get(kind, [])
        step = waiting.pop(0) if waiting else 0
        if isinstance(step, Exception):
            raise step
        return self._reply(kind, request, step)

    def kinds(self) -> list[str]:
        return [type(request).__name__.removesuffix("Request") for _, request in self.sent]

    def _reply(self, kind: str, request: Any, code: int) -> Reply:
        if kind == "InitProducerId":
            return SimpleNamespace(error_code=code, producer_id=7, producer_epoch=3)
        if kind == "AddPartitionsToTxn":
            return SimpleNamespace(errors=[("t", [(0, code), (1, 55 if code else 0)])])
        if kind == "FencedTxnOffsetCommit":
            return SimpleNamespace(topics=[("t", [(0, code, {}), (1, 0, {})], {})])
        if kind == "Produce":
            topics = []
            for topic, parts in request._topics:
                answers = []
                for partition, data in parts:
                    written = self.produced.setdefault((topic, partition), [])
                    written.append(data)
                    one = code or (self.codes(topic, partition) if self.codes is not None else 0)
                    answers.append((partition, one, 100 * len(written), -1))
                topics.append((topic, answers))
            return SimpleNamespace(topics=topics)
        return SimpleNamespace(error_code=code)


@pytest.fixture
async def opened(monkeypatch: pytest.MonkeyPatch) -> tuple[TransactionalEpoch, ScriptedConnection]:
    monkeypatch.setattr(epoch_module, "Connection", ScriptedConnection)
    epoch = TransactionalEpoch(SETTINGS, "app-i0", Lineage())
    await epoch.open()
    connection: Any = epoch._connection
    connection.sent.clear()
    return epoch, connection


Opened = tuple[TransactionalEpoch, ScriptedConnection]


def filled(epoch: TransactionalEpoch, *partitions: int, records: int = 2, size: int = 10) -> dict[int, Any]:
    buffers = {}
    for partition in partitions:
        buffer = epoch.buffer(partition)
        for number in range(records):
            buffer.action(b"k", b"%d" % number + bytes(size), [])
        buffer.change(b"s", b"x")
        buffers[partition] = buffer
    return buffers


STEPS: dict[str, Callable[[TransactionalEpoch], Any]] = {
    "AddPartitionsToTxn": lambda epoch: epoch.add_partitions(filled(epoch, 0, 1)),
    "AddOffsetsToTxn": lambda epoch: epoch.add_offsets(),
    "FencedTxnOffsetCommit": lambda epoch: epoch.commit_offsets(TOKEN, {0: 1, 1: 2}),
    "EndTxn": lambda epoch: epoch.end(),
}
REPEATABLE = [kind for kind in STEPS if kind != "EndTxn"]


def test_the_sets_of_codes_do_not_contradict_each_other() -> None:
    sets = [COORDINATOR_MOVED, LEADER_MOVED, TRY_AGAIN, FENCED_GROUP, FENCED_PRODUCER, UNAUTHORIZED]
    assert sum(map(len, sets)) == len(frozenset().union(*sets))
    assert not frozenset().union(*sets) & {0, TOO_LARGE, INVALID_TXN_STATE, OUT_OF_ORDER}


@pytest.mark.parametrize(
    ("code", "name"), [(90, "PRODUCER_FENCED (90)"), (82, "FENCED_INSTANCE_ID (82)"), (22, "IllegalGeneration")]
)
def test_codes_have_names(code: int, name: str) -> None:
    assert error_name(code).startswith(name)


@pytest.mark.parametrize("kind", STEPS)
async def test_a_success_is_sent_once(opened: Opened, kind: str) -> None:
    epoch, connection = opened
    await STEPS[kind](epoch)
    assert connection.kinds() == [kind]


@pytest.mark.parametrize("code", sorted(COORDINATOR_MOVED | TRY_AGAIN | {3}))
@pytest.mark.parametrize("kind", REPEATABLE)
async def test_what_is_refused_for_the_moment_is_repeated(opened: Opened, kind: str, code: int) -> None:
    epoch, connection = opened
    connection.script[kind] = [code, code]
    await STEPS[kind](epoch)
    assert connection.kinds() == [kind] * 3


@pytest.mark.parametrize("kind", REPEATABLE)
async def test_after_a_move_the_coordinator_is_looked_up_anew(opened: Opened, kind: str) -> None:
    epoch, connection = opened
    await STEPS[kind](epoch)
    connection.lookups.clear()
    connection.node = 2
    connection.script[kind] = [16]
    await STEPS[kind](epoch)
    assert connection.lookups == ["group" if kind == "FencedTxnOffsetCommit" else "transaction"]
    assert connection.sent[-1][0] == 2


@pytest.mark.parametrize("kind", REPEATABLE)
async def test_what_never_left_is_sent_again(opened: Opened, kind: str) -> None:
    epoch, connection = opened
    connection.script[kind] = [NotSent("no connection"), NotSent("no connection")]
    await STEPS[kind](epoch)
    assert connection.kinds() == [kind] * 3


@pytest.mark.parametrize("kind", STEPS)
async def test_what_is_not_answered_is_a_doubt_and_not_repeated(opened: Opened, kind: str) -> None:
    epoch, connection = opened
    connection.script[kind] = [InDoubt("no reply")]
    with pytest.raises(InDoubt):
        await STEPS[kind](epoch)
    assert connection.kinds() == [kind]


@pytest.mark.parametrize("code", [INVALID_TXN_STATE, 49, 53, 29, -1, UNKNOWN])
@pytest.mark.parametrize("kind", STEPS)
async def test_any_other_reply_is_a_doubt_and_not_repeated(opened: Opened, kind: str, code: int) -> None:
    epoch, connection = opened
    connection.script[kind] = [code]
    with pytest.raises(InDoubt) as caught:
        await STEPS[kind](epoch)
    assert type(caught.value) is InDoubt
    assert connection.kinds() == [kind]


@pytest.mark.parametrize("code", sorted(FENCED_PRODUCER))
@pytest.mark.parametrize("kind", STEPS)
async def test_a_newer_epoch_fences_this_one(opened: Opened, kind: str, code: int) -> None:
    epoch, connection = opened
    connection.script[kind] = [code]
    with pytest.raises(ProducerFenced):
        await STEPS[kind](epoch)
    assert connection.kinds() == [kind]


@pytest.mark.parametrize("code", sorted(FENCED_GROUP))
async def test_the_group_fences_a_stale_token(opened: Opened, code: int) -> None:
    epoch, connection = opened
    connection.script["FencedTxnOffsetCommit"] = [code]
    with pytest.raises(Fenced, match="generation 5"):
        await epoch.commit_offsets(TOKEN, {0: 1, 1: 2})
    assert connection.kinds() == ["FencedTxnOffsetCommit"]


@pytest.mark.parametrize("answer", [51, 16, 14, NotSent("?"), InDoubt("?"), 48], ids=repr)
async def test_end_txn_goes_out_once_whatever_the_answer(opened: Opened, answer: int | Exception) -> None:
    epoch, connection = opened
    connection.script["EndTxn"] = [answer]
    with pytest.raises(InDoubt):
        await epoch.end()
    with pytest.raises(AssertionError):
        await epoch.end()
    assert connection.kinds() == ["EndTxn"]


async def test_the_next_transaction_of_the_epoch_ends_with_its_own_end_txn(opened: Opened) -> None:
    epoch, connection = opened
    await epoch.end()
    await epoch.end()
    assert connection.kinds() == ["EndTxn"] * 2


# Produce -------------------------------------------------------------------------------------------------------


def header(data: bytes) -> tuple[int, int, int, int]:
    batch: Any = MemoryRecords(data).next_batch()
    return batch.producer_id, batch.producer_epoch, batch.base_sequence, len(list(batch))


async def test_every_batch_carries_epoch_and_the_next_sequence(opened: Opened) -> None:
    epoch, connection = opened
    await epoch.produce(filled(epoch, 0, records=2))
    await epoch.produce(filled(epoch, 0, records=5))
    actions = connection.produced[SETTINGS.topics.actions, 0]
    assert [header(data) for data in actions] == [(7, 3, 0, 2), (7, 3, 2, 5)]


async def test_the_offset_behind_the_last_change_is_told(opened: Opened) -> None:
    epoch, _ = opened
    assert await epoch.produce(filled(epoch, 0, 1)) == {0: 101, 1: 101}


@pytest.mark.parametrize(
    "answer", [InDoubt("no reply"), NotSent("?"), *sorted(TRY_AGAIN), *sorted(LEADER_MOVED)], ids=repr
)
async def test_produce_is_repeated_with_the_same_bytes(opened: Opened, answer: int | Exception) -> None:
    epoch, connection = opened
    connection.script["Produce"] = [answer, answer]
    await epoch.produce(filled(epoch, 0))
    sent = [dict(request._topics)[SETTINGS.topics.actions] for _, request in connection.sent]
    assert len(sent) == 3
    assert sent[0] == sent[1] == sent[2]


async def test_a_batch_written_before_counts_as_written(opened: Opened) -> None:
    epoch, connection = opened
    connection.script["Produce"] = [InDoubt("no reply"), 46]
    assert await epoch.produce(filled(epoch, 0)) == {0: -1}  # where, the broker did not say
    connection.sent.clear()
    await epoch.produce(filled(epoch, 0))
    assert header(connection.produced[SETTINGS.topics.actions, 0][-1])[2] == 2


async def test_batches_of_one_partition_go_one_after_the_other(opened: Opened) -> None:
    epoch, connection = opened
    buffers = filled(epoch, 0, records=4, size=500 * 1024)
    await epoch.produce(buffers)
    actions = connection.produced[SETTINGS.topics.actions, 0]
    assert [header(data)[2:] for data in actions] == [(0, 1), (1, 1), (2, 1), (3, 1)]
    assert all(len(dict(request._topics).get(SETTINGS.topics.actions, [()])) == 1 for _, request in connection.sent)


@pytest.mark.parametrize("refused", ["actions", "changelog"])
async def test_one_refused_delivery_fails_all(opened: Opened, refused: str) -> None:
    epoch, connection = opened
    topic = getattr(SETTINGS.topics, refused)
    connection.codes = lambda name, partition: UNKNOWN if (name, partition) == (topic, 1) else 0
    with pytest.raises(Rejected, match=f"{topic}-1") as caught:
        await epoch.produce(filled(epoch, 0, 1))
    assert (caught.value.partition, caught.value.topic, caught.value.too_large) == (1, topic, False)


@pytest.mark.parametrize("code", [10, 18])
async def test_a_batch_too_large_is_named_so_and_the_next_ones_are_smaller(opened: Opened, code: int) -> None:
    epoch, connection = opened
    connection.script["Produce"] = [code]
    with pytest.raises(Rejected) as caught:
        await epoch.produce(filled(epoch, 0, records=4, size=200 * 1024))
    assert caught.value.too_large
    connection.produced.clear()
    await epoch.produce(filled(epoch, 1, records=4, size=200 * 1024))
    assert len(connection.produced[SETTINGS.topics.actions, 1]) == 2


@pytest.mark.parametrize("code", sorted(FENCED_PRODUCER))
async def test_a_fenced_producer_is_told_from_a_refused_batch(opened: Opened, code: int) -> None:
    epoch, connection = opened
    connection.script["Produce"] = [code]
    with pytest.raises(ProducerFenced):
        await epoch.produce(filled(epoch, 0))


@pytest.mark.parametrize("code", [OUT_OF_ORDER, INVALID_TXN_STATE, 49, 59, 120, -1])
async def test_a_producer_out_of_step_is_a_doubt_and_no_partitions_fault(opened: Opened, code: int) -> None:
    epoch, connection = opened
    connection.script["Produce"] = [code]
    with pytest.raises(InDoubt) as caught:
        await epoch.produce(filled(epoch, 0))
    assert not isinstance(caught.value, Rejected)


# Opening -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [InDoubt("no reply"), NotSent("?"), *sorted(TRY_AGAIN | COORDINATOR_MOVED | FENCED_PRODUCER), -1],
    ids=repr,
)
async def test_a_new_epoch_is_asked_for_until_there_is_one(opened: Opened, answer: int | Exception) -> None:
    epoch, connection = opened
    connection.script["InitProducerId"] = [answer, answer]
    await epoch.open()
    assert connection.kinds() == ["InitProducerId"] * 3


@pytest.mark.parametrize(("code", "remedy"), [(53, "topics acls"), (50, "transaction.max.timeout.ms"), (42, "42")])
async def test_an_epoch_that_cannot_be_had_is_refused_with_the_remedy(opened: Opened, code: int, remedy: str) -> None:
    epoch, connection = opened
    connection.script["InitProducerId"] = [code]
    with pytest.raises(Refused, match=remedy):
        await epoch.open()


async def test_an_unanswered_request_for_an_epoch_explains_one_fencing(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may have arrived late, after the one that was answered: no twin of the instance is suspected."""
    monkeypatch.setattr(epoch_module, "Connection", ScriptedConnection)
    lineage = Lineage()
    epochs = [TransactionalEpoch(SETTINGS, "app-i0", lineage) for _ in range(2)]
    scripts: list[Any] = [epoch._connection for epoch in epochs]
    scripts[0].script["InitProducerId"] = [NotSent("not ready"), InDoubt("no reply"), 0]
    for epoch, connection in zip(epochs, scripts, strict=True):
        await epoch.open()
        connection.script["AddOffsetsToTxn"] = [47, 47]

    for _ in range(2):  # several coordinators and leaders say so of the same epoch
        with pytest.raises(InDoubt, match="of our own was not answered") as explained:
            await epochs[0].add_offsets()
        assert not isinstance(explained.value, ProducerFenced)
    with pytest.raises(ProducerFenced):
        await epochs[1].add_offsets()


async def test_closing_closes_the_sockets(opened: Opened) -> None:
    epoch, connection = opened
    await epoch.close()
    assert connection.closed
