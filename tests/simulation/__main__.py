"""``python -m tests.simulation --events N --seed S [--json]``: runs until so many events were committed."""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
from collections import Counter
from hashlib import blake2b

from tests.simulation.simulation import Plan, simulate

EVENTS_PER_RUN = 20_000
EVENTS_PER_S = 1_500.0  # virtual: faults meet transactions of about thirty records


def main() -> int:
    """Exit code 1 where a check failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    faults: Counter[str] = Counter()
    sometimes: Counter[str] = Counter()
    violations: list[str] = []
    events = commits = requests = runs = 0
    traces = blake2b(digest_size=16)
    began = time.monotonic()
    while events < options.events and not violations:
        seed = options.seed * 1_000_003 + runs
        report = simulate(Plan(seed, events=min(EVENTS_PER_RUN, options.events - events), events_per_s=EVENTS_PER_S))
        runs += 1
        events += report.events
        commits += report.commits
        requests += report.requests
        faults.update(report.faults)
        sometimes.update(report.sometimes)
        violations += [f"seed {seed}: {violation}" for violation in report.violations]
        traces.update(report.trace_hash.encode())
    seconds = time.monotonic() - began
    summary = {
        "seed": options.seed,
        "events": events,
        "runs": runs,
        "checks": commits,
        "requests": requests,
        "faults": dict(sorted(faults.items())),
        "sometimes": dict(sorted(sometimes.items())),
        "violations": len(violations),
        "first_violations": violations[:5],
        "trace_hash": traces.hexdigest(),
        "seconds": round(seconds, 2),
        "events_per_s": round(events / seconds),
    }
    if options.json:
        print(json.dumps(summary))
    else:
        for name, value in summary.items():
            print(f"{name:18} {value}")
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
