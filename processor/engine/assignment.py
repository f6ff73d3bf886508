"""Who works on which partition: balanced first, then as little moved as possible.

A partition that stays needs no restore (rule R5), so members say what they own and keep it where balance allows.
Pure: every input gives one result, whatever the order of the members.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple


class Owned(NamedTuple):
    """What a member says it owns, and the generation that gave it."""

    generation: int
    partitions: frozenset[int]


def assign(members: Mapping[str, Owned], partitions: Iterable[int]) -> dict[str, list[int]]:
    """Partitions per member: counts differ by at most one, owners keep what they own up to their share.

    Of two members that claim a partition the one with the later generation is believed, then the lesser id.
    """
    wanted = sorted(set(partitions))
    order = sorted(members)
    if not order:
        return {}
    claims: dict[int, str] = {}
    for member in sorted(order, key=lambda name: (-members[name].generation, name)):
        for partition in members[member].partitions:
            claims.setdefault(partition, member)
    share, extra = divmod(len(wanted), len(order))
    result: dict[str, list[int]] = {member: [] for member in order}
    free: list[int] = []
    more = extra  # members that may still hold one above the share
    for partition in wanted:
        owner = claims.get(partition)
        if owner is None or len(result[owner]) > share or (len(result[owner]) == share and more == 0):
            free.append(partition)
            continue
        if len(result[owner]) == share:
            more -= 1
        result[owner].append(partition)
    for partition in free:
        member = min(order, key=lambda name: (len(result[name]), name))
        result[member].append(partition)
    return {member: sorted(owned) for member, owned in result.items()}
