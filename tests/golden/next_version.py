"""The processor as its next version might be: formats raised by one, a field more in each session's record.

    python -m tests.golden.next_version run ...        as `creative-feedback`

Everything else is this version's: what the two disagree on is the format alone.
"""

from __future__ import annotations

import importlib.metadata
from typing import Any

from schemas import progress, state_records

VERSION = "99.0.0"
ADDED = "a later version was here"


class SessionRecord(state_records.SessionRecord, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """With one field more."""

    remark: str = ADDED


def become_next_version() -> None:
    """Change what the processor's modules are about to import; none of them may have been imported."""
    told = importlib.metadata.version
    changes: dict[Any, dict[str, Any]] = {
        importlib.metadata: {"version": lambda name: VERSION if name == "creative-feedback" else told(name)},
        state_records: {"FORMAT": state_records.FORMAT + 1, "SessionRecord": SessionRecord},
        progress: {"FORMAT": progress.FORMAT + 1},
    }
    for module, attributes in changes.items():
        for name, value in attributes.items():
            setattr(module, name, value)


if __name__ == "__main__":
    become_next_version()

    from processor.app import main

    main()
