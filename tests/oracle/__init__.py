"""The oracle: committed output has exactly one right value, the fold of the loop over the committed input.

    log = await read_topic(bootstrap_servers, topic)             # what any read_committed consumer sees, and the ends
    expected = replay(settings, log.records)                     # one fold per partition, in this process
    found = await verdict(settings, acknowledged=...)            # every difference, named by check

The checks: O1 content of actions, metrics and dead letters; O2 progress and group offset; O3 the folded changelog;
O5 no open transaction; O7 the input is what its producer got acknowledged.  O4 follows from O1 to O3 at any moment
at which nobody commits (`verdict(..., drained=False)`).

The logs are read with the client library's own consumer, never with the project's reader.
"""

from tests.oracle.committed import Log, LoggedRecord, read_topic
from tests.oracle.replay import Expected, replay
from tests.oracle.verdict import Acknowledged, Difference, compare, verdict

__all__ = [
    "Acknowledged",
    "Difference",
    "Expected",
    "Log",
    "LoggedRecord",
    "compare",
    "read_topic",
    "replay",
    "verdict",
]
