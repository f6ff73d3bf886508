"""``python -m tests.golden VERSION``: keep the bytes of a new version."""

import sys
from pathlib import Path

from tests.golden.samples import golden_files

folder = Path(__file__).parent / sys.argv[1]
folder.mkdir()  # fails where the version is kept already: golden bytes never change
for name, content in golden_files().items():
    (folder / name).write_bytes(content)
