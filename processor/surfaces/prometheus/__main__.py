"""``python -m processor.surfaces.prometheus``: print the reference of all metrics.

With a document (``README.md``) it is written into the document's block ``metrics`` instead.
"""

import sys
from pathlib import Path

from processor.surfaces.prometheus import metrics_markdown
from topology.blocks import replace_block

if len(sys.argv) < 2:
    print(metrics_markdown(), end="")
else:
    path = Path(sys.argv[1])
    document = path.read_text(encoding="utf-8")
    path.write_text(replace_block(document, "metrics", metrics_markdown()), encoding="utf-8")
