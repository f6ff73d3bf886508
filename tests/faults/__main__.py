"""Faults on a real Apache Kafka.

``campaign``: as many as asked for, proven by the oracle.  ``health``: what the probes said of each.
"""

from __future__ import annotations

import argparse
import logging
import shlex
import sys
import tempfile
import time
from itertools import groupby
from pathlib import Path

import msgspec

from processor.surfaces.cli.event_loop import run_async
from tests.faults.campaign.play import play
from tests.faults.campaign.report import Tally, table
from tests.faults.campaign.rounds import FAULTS_PER_ROUND, KINDS, Kind, Round, rounds
from tests.faults.health import scenes
from tests.faults.health.sighting import table as sightings_table
from tests.kafka.fixtures import running_kafka

EXAMPLES = """\
examples:
  python -m tests.faults campaign --kills 1000 --zombies 60 --broker-faults 60 --doubts 300 --seed 7 --json
  python -m tests.faults campaign --kills 1000 --seed 7 --round kills:17     only that round of the same campaign

A round is decided by the seed and its number alone. Ends with 1 if a promise was broken, with 2 on wrong usage.
"""

WHAT: dict[Kind, str] = {
    "kills": "SIGKILL of a worker: half at named points of the commit cycle, half at any moment",
    "zombies": "SIGSTOP past the session time-out, takeover by others, SIGCONT",
    "broker-faults": "kills, pauses and moves of brokers; always on three nodes",
    "doubts": "lost, late and repeated requests and replies of the protocol",
}
THREE = 3


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    commands = made.add_subparsers(dest="command", required=True)
    campaign = commands.add_parser(
        "campaign",
        description="Kill, freeze and disturb real processes and brokers; compare everything committed with a replay.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    for kind in KINDS:
        campaign.add_argument(f"--{kind}", type=_count, default=0, metavar="N", help=WHAT[kind])
    campaign.add_argument(
        "--seed", type=int, default=1, metavar="S", help="decides everything but the timing; default 1"
    )
    campaign.add_argument(
        "--nodes", type=int, choices=(1, THREE), default=1, help="brokers for kills, zombies and doubts; default 1"
    )
    campaign.add_argument(
        "--secure", action="store_true", help="workers and load log in over TLS, with the access they need and no more"
    )
    campaign.add_argument("--round", metavar="KIND:NUMBER", help="play this round only, as a failure tells")
    campaign.add_argument("--folder", type=Path, metavar="DIR", help="for journals and logs; default: a temporary one")
    campaign.add_argument("--json", action="store_true", help="one JSON object on standard output")
    health = commands.add_parser("health", description="Cause what the probes are for; print what they said of it.")
    health.add_argument(
        "--stuck-after-ms", type=_count, default=scenes.STUCK_AFTER_MS, metavar="MS",
        help=f"http.stuck_after_ms; default {scenes.STUCK_AFTER_MS}, a fifth of the product's",
    )  # fmt: skip
    return made


def main(arguments: list[str]) -> int:
    """The program; returns the exit code."""
    options = parser().parse_args(arguments)
    if options.command == "health":
        return health(options.stuck_after_ms)
    asked = {kind: getattr(options, kind.replace("-", "_")) for kind in KINDS}
    parts = [part for kind in KINDS for part in rounds(kind, asked[kind], options.seed)]
    if options.round is not None:
        parts = [part for part in parts if part.name == options.round]
    if not parts:
        print(f"nothing to do: {_nothing(options.round)}", file=sys.stderr)
        return 2
    folder = Path(tempfile.mkdtemp(prefix="creative-feedback-campaign-")) if options.folder is None else options.folder

    def nodes(part: Round) -> int:
        return THREE if part.kind == "broker-faults" else options.nodes

    def command(part: Round) -> str:
        words = ["python", "-m", "tests.faults", "campaign", f"--{part.kind}", str(asked[part.kind])]
        words += ["--seed", str(part.seed), "--round", part.name]
        words += ["--nodes", str(options.nodes)] if options.nodes != 1 else []
        words += ["--secure"] if options.secure else []
        return shlex.join(words)

    def tell(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # clients complain of every fault; the oracle tells
    began_s, tally = time.monotonic(), Tally()
    for count, same in groupby(parts, nodes):
        with running_kafka(count, secure=options.secure) as kafka:
            run_async(play(kafka, same, folder, tally, command=command, tell=tell))
    summary = tally.summary(options.seed, time.monotonic() - began_s)
    print(msgspec.json.encode(summary).decode() if options.json else table(summary))
    if not summary.violations and options.folder is None:
        folder.rmdir()
    return 1 if summary.violations else 0


def health(stuck_after_ms: int) -> int:
    """About a minute; raises where a probe did not tell what it should have told."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    with (
        tempfile.TemporaryDirectory(prefix="creative-feedback-health-") as folder,
        running_kafka(secure=False) as kafka,
    ):

        def tell(line: str) -> None:
            print(line, file=sys.stderr, flush=True)

        seen = run_async(scenes.play(kafka, Path(folder), stuck_after_ms, tell))
    print(sightings_table(seen))
    return 0


def _nothing(name: str | None) -> str:
    if name is None:
        return "give at least one of " + ", ".join(f"--{kind} N" for kind in KINDS)
    return f"no round {name} with these numbers: give the campaign's own, rounds have {FAULTS_PER_ROUND} faults"


def _count(text: str) -> int:
    number = int(text)
    if number < 0:
        raise ValueError(text)
    return number


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
