"""``python -m tests.fuzz --inputs N --seed S``: exit code 1 where a rule was broken."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from random import Random

import msgspec

from tests.fuzz.campaign import TARGET_CHUNK, Campaign, Report
from tests.fuzz.inputs import CORPUS, read_case
from tests.fuzz.targets import TARGETS
from tests.fuzz.worker import EVENTS


def main() -> int:
    """Run what the options ask for."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2, help="processes, an even number: each judge has its twin")
    parser.add_argument("--target", choices=[EVENTS, *TARGETS], help="one target alone")
    parser.add_argument("--corpus", type=Path, default=CORPUS, metavar="DIR")
    parser.add_argument("--frozen", action="store_true", help="add nothing to the corpus")
    parser.add_argument("--failures", type=Path, default=Path(tempfile.gettempdir()), metavar="DIR")
    parser.add_argument("--repeat", type=Path, metavar="FILE", help="one case that failed")
    parser.add_argument("--chunk", type=int, metavar="SEED", help="one chunk of a target that failed")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.workers < 2 or options.workers % 2:
        parser.error("--workers: an even number of at least 2, because each judge has its twin")
    campaign = Campaign(options.seed, options.corpus, options.failures, keep=not options.frozen)
    report: Report
    if options.repeat is not None:
        report = campaign.repeat(options.repeat, read_case(options.repeat))
    elif options.chunk is not None:
        findings = TARGETS[options.target](Random(f"{options.target} {options.chunk}"), TARGET_CHUNK)
        report = Report(options.seed, TARGET_CHUNK, findings=len(findings), first_findings=findings)
    else:
        report = campaign.run(options.inputs, options.workers, options.target)
    if options.json:
        print(msgspec.json.encode(report).decode())
    else:
        print(report.text())
        for finding in report.first_findings:
            print(finding, file=sys.stderr)
    return 1 if report.findings else 0


if __name__ == "__main__":
    sys.exit(main())
