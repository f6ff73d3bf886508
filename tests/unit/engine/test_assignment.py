"""Assignment: balanced, nothing moved without need, the same whoever asks first."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from processor.engine.assignment import Owned, assign

PARTITIONS = st.integers(0, 12).map(range)
CLAIMS = st.dictionaries(
    st.sampled_from("abcdefg"),
    st.builds(Owned, st.integers(-1, 3), st.frozensets(st.integers(0, 14), max_size=14)),
    max_size=7,
)


@given(CLAIMS, PARTITIONS)
def test_every_partition_has_one_owner_and_counts_differ_by_one_at_most(
    members: dict[str, Owned], partitions: range
) -> None:
    result = assign(members, partitions)
    assert set(result) == set(members)
    if members:
        assert sorted(p for owned in result.values() for p in owned) == list(partitions)
        counts = [len(owned) for owned in result.values()]
        assert max(counts) - min(counts) <= 1


@given(CLAIMS, PARTITIONS, st.randoms(use_true_random=False))
def test_the_order_of_members_and_partitions_does_not_matter(
    members: dict[str, Owned], partitions: range, random: st.DataObject
) -> None:
    shuffled, numbers = list(members.items()), list(partitions)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    random.shuffle(numbers)  # type: ignore[attr-defined]
    assert assign(dict(shuffled), numbers) == assign(members, partitions)


def most_that_can_stay(owned: Counter[str], members: int, partitions: int) -> int:
    """By balance alone: each owner up to the share, and as many of them one above it as there are partitions over."""
    share, extra = divmod(partitions, members)
    above = sum(1 for count in owned.values() if count > share)
    return sum(min(count, share) for count in owned.values()) + min(above, extra)


@given(CLAIMS, PARTITIONS)
def test_nothing_moves_that_balance_lets_stay(members: dict[str, Owned], partitions: range) -> None:
    if not members:
        return
    believed: dict[int, str] = {}
    for name in sorted(members, key=lambda name: (-members[name].generation, name)):
        for partition in members[name].partitions & set(partitions):
            believed.setdefault(partition, name)
    result = assign(members, partitions)
    stayed = sum(1 for partition, name in believed.items() if partition in result[name])
    assert stayed == most_that_can_stay(Counter(believed.values()), len(members), len(partitions))


@given(CLAIMS, PARTITIONS)
def test_what_was_assigned_is_assigned_again(members: dict[str, Owned], partitions: range) -> None:
    result = assign(members, partitions)
    again = {name: Owned(9, frozenset(owned)) for name, owned in result.items()}
    assert assign(again, partitions) == result


def test_the_later_generation_is_believed() -> None:
    members = {"a": Owned(1, frozenset({0, 1})), "b": Owned(2, frozenset({1}))}
    assert assign(members, range(2)) == {"a": [0], "b": [1]}


def test_without_members_there_is_no_assignment() -> None:
    assert assign({}, range(3)) == {}
