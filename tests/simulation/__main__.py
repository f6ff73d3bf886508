"""``python -m tests.simulation --events N --seed S [--workers N] [--json] [--sometimes]``

Runs until so many events were committed.  The seed alone decides what happens, however many workers share the runs.
Exit code 1 where a check failed, or where a rare path was not reached by a run long enough for all of them.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from collections import Counter
from hashlib import blake2b

from tests.simulation.plans import RARE, missing
from tests.simulation.runs import EVENTS_PER_RUN, reports

LONG_RUN_EVENTS = 1_000_000  # from here on every rare path must be reached


def cpu_seconds() -> float:
    """Of this process and of its workers that ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def main() -> int:
    """One line per figure, or one line of JSON."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--sometimes", action="store_true", help="every rare path must be reached, in a short run too")
    options = parser.parse_args()
    faults: Counter[str] = Counter()
    sometimes: Counter[str] = Counter()
    violations: list[str] = []
    events = commits = requests = runs = 0
    virtual_s = 0.0
    traces = blake2b(digest_size=16)
    began = time.monotonic()
    finished = reports(options.seed, min(EVENTS_PER_RUN, options.events), options.workers)
    for report in finished:
        runs += 1
        events += report.events
        commits += report.commits
        requests += report.requests
        virtual_s += report.virtual_s
        faults.update(report.faults)
        sometimes.update(report.sometimes)
        violations += [f"run {runs - 1}: {violation}" for violation in report.violations]
        traces.update(report.trace_hash.encode())
        if events >= options.events or violations:
            break
    finished.close()
    seconds, cpu_s = time.monotonic() - began, cpu_seconds()
    unreached = missing(RARE, sometimes) if options.sometimes or events >= LONG_RUN_EVENTS else []
    summary = {
        "seed": options.seed,
        "events": events,
        "runs": runs,
        "workers": options.workers,
        "checks": commits,
        "requests": requests,
        "virtual_s": round(virtual_s),
        "faults": dict(sorted(faults.items())),
        "sometimes": dict(sorted(sometimes.items())),
        "unreached": unreached,
        "violations": len(violations),
        "first_violations": violations[:5],
        "trace_hash": traces.hexdigest(),
        "seconds": round(seconds, 2),
        "cpu_s": round(cpu_s, 2),
        "events_per_s": round(events / seconds),
        "events_per_cpu_s": round(events / cpu_s),
        "largest_process_mib": max(
            resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
        )
        // 1024,
    }
    if options.json:
        print(json.dumps(summary))
    else:
        for name, value in summary.items():
            print(f"{name:20} {value}")
    if violations:
        print(
            f"repeat the last run: python -c 'from tests.simulation.runs import run_of; "
            f"print(run_of({options.seed}, {runs - 1}, {min(EVENTS_PER_RUN, options.events)}).violations)'",
            file=sys.stderr,
        )
    return 1 if violations or unreached else 0


if __name__ == "__main__":
    sys.exit(main())
