"""What a version writes is kept:

    python -m tests.golden VERSION                     this version's: records, applications, format, digests
    python -m tests.golden NAME --sources FOLDER       applications alone, by the version whose sources are there

Whoever releases a version runs the first.
"""

import argparse
from pathlib import Path

from tests.golden.formats import keep_format
from tests.golden.kept import DIGESTS, FOLDER, GOLDEN, SUFFIX, digests, kept_files, write_application
from tests.golden.recording import KINDS, record
from tests.golden.samples import golden_files

ROOT = GOLDEN.parents[1]

parser = argparse.ArgumentParser(prog="python -m tests.golden")
parser.add_argument("version")
parser.add_argument("--sources", type=Path, default=ROOT)
given = parser.parse_args()

# A folder that is there already ends this: what is kept never changes.
if given.sources == ROOT:
    keep_format()
    (GOLDEN / given.version).mkdir()
    for name, content in golden_files().items():
        (GOLDEN / given.version / name).write_bytes(content)
(FOLDER / given.version).mkdir()
for kind in KINDS:
    write_application(FOLDER / given.version / f"{kind}{SUFFIX}", record(kind, given.sources))
known = DIGESTS.read_text().splitlines()
new = [line for line in digests(kept_files()) if line.split()[1] not in {listed.split()[1] for listed in known}]
DIGESTS.write_text("\n".join([*known, *new]) + "\n")
