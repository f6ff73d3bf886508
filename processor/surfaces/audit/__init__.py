"""Committed output against the fold of the committed input.

`Auditor` follows the topics while they grow, as the demo does.  `audit` re-derives a range of each partition under
the settings that the changelog's eras record, and compares everything in it: outputs with key, value and headers,
and where all of a partition is covered its state and its progress record.
"""

from processor.surfaces.audit.partition import Told, audit_partition
from processor.surfaces.audit.report import CANNOT, DIFFERENT, EQUAL, AuditReport, Difference, PartitionReport
from processor.surfaces.audit.running import Auditor, Entry, Output, source_offset
from processor.surfaces.audit.span import Span

__all__ = [
    "CANNOT",
    "DIFFERENT",
    "EQUAL",
    "AuditReport",
    "Auditor",
    "Difference",
    "Entry",
    "Output",
    "PartitionReport",
    "Span",
    "Told",
    "audit_partition",
    "source_offset",
]
