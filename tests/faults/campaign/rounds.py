"""Rounds: so many faults of one kind on one stage, decided by the campaign's seed and the round's number alone."""

from __future__ import annotations

import hashlib
from typing import Literal, NamedTuple, get_args

Kind = Literal["kills", "zombies", "broker-faults", "doubts"]
KINDS: tuple[Kind, ...] = get_args(Kind)

# Small enough that a round is repeated in a minute or two, large enough that its faults fall upon each other.
FAULTS_PER_ROUND: dict[Kind, int] = {"kills": 40, "zombies": 10, "broker-faults": 12, "doubts": 30}


class Round(NamedTuple):
    """Faults ``first`` (from 0) to ``first + faults - 1`` of a kind; ``seed`` is the campaign's."""

    kind: Kind
    number: int
    first: int
    faults: int
    seed: int

    @property
    def own_seed(self) -> int:
        """A seed that no other round of any campaign has."""
        return derived(self.seed, self.kind, self.number)

    @property
    def name(self) -> str:
        """As `--round` takes it."""
        return f"{self.kind}:{self.number}"


def rounds(kind: Kind, total: int, seed: int) -> list[Round]:
    """All rounds of a kind; the last one may be smaller."""
    most = FAULTS_PER_ROUND[kind]
    return [
        Round(kind, number, first, min(most, total - first), seed)
        for number, first in enumerate(range(0, total, most), 1)
    ]


def derived(seed: int, *what: str | int) -> int:
    """A seed for a part of what a seed decides."""
    text = "/".join(map(str, (seed, *what)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4])
