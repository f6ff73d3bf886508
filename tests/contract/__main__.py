"""``python -m tests.contract --sequences N --seed S [--json]``: random sequences, on the model and on Apache Kafka.

Exit code 1 where the two differ; the sequence is then printed, as short as it can be made.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections import Counter

from processor.backends.embedded import EmbeddedKafka
from tests.contract.kafka_rig import KafkaRig
from tests.contract.operations import sequence
from tests.contract.sequences import compare, shrink
from tests.kafka.fixtures import QUICK_SETTINGS


async def run(bootstrap_servers: str, sequences: int, seed: int) -> dict[str, object]:
    """Counts, and the first difference."""
    kafka = KafkaRig(bootstrap_servers)
    answers: Counter[str] = Counter()
    differences: list[str] = []
    done = 0
    began = time.monotonic()
    await kafka.open()
    try:
        for number in range(sequences):
            operations = sequence(seed * 1_000_003 + number)
            difference, answered = await compare(operations, kafka)
            done += 1
            answers.update(answered)
            if difference is not None:
                smallest = await shrink(operations, kafka)
                difference = (await compare(smallest, kafka))[0] or difference
                steps = "\n".join(f"    {operation}," for operation in smallest)
                differences.append(f"sequence {number} of seed {seed}: {difference}\n[\n{steps}\n]")
                break
    finally:
        await kafka.shut()
    return {
        "seed": seed,
        "sequences": done,
        "operations": sum(answers.values()),
        "answers": dict(sorted(answers.items())),
        "differences": differences,
        "seconds": round(time.monotonic() - began, 1),
    }


def main() -> int:
    """On a Kafka of its own."""
    parser = argparse.ArgumentParser(prog="python -m tests.contract", description=__doc__)
    parser.add_argument("--sequences", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--bootstrap-servers", help="a Kafka of one node that runs already")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.bootstrap_servers is not None:
        summary = asyncio.run(run(options.bootstrap_servers, options.sequences, options.seed))
    else:
        with EmbeddedKafka(properties=QUICK_SETTINGS) as broker:
            summary = asyncio.run(run(broker.bootstrap_servers, options.sequences, options.seed))
    if options.json:
        print(json.dumps(summary))
    else:
        for name, value in summary.items():
            print(f"{name:12} {value}")
    for difference in summary["differences"]:  # type: ignore[attr-defined]
        print(difference, file=sys.stderr)
    return 1 if summary["differences"] else 0


if __name__ == "__main__":
    sys.exit(main())
