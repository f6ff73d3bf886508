"""State from input: a changelog that was lost is derived again, by the fold that a processor runs.

The committed output shows whether that is the state that was lost: everything derived is held against it, with the
pieces of the audit.  Nothing but the changelog is written.
"""

from processor.surfaces.rebuild.partition import rebuild_partition
from processor.surfaces.rebuild.report import RebuildReport, RebuiltPartition, Words

__all__ = ["RebuildReport", "RebuiltPartition", "Words", "rebuild_partition"]
