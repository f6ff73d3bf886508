"""Metrics for Prometheus.

- ``names``: every metric declared once
- ``adding_up``: counters and histograms, from beats
- ``standing``: gauges, from the latest beat of every worker
- ``exposition``: both as text
- ``table``: the reference for people

1. What is shown was committed: beats tell of transactions after the broker's word. A worker that dies takes its last
   100 ms with it: the counters are for graphs, the topics are the truth.
2. No label grows with the input: no session, no offset.
"""

from processor.surfaces.prometheus.exposition import Exposition
from processor.surfaces.prometheus.names import ALL, Declared
from processor.surfaces.prometheus.table import metrics_markdown

__all__ = ["ALL", "Declared", "Exposition", "metrics_markdown"]
