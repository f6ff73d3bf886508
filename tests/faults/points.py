"""Where in an instance's work a fault can be planned, and which."""

from __future__ import annotations

from typing import Literal, get_args

from msgspec import Struct

Step = Literal[
    "open_epoch", "add_partitions", "add_offsets", "produce", "commit_offsets", "end", "barrier", "read_changelog"
]
STEPS: tuple[Step, ...] = get_args(Step)
# Before and after every step.
POINTS = tuple(f"{when} {step}" for step in STEPS for when in ("before", "after"))
# Reached once for an instance, or once for a partition it gets; the others at every commit.
STARTING_STEPS: frozenset[Step] = frozenset({"open_epoch", "barrier", "read_changelog"})

# kill: SIGKILL itself.  stop: SIGSTOP itself.  hold: wait for the word "go" on standard input.
Action = Literal["kill", "stop", "hold"]


class Fault(Struct, frozen=True):
    """At the ``occurrence``-th time (from 1) that ``point`` is reached after this was planned, act.

    ``point`` is ``before STEP``, ``after STEP`` (answered with success) or ``refused STEP`` (ended with an error).
    """

    point: str
    occurrence: int
    action: Action

    def __post_init__(self) -> None:
        when, _, step = self.point.partition(" ")
        assert when in ("before", "after", "refused"), self.point
        assert step in STEPS, self.point
