"""``python -m topology README.md``: write the declared topology into the document's block ``topology``."""

import sys
from pathlib import Path

from topology import declare, topology_markdown
from topology.blocks import replace_block

path = Path(sys.argv[1])
document = path.read_text(encoding="utf-8")
path.write_text(replace_block(document, "topology", topology_markdown(declare())), encoding="utf-8")
