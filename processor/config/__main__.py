"""``python -m processor.config README.md``: write the reference of all keys into the block ``settings``."""

import sys
from pathlib import Path

from processor.config import settings_markdown
from topology.blocks import replace_block

path = Path(sys.argv[1])
document = path.read_text(encoding="utf-8")
path.write_text(replace_block(document, "settings", settings_markdown()), encoding="utf-8")
