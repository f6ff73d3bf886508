"""Where in an instance's work a fault can be planned, and which."""

from __future__ import annotations

from typing import Literal, get_args

from msgspec import Struct

Step = Literal[
    "open_epoch", "add_partitions", "add_offsets", "produce", "commit_offsets", "end", "barrier", "read_changelog"
]
STEPS: tuple[Step, ...] = get_args(Step)

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
