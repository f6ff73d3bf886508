"""What the engine relies on, the same of the model and of Apache Kafka."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from processor.engine.ports import Cluster, Epoch, Fetched, Input, Membership, Token
from processor.errors import Fenced, InDoubt, InputLost, ProducerFenced, Rejected
from schemas.progress import BARRIER_KEY, PROGRESS_KEY
from tests.contract.world import MAX_BATCH_BYTES, PARTITIONS, WAIT_S, Listening, World, until

State = list[tuple[bytes, bytes | None]]


class Instance:
    """A client that has joined and may commit."""

    def __init__(self, cluster: Cluster, listening: Listening, membership: Membership) -> None:
        self.cluster = cluster
        self.listening = listening
        self.membership = membership

    @property
    def token(self) -> Token:
        return self.listening.tokens[-1]


@pytest.fixture
async def join(world: World) -> AsyncIterator[Any]:
    """``await join("i0")``: an `Instance` with its first token; all leave in the end."""
    joined: list[Membership] = []

    async def make(instance_id: str) -> Instance:
        cluster = await world.cluster(instance_id)
        listening = Listening([], [])
        membership = await cluster.join(listening)
        joined.append(membership)
        await until(lambda: listening.tokens)
        return Instance(cluster, listening, membership)

    yield make
    for membership in joined:
        await membership.leave()


def filled(epoch: Epoch, partition: int, *values: bytes) -> dict[int, Any]:
    """One action and one change per value."""
    buffer = epoch.buffer(partition)
    for value in values:
        buffer.action(b"k", value, [("source.offset", b"1")])
        buffer.change(b"s" + value, value)
    return {partition: buffer}


async def written(epoch: Epoch, partition: int, *values: bytes) -> dict[int, int]:
    """Records in an open transaction; the changelog offset behind them."""
    buffers = filled(epoch, partition, *values)
    await epoch.add_partitions(buffers)
    return await epoch.produce(buffers)


async def transaction(epoch: Epoch, token: Token, partition: int, position: int, *values: bytes) -> dict[int, int]:
    """One whole transaction."""
    behind = await written(epoch, partition, *values)
    await epoch.add_offsets()
    await epoch.commit_offsets(token, {partition: position})
    await epoch.end()
    return behind


async def restored(cluster: Cluster, partition: int) -> State:
    """The fold's records of a changelog partition, by a restore."""
    found: State = []
    barrier = await cluster.barrier(partition, b"barrier")
    assert await cluster.read_changelog(
        partition, barrier, lambda key, value: found.append((key, value)), lambda _: None
    )
    return [(key, value) for key, value in found if key not in {BARRIER_KEY, PROGRESS_KEY}]


# Transactions --------------------------------------------------------------------------------------------------


async def test_a_transaction_is_invisible_until_its_end(world: World, join: Any) -> None:
    instance = await join("i0")
    epoch = await instance.cluster.open_epoch()
    await written(epoch, 0, b"a", b"b")
    await epoch.add_offsets()
    await epoch.commit_offsets(instance.token, {0: 5})
    assert await world.committed("actions", 0) == []
    await epoch.end()
    await _visible(world, "actions", 0, [(b"k", b"a"), (b"k", b"b")])
    assert await restored(instance.cluster, 0) == [(b"sa", b"a"), (b"sb", b"b")]
    await _group_offset(world, 0, 5)
    await epoch.close()


async def test_of_two_transactions_offsets_the_later_written_one_stays_whichever_ends_later(
    world: World, join: Any
) -> None:
    instance = await join("i0")
    other = await world.cluster("i1")
    first, second = await instance.cluster.open_epoch(), await other.open_epoch()
    for epoch, positions in ((first, {0: 5, 1: 1}), (second, {0: 7})):
        await epoch.add_offsets()
        await epoch.commit_offsets(instance.token, positions)
    await second.end()
    await _group_offset(world, 0, 7)
    await first.end()
    await _group_offset(world, 1, 1)
    assert await world.group_offset(0) == 7
    await first.close()
    await second.close()


