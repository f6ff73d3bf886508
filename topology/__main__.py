"""``python -m topology README.md``: write what is declared into the document's blocks ``topology`` and ``acls``."""

import sys
from pathlib import Path

from topology import acls_markdown, declare, topology_markdown
from topology.blocks import replace_block

APPLICATION_ID = "creative-feedback"  # the default of engine.application_id, which the topology does not know

path = Path(sys.argv[1])
document = path.read_text(encoding="utf-8")
document = replace_block(document, "topology", topology_markdown(declare()))
document = replace_block(document, "acls", acls_markdown(declare(), APPLICATION_ID))
path.write_text(document, encoding="utf-8")
