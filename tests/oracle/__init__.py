"""The oracle: committed output has exactly one right value, the fold of the loop over the committed input.

    log = await read_topic(bootstrap_servers, topic)             # what any read_committed consumer sees, and the ends
    expected = replay(settings, log.records)                     # one fold per partition, in this process
    found = await verdict(settings, acknowledged=...)            # every difference, named by check

The checks: O1 content of actions, metrics and dead letters; O2 progress and group offset; O3 the folded changelog;
O5 no open transaction; O6 what a reader saw that was there all the time (`live.py`); O7 the input is what its producer
got acknowledged.

O4, that a transaction is visible everywhere or nowhere, needs no records of its own: the progress record and the group
offset are in the same transaction as the outputs and states of the input they speak for.  Outputs without progress are
computed again by whoever restores (O1: twice), progress without outputs never (O1: missing), states without progress
meet their input again (O3), and a group offset alone differs from its progress (O2).  Later commits could only hide a
torn one whose states are overwritten, so O1 to O3 are also checked in between, at moments at which nobody commits and
up to each partition's progress then (`compare(..., drained=False)`): the campaign kills all workers at once for that.

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
