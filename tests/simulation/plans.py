"""The kinds of runs, and the rare paths that all of them together must take."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from tests.simulation.network import Fate
from tests.simulation.simulation import POINTS, TUNING

# Little patience at a revocation and a group that never rests: transactions outlive their assignment.
HASTY: dict[str, Any] = {
    "tuning": replace(TUNING, revoke_timeout_s=0.02),
    "instances": 4,
    "faults": {"trouble": 4, "leave": 4, "kill": 2, "long pause": 1},
}

PLANS: dict[str, dict[str, Any]] = {
    "everything": {},
    "static membership": {"static_membership": True},
    "static members leave": {"static_membership": True, "leave_on_stop": True},
    "hasty": HASTY,
    "storm": {"fault_pause_s": 0.15, "instances": 5, "partitions": 6},
    "late EndTxn": {"often": {("end", Fate.LATE): 0.2}},
    "unanswered": {
        "often": {
            ("add_partitions", Fate.LATE): 0.05,
            ("produce", Fate.LATE): 0.1,
            ("commit_offsets", Fate.UNANSWERED): 0.1,
            ("end", Fate.UNANSWERED): 0.1,
        }
    },
}

# How often each kind comes in a long run.
ROTATION = ("everything", "everything", "static membership", "everything", "hasty", "everything", "storm", "everything",
            "late EndTxn", "everything", "static members leave", "unanswered")  # fmt: skip

REPEATED = ("add_partitions", "add_offsets", "produce", "init", "barrier", "fetch")

# Without these a run was too tame to say anything.  A few virtual seconds take them all.
COMMON = frozenset(
    {
        "crashed at an await",
        "end took effect unanswered",
        "kept through a rebalance",
        "new epoch",
        "partition halted",
        "restore waited for an open transaction",
        "restored",
        "stale generation fenced",
        "transaction timed out",
        "zombie resumed",
    }
)

# A long run takes these too.
RARE = COMMON | {
    "asked an isolated leader of input",
    "batch too large",
    "changelog cut while reading",
    "exit InstanceIdInUse",
    "kept before its last marker was written",
    "killed while restoring",
    "restore slower than the session time-out",
    "static member replaced without a rebalance",
    "transaction not answered in time",
    *(f"copy of {kind} arrived" for kind in REPEATED),
    *(f"late {kind} refused" for kind in ("add_partitions", "add_offsets", "produce", "commit_offsets", "end")),
    *(f"{kind} took effect unanswered" for kind in (*REPEATED, "commit_offsets")),
    *(f"struck before {point}" for point in POINTS),
    *(f"struck at {point}" for point in POINTS),
}


def missing(paths: Iterable[str], sometimes: Mapping[str, int]) -> list[str]:
    """Those that nothing reached."""
    return sorted(path for path in paths if not sometimes.get(path))
