"""Playing rounds one after the other; a round that fails is told with what repeats exactly that round."""

from __future__ import annotations

import shutil
import time
import traceback
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

from processor.backends.embedded import EmbeddedKafka
from tests.faults.campaign.brokers import broker_faults
from tests.faults.campaign.doubts import doubts
from tests.faults.campaign.kills import kills
from tests.faults.campaign.report import Tally
from tests.faults.campaign.rounds import Kind, Round
from tests.faults.campaign.zombies import zombies

Work = Callable[[EmbeddedKafka, Path, Round, Tally], Awaitable[None]]


async def _broker_faults(kafka: EmbeddedKafka, folder: Path, part: Round, tally: Tally) -> None:
    await broker_faults(kafka, folder, part.faults, part.own_seed, tally)


async def _doubts(kafka: EmbeddedKafka, folder: Path, part: Round, tally: Tally) -> None:
    await doubts(kafka.bootstrap_servers, folder, part.faults, part.own_seed, tally)


WORK: dict[Kind, Work] = {"kills": kills, "zombies": zombies, "broker-faults": _broker_faults, "doubts": _doubts}


async def play(
    kafka: EmbeddedKafka,
    parts: Iterable[Round],
    folder: Path,
    tally: Tally,
    *,
    command: Callable[[Round], str],
    tell: Callable[[str], None],
) -> None:
    """Play these rounds on a running cluster.

    A broken promise, and whatever else ends a round early, is a violation: its text tells seed, first difference,
    journals and the ``command`` that repeats the round.  The next round goes on.  Each round has a folder below
    ``folder``, removed when nothing was found in it.
    """
    for part in parts:
        began_s, known = time.monotonic(), len(tally.violations)
        own = folder / part.name.replace(":", "-")
        own.mkdir(parents=True, exist_ok=True)
        tally.playing = part.kind
        try:
            await WORK[part.kind](kafka, own, part, tally)
        except AssertionError as failure:
            tally.violation(str(failure))
        except Exception:  # the rig's own failure proves nothing, so it must not pass
            tally.violation(traceback.format_exc())
        found = len(tally.violations) - known
        if found:
            tally.violations[-1] += (
                f"\nround {part.name}, seed {part.seed}, journals and logs in {own}; to repeat it:\n  {command(part)}"
            )
        else:
            shutil.rmtree(own)
        tell(f"{part.name}: {part.faults} in {time.monotonic() - began_s:.0f} s, {found} violations")
