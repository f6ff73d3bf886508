"""The life of a task.

::

    CREATED ──► RESTORING ──► RUNNING ──► KEPT ──► RESTORING / RUNNING / CLOSED
                    │            │
                    │            ├──► RESTORING   after a doubt, while not clean
                    ▼            ▼
                  HALTED ◄───────┘                what cannot go on, with its cause
    CREATED, KEPT ──► HALTED                      what may not even begin: its barrier is refused
    every state ──► CLOSED                        the partition went elsewhere
"""

from __future__ import annotations

from enum import Enum


class TaskState(Enum):
    """Where a task is in its life."""

    CREATED = "created"  # assigned, nothing read yet
    RESTORING = "restoring"  # reading its changelog up to the barrier
    RUNNING = "running"  # reads its input
    KEPT = "kept"  # revoked while clean: may go on without a restore if nobody wrote in between
    HALTED = "halted"  # cannot go on; says why; the others do
    CLOSED = "closed"  # gone

    @property
    def successors(self) -> frozenset[TaskState]:
        """The states that may follow."""
        return _SUCCESSORS[self]


_SUCCESSORS = {
    TaskState.CREATED: frozenset({TaskState.RESTORING, TaskState.HALTED, TaskState.CLOSED}),
    TaskState.RESTORING: frozenset({TaskState.RESTORING, TaskState.RUNNING, TaskState.HALTED, TaskState.CLOSED}),
    TaskState.RUNNING: frozenset({TaskState.RESTORING, TaskState.KEPT, TaskState.HALTED, TaskState.CLOSED}),
    TaskState.KEPT: frozenset({TaskState.RESTORING, TaskState.RUNNING, TaskState.HALTED, TaskState.CLOSED}),
    TaskState.HALTED: frozenset({TaskState.CLOSED}),
    TaskState.CLOSED: frozenset(),
}