async def test_a_new_epoch_aborts_what_the_old_one_left_open(world: World, join: Any) -> None:
    instance = await join("i0")
    old = await instance.cluster.open_epoch()
    await written(old, 0, b"lost")
    await old.add_offsets()
    await old.commit_offsets(instance.token, {0: 5})
    new = await instance.cluster.open_epoch()
    await transaction(new, instance.token, 0, 7, b"kept")
    await _visible(world, "actions", 0, [(b"k", b"kept")])
    assert await restored(instance.cluster, 0) == [(b"skept", b"kept")]
    await _group_offset(world, 0, 7)
    await old.close()
    await new.close()


@pytest.mark.parametrize("step", ["add_partitions", "add_offsets", "produce", "commit_offsets", "end"])
async def test_a_new_epoch_fences_every_request_of_the_old_one(world: World, join: Any, step: str) -> None:
    instance = await join("i0")
    old = await instance.cluster.open_epoch()
    buffers = filled(old, 0, b"late")
    await old.add_partitions(buffers)
    await old.add_offsets()
    new = await instance.cluster.open_epoch()
    with pytest.raises(InDoubt) as caught:
        async with asyncio.timeout(WAIT_S):
            await {
                "add_partitions": lambda: old.add_partitions(buffers),
                "add_offsets": old.add_offsets,
                "produce": lambda: old.produce(buffers),
                "commit_offsets": lambda: old.commit_offsets(instance.token, {0: 1}),
                "end": old.end,
            }[step]()
    assert not isinstance(caught.value, Rejected)
    if step in {"add_partitions", "add_offsets", "end"}:
        assert isinstance(caught.value, ProducerFenced)
    await transaction(new, instance.token, 0, 3, b"a")
    await _visible(world, "actions", 0, [(b"k", b"a")])
    await _group_offset(world, 0, 3)
    await old.close()
    await new.close()


async def test_transactions_of_one_epoch_follow_each_other(world: World, join: Any) -> None:
    instance = await join("i0")
    epoch = await instance.cluster.open_epoch()
    behind = [await transaction(epoch, instance.token, 0, n, b"%d" % n) for n in range(1, 6)]
    await _visible(world, "actions", 0, [(b"k", b"%d" % n) for n in range(1, 6)])
    # One change and one marker each.
    assert [after[0] - before[0] for before, after in itertools.pairwise(behind)] == [2] * 4
    await epoch.close()


async def test_two_ids_have_transactions_of_their_own(world: World, join: Any) -> None:
    first, second = await join("i0"), await join("i1")
    await until(lambda: first.token.generation == second.token.generation)
    epochs = [await first.cluster.open_epoch(), await second.cluster.open_epoch()]
    await written(epochs[0], 0, b"open")
    await transaction(epochs[1], second.token, 1, 1, b"done")
    await _visible(world, "actions", 1, [(b"k", b"done")])
    assert await world.committed("actions", 0) == []
    for epoch in epochs:
        await epoch.close()


async def test_a_batch_too_large_is_rejected_by_name_and_nothing_of_the_transaction_shows(
    world: World, join: Any
) -> None:
    instance = await join("i0")
    epoch = await instance.cluster.open_epoch()
    buffers = filled(epoch, 0, b"a")
    buffers[0].metric(b"k", bytes(2 * MAX_BATCH_BYTES), [])
    await epoch.add_partitions(buffers)
    with pytest.raises(Rejected) as caught:
        await epoch.produce(buffers)
    assert (caught.value.partition, caught.value.too_large) == (0, True)
    new = await instance.cluster.open_epoch()
    await transaction(new, instance.token, 0, 1, b"b")
    await _visible(world, "actions", 0, [(b"k", b"b")])
    assert await world.committed("metrics", 0) == []
    await epoch.close()
    await new.close()


# The group -----------------------------------------------------------------------------------------------------


