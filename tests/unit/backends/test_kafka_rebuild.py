"""State written anew: in what order, how often after a doubt, and what is left for others when it fails."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from processor.backends.kafka.rebuild import ATTEMPTS, LostChangelogs, NewState
from processor.config import settings_from
from processor.engine.ports import Header, Token
from processor.errors import Fenced, InDoubt, Refused
from schemas.progress import BARRIER_KEY, PROGRESS_KEY, RESET_PREFIX

SETTINGS = settings_from({"topics": {"partitions": 2}, "engine": {"max_batch_bytes": 1024}})
TOKEN = Token(7, "me", None, frozenset({0, 1}))
Records = list[tuple[bytes, bytes | None]]
Write = Callable[..., Awaitable["OneCluster"]]


class Written:
    """A buffer that keeps what is put there; output must not be."""

    def __init__(self) -> None:
        self.records: Records = []
        self.change: Callable[[bytes, bytes | None], None] = lambda key, value: self.records.append((key, value))

    def action(self, key: bytes | None, value: bytes, headers: list[Header]) -> None:
        raise AssertionError("an action is written")

    def metric(self, key: bytes | None, value: bytes, headers: list[Header]) -> None:
        raise AssertionError("a metric is written")

    def dead_letter(self, key: bytes | None, value: bytes | None, headers: list[Header]) -> None:
        raise AssertionError("a dead letter is written")

    def size(self) -> int:
        return 0


class OneEpoch:
    """Commits what it is told to, unless its cluster says what goes wrong."""

    def __init__(self, cluster: OneCluster) -> None:
        self._cluster = cluster
        self._buffers: dict[int, Written] = {}
        self.closed = False

    def buffer(self, partition: int) -> Written:
        self._buffers[partition] = Written()
        return self._buffers[partition]

    async def add_partitions(self, buffers: Mapping[int, Written]) -> None:
        assert buffers

    async def add_offsets(self) -> None:
        assert not self.closed

    async def produce(self, buffers: Mapping[int, Written]) -> dict[int, int]:
        self._cluster.log_end += 10
        return dict.fromkeys(buffers, self._cluster.log_end)

    async def commit_offsets(self, token: Token, positions: Mapping[int, int]) -> None:
        assert token is TOKEN
        assert set(positions) == set(self._buffers)
        self._positions = dict(positions)

    async def end(self) -> None:
        if self._cluster.troubles and (trouble := self._cluster.troubles.pop(0)) is not None:
            raise trouble
        self._cluster.committed.append(({p: b.records for p, b in self._buffers.items()}, self._positions))
        self._buffers = {}

    async def close(self) -> None:
        self.closed = True


class OneCluster:
    """The parts of `KafkaCluster` that are used, with these records in the changelogs."""

    def __init__(self, held: Mapping[int, Records] | None = None, troubles: Sequence[Exception | None] = ()) -> None:
        self.held = held or {}
        self.troubles = list(troubles)
        self.log_end = 101
        self.committed: list[tuple[dict[int, Records], dict[int, int]]] = []
        self.epochs: list[OneEpoch] = []

    async def open_epoch(self) -> OneEpoch:
        self.epochs.append(OneEpoch(self))
        return self.epochs[-1]

    async def barrier(self, partition: int, value: bytes) -> int:
        return 100

    async def read_changelog(self, partition: int, barrier: int, each: Any, waiting: Any) -> bool:
        assert barrier == 100
        for key, value in [*self.held.get(partition, []), (BARRIER_KEY, b"")]:
            each(key, value)
        return True


@pytest.fixture
def write(monkeypatch: pytest.MonkeyPatch) -> Write:
    """As the only member of the group."""

    async def work(cluster: OneCluster, *states: NewState) -> OneCluster:
        @asynccontextmanager
        async def alone(*_: object) -> AsyncIterator[Token]:
            yield TOKEN
            assert all(epoch.closed for epoch in cluster.epochs)

        monkeypatch.setattr("processor.backends.kafka.rebuild.alone", alone)
        lost = LostChangelogs(SETTINGS)
        lost._cluster = cast(Any, cluster)
        await lost.write(states)
        return cluster

    return work


def new(partition: int, records: int, own: Mapping[bytes, bytes] | None = None, committed: int | None = 40) -> NewState:
    state = {b"s%03d" % number: b"x" * 196 for number in range(records)}
    return NewState(partition, own or {}, committed, 50, state, b"progress of %d" % partition)


async def test_state_comes_in_transactions_of_limited_size_and_all_progress_last_in_one(write: Write) -> None:
    cluster = await write(OneCluster(), new(0, 12), new(1, 3, committed=None))
    assert [[len(records) for records in parts.values()] for parts, _ in cluster.committed] == [[6], [6], [3], [1, 1]]
    assert [positions for _, positions in cluster.committed] == [{0: 40}, {0: 40}, {1: 50}, {0: 50, 1: 50}]
    last, _ = cluster.committed[-1]
    assert last == {0: [(PROGRESS_KEY, b"progress of 0")], 1: [(PROGRESS_KEY, b"progress of 1")]}
    keys = [key for parts, _ in cluster.committed[:2] for key, _ in parts[0]]
    assert keys == [b"s%03d" % number for number in range(12)]


async def test_a_progress_record_that_is_replaced_goes_first_and_what_is_left_over_goes_too(write: Write) -> None:
    reset = RESET_PREFIX + b"1"
    own = {PROGRESS_KEY: b"old", reset: b"r"}
    held: Records = [(b"s000", b"old"), (b"sgone", b"left"), (b"sremoved", b"x"), (b"sremoved", None), *own.items()]
    cluster = await write(OneCluster({0: held}), new(0, 1, own))
    assert [parts for parts, _ in cluster.committed] == [
        {0: [(PROGRESS_KEY, None)]},
        {0: [(b"sgone", None), (b"s000", b"x" * 196)]},
        {0: [(PROGRESS_KEY, b"progress of 0")]},
    ]


async def test_an_operators_words_come_with_the_progress_they_led_to(write: Write) -> None:
    """Else those of a rebuild that was killed would be taken for true by the next one."""
    word = RESET_PREFIX + b"1"
    state = new(0, 8)
    cluster = await write(OneCluster(), state._replace(state={word: b"r", **state.state}))
    assert [[key for key, _ in parts[0]] for parts, _ in cluster.committed] == [
        [b"s%03d" % number for number in range(6)],
        [b"s%03d" % number for number in range(6, 8)],
        [word, PROGRESS_KEY],
    ]


async def test_after_a_doubt_the_same_is_written_in_a_new_epoch(write: Write) -> None:
    quiet = await write(OneCluster(), new(0, 8))
    troubles = InDoubt("no answer"), None, InDoubt("no answer")
    troubled = await write(OneCluster(troubles=troubles), new(0, 8))
    assert troubled.committed == quiet.committed
    assert (len(quiet.epochs), len(troubled.epochs)) == (1, 3)


@pytest.mark.parametrize(
    ("troubles", "named", "done"),
    [
        ([InDoubt("no answer")] * ATTEMPTS, "no transaction succeeded, last: no answer", 0),
        ([None, Fenced("stale")], "another member joined the group meanwhile, .* used by nobody", 1),
    ],
)
async def test_what_cannot_be_finished_ends_without_progress_and_with_nothing_open(
    troubles: list[Exception | None], named: str, done: int, write: Write
) -> None:
    cluster = OneCluster(troubles=troubles)
    with pytest.raises(Refused, match=named):
        await write(cluster, new(0, 12))
    assert len(cluster.committed) == done
    assert not any(key == PROGRESS_KEY for parts, _ in cluster.committed for key, _ in parts[0])
    assert cluster.epochs[-1]._buffers == {}  # a fresh epoch ended what was open


async def test_where_one_partition_was_written_to_meanwhile_none_is_written(write: Write) -> None:
    cluster = OneCluster({1: [(PROGRESS_KEY, b"somebody's")]})
    with pytest.raises(Refused, match="changelog of partition 1 was written to meanwhile, nothing was changed"):
        await write(cluster, new(0, 3), new(1, 3))
    assert cluster.committed == []