async def test_one_member_gets_everything_and_two_share_it(world: World, join: Any) -> None:
    first = await join("i0")
    assert first.token.partitions == frozenset(range(PARTITIONS))
    before = first.token
    second = await join("i1")
    await until(lambda: first.token.generation == second.token.generation)
    assert first.token.generation > before.generation
    assert first.token.member_id == before.member_id
    assert not first.token.partitions & second.token.partitions
    assert first.token.partitions | second.token.partitions == before.partitions
    assert first.listening.revocations[-1] == len(first.listening.tokens) - 1  # revoked, then assigned


async def test_offsets_of_an_older_generation_are_refused(world: World, join: Any) -> None:
    first = await join("i0")
    stale = first.token
    epoch = await first.cluster.open_epoch()
    second = await join("i1")
    await until(lambda: first.token.generation == second.token.generation)
    await written(epoch, 0, b"a")
    await epoch.add_offsets()
    with pytest.raises(Fenced):
        await epoch.commit_offsets(stale, {0: 9})
    await epoch.close()


async def test_offsets_of_a_member_that_left_are_refused(world: World, join: Any) -> None:
    first, second = await join("i0"), await join("i1")
    await until(lambda: first.token.generation == second.token.generation)
    gone = second.token
    await second.membership.leave()
    epoch = await second.cluster.open_epoch()
    await written(epoch, 0, b"a")
    await epoch.add_offsets()
    with pytest.raises(Fenced):
        await epoch.commit_offsets(gone, {0: 9})
    await epoch.close()


async def test_a_member_that_leaves_passes_its_partitions_on(world: World, join: Any) -> None:
    first, second = await join("i0"), await join("i1")
    await second.membership.leave()
    await until(lambda: first.token.partitions == frozenset(range(PARTITIONS)))


async def test_a_rejoin_brings_a_new_generation_and_the_same_partitions(world: World, join: Any) -> None:
    instance = await join("i0")
    before = instance.token
    instance.membership.rejoin()
    await until(lambda: instance.token.generation > before.generation)
    assert instance.token.partitions == before.partitions
    instance.membership.check()


# Restores ------------------------------------------------------------------------------------------------------


async def test_barriers_take_one_offset_each(world: World) -> None:
    cluster = await world.cluster("i0")
    first = await cluster.barrier(0, b"x")
    assert [await cluster.barrier(0, b"x") for _ in range(3)] == [first + 1, first + 2, first + 3]


async def test_the_next_barrier_falls_behind_the_commit_marker(world: World, join: Any) -> None:
    instance = await join("i0")
    epoch = await instance.cluster.open_epoch()
    behind = await transaction(epoch, instance.token, 0, 1, b"a", b"b", b"c")
    await _visible(world, "changelog", 0, None)
    assert await instance.cluster.barrier(0, b"x") == behind[0] + 1
    await epoch.close()


async def test_a_restore_hands_over_tombstones_and_only_what_is_committed(world: World, join: Any) -> None:
    instance = await join("i0")
    epoch = await instance.cluster.open_epoch()
    await transaction(epoch, instance.token, 0, 1, b"a")
    buffer = epoch.buffer(0)
    buffer.change(b"sa", None)
    buffer.change(b"sb", b"")
    await epoch.add_partitions({0: buffer})
    await epoch.produce({0: buffer})
    await epoch.add_offsets()
    await epoch.commit_offsets(instance.token, {0: 2})
    await epoch.end()
    await written(epoch, 0, b"aborted")
    new = await instance.cluster.open_epoch()
    assert await restored(instance.cluster, 0) == [(b"sa", b"a"), (b"sa", None), (b"sb", b"")]
    await epoch.close()
    await new.close()


async def test_a_restore_waits_for_a_transaction_open_before_its_barrier(world: World, join: Any) -> None:
    writer, reader = await join("i0"), await world.cluster("i1")
    epoch = await writer.cluster.open_epoch()
    behind = await written(epoch, 0, b"late")
    await epoch.add_offsets()
    await epoch.commit_offsets(writer.token, {0: 1})
    barrier = await reader.barrier(0, b"x")
    assert barrier >= behind[0]
    found: State = []
    stands: list[int] = []
    reading = asyncio.create_task(
        reader.read_changelog(0, barrier, lambda key, value: found.append((key, value)), stands.append)
    )
    await until(lambda: stands)
    assert not reading.done()
    assert stands[-1] <= behind[0] - 1
    await epoch.end()
    async with asyncio.timeout(WAIT_S):
        assert await reading
    assert (b"slate", b"late") in found
    await epoch.close()


async def test_a_restore_does_not_wait_for_a_transaction_behind_its_barrier(world: World, join: Any) -> None:
    instance = await join("i0")
    epoch = await instance.cluster.open_epoch()
    barrier = await instance.cluster.barrier(0, b"x")
    await written(epoch, 0, b"open")
    async with asyncio.timeout(WAIT_S):
        assert await instance.cluster.read_changelog(0, barrier, lambda *_: None, lambda _: None)
    await epoch.close()


# The input -----------------------------------------------------------------------------------------------------


async def taken(reader: Input, wake: asyncio.Event, records: int, most: int = 100) -> list[Fetched]:
    """What `take` gives until so many records were here."""
    parts: list[Fetched] = []
    async with asyncio.timeout(WAIT_S):
        while sum(len(part.records) for part in parts) < records:
            wake.clear()
            found = reader.take(most)
            parts += found
            if not found:
                await wake.wait()
    return parts


def values(parts: Sequence[Fetched]) -> list[bytes | None]:
    return [record.value for part in parts for record in part.records]


async def test_records_come_in_order_from_where_it_was_sought(world: World) -> None:
    cluster = await world.cluster("i0")
    wake = asyncio.Event()
    reader = await cluster.open_input(wake.set)
    await world.feed(0, [(b"k", b"%d" % n) for n in range(10)])
    reader.seek(0, 3)
    parts = await taken(reader, wake, 7)
    assert values(parts) == [b"%d" % n for n in range(3, 10)]
    assert [record.offset for part in parts for record in part.records] == list(range(3, 10))
    assert parts[-1].position == 10
    assert reader.lag(0) == 0


async def test_take_hands_over_no_more_than_asked_for_and_loses_nothing(world: World) -> None:
    cluster = await world.cluster("i0")
    wake = asyncio.Event()
    reader = await cluster.open_input(wake.set)
    await world.feed(0, [(None, b"%d" % n) for n in range(10)])
    reader.seek(0, 0)
    parts = await taken(reader, wake, 10, most=3)
    assert max(len(part.records) for part in parts) <= 3
    assert values(parts) == [b"%d" % n for n in range(10)]
    assert [part.position for part in parts if part.records] == [p.records[-1].offset + 1 for p in parts if p.records]


async def test_a_reader_is_woken_by_what_arrives_later(world: World) -> None:
    cluster = await world.cluster("i0")
    wake = asyncio.Event()
    reader = await cluster.open_input(wake.set)
    reader.seek(0, 0)
    assert reader.take(10) == []
    await world.feed(0, [(b"k", None), (None, b"")])
    parts = await taken(reader, wake, 2)
    found = [(record.key, record.value) for part in parts for record in part.records]
    assert found == [(b"k", None), (None, b"")]


async def test_a_forgotten_partition_is_silent_and_a_sought_one_begins_anew(world: World) -> None:
    cluster = await world.cluster("i0")
    wake = asyncio.Event()
    reader = await cluster.open_input(wake.set)
    for partition in range(2):
        await world.feed(partition, [(b"k", b"%d" % partition)] * 3)
        reader.seek(partition, 0)
    await taken(reader, wake, 6)
    reader.forget(0)
    await world.feed(0, [(b"k", b"unheard")])
    await world.feed(1, [(b"k", b"heard")])
    assert values(await taken(reader, wake, 1)) == [b"heard"]
    assert reader.lag(0) is None
    assert reader.silence_s(0) == 0.0
    reader.seek(0, 2)
    assert values(await taken(reader, wake, 2)) == [b"0", b"unheard"]


async def test_one_partition_alone(world: World) -> None:
    cluster = await world.cluster("i0")
    wake = asyncio.Event()
    reader = await cluster.open_input(wake.set)
    for partition in range(2):
        await world.feed(partition, [(b"k", b"%d" % partition)] * 3)
        reader.seek(partition, 0)
    found: list[Fetched] = []
    async with asyncio.timeout(WAIT_S):
        while not found:
            wake.clear()
            found = reader.take(10, only=1)
            if not found:
                await wake.wait()
    assert {part.partition for part in found} == {1}
    assert values(await taken(reader, wake, 3)) == [b"0"] * 3
    assert reader.take(10, only=7) == []


async def test_the_position_passes_aborted_records_and_markers(world: World) -> None:
    cluster = await world.cluster("i0")
    wake = asyncio.Event()
    reader = await cluster.open_input(wake.set)
    await world.feed(0, [(b"k", b"0")])
    await world.feed_transaction(0, [(b"k", b"aborted")] * 2, committed=False)
    await world.feed_transaction(0, [(b"k", b"1")], committed=True)
    await world.feed_transaction(0, [(b"k", b"aborted")], committed=False)
    reader.seek(0, 0)
    position, found = 0, []
    async with asyncio.timeout(WAIT_S):
        while position < 8:  # 1, 2 + marker, 1 + marker, 1 + marker
            wake.clear()
            parts = reader.take(100)
            found += parts
            position = parts[-1].position if parts else position
            if not parts:
                await wake.wait()
    assert values(found) == [b"0", b"1"]
    assert position == 8
    assert reader.lag(0) == 0


async def test_input_below_the_beginning_is_lost_by_name(world: World) -> None:
    cluster = await world.cluster("i0")
    await world.feed(0, [(b"k", b"%d" % n) for n in range(10)])
    await world.remove_input(0, 6)
    assert await cluster.input_bounds(0) == (6, 10)
    wake = asyncio.Event()
    reader = await cluster.open_input(wake.set)
    reader.seek(0, 2)
    with pytest.raises(InputLost) as caught:
        await taken(reader, wake, 1)
    assert caught.value.partition == 0
    reader.seek(0, 6)
    assert values(await taken(reader, wake, 4)) == [b"6", b"7", b"8", b"9"]


async def test_the_bounds_count_control_records(world: World) -> None:
    cluster = await world.cluster("i0")
    assert await cluster.input_bounds(1) == (0, 0)
    await world.feed(1, [(b"k", b"x")])
    await world.feed_transaction(1, [(b"k", b"y")], committed=False)
    async with asyncio.timeout(WAIT_S):
        while (bounds := await cluster.input_bounds(1)) != (0, 3):  # the marker follows the answer
            assert bounds == (0, 2)


async def test_a_record_is_found_at_exactly_its_offset_and_nothing_in_a_hole(world: World) -> None:
    cluster = await world.cluster("i0")
    await world.feed_transaction(0, [(b"k", b"aborted")], committed=False)
    async with asyncio.timeout(WAIT_S):
        while (bounds := await cluster.input_bounds(0)) != (0, 2):  # the marker follows the answer
            assert bounds == (0, 1)
    await world.feed(0, [(b"k", b"x"), (None, b"y")])
    found = [await cluster.input_record(0, offset) for offset in range(4)]
    assert [None if record is None else (record.key, record.value) for record in found] == [
        None,
        None,
        (b"k", b"x"),
        (None, b"y"),
    ]


async def _visible(world: World, role: str, partition: int, expected: list[tuple[bytes, bytes]] | None) -> None:
    """Markers follow the answer to EndTxn: wait until a reader sees (something, or exactly this)."""
    async with asyncio.timeout(WAIT_S):
        while True:
            found = await world.committed(role, partition)
            if found == expected or (expected is None and len(found) > 1):
                return
            if expected is not None:
                assert found == expected[: len(found)]
            await asyncio.sleep(0.01)


async def _group_offset(world: World, partition: int, expected: int) -> None:
    """The group's marker follows too."""
    async with asyncio.timeout(WAIT_S):
        while (found := await world.group_offset(partition)) != expected:
            assert found is None
            await asyncio.sleep(0.01)
