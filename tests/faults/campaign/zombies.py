"""Zombies: a worker that is frozen until others have taken its partitions, and then goes on where it stood."""

from __future__ import annotations

import asyncio
import signal
import time
from pathlib import Path

from processor.backends.embedded import EmbeddedKafka
from tests.faults.campaign.crews import MOST_COMMITS, MOST_WAIT_S, RATE, crew_stage, workers_of
from tests.faults.campaign.report import Tally
from tests.faults.campaign.rounds import Round
from tests.faults.instance import Instance
from tests.faults.points import Fault
from tests.faults.stage import Stage

# None: at any moment.  Before TxnOffsetCommit everything is written and nothing speaks for it; before EndTxn all of
# it could become visible.
WAYS = (None, "before commit_offsets", "before end")
RANDOM = "any moment"

# Such a worker does not give up its transaction by its own clock: it goes on and hears the broker's word.
PATIENCE_S = 60.0


async def zombies(kafka: EmbeddedKafka, folder: Path, part: Round, tally: Tally) -> None:
    """One round: two or three workers, by turns with static and dynamic membership; the first is patient."""
    names = workers_of(part)
    async with crew_stage(kafka, folder, part) as scenario:
        patience = {names[0]: PATIENCE_S}
        workers = {name: await scenario.start(name, patience_s=patience.get(name)) for name in names}
        await scenario.working(*workers.values())
        scenario.load.begin(RATE)
        for index in range(part.first, part.first + part.faults):
            point = WAYS[index % len(WAYS)]
            zombie = workers[scenario.dice.choice(names)]
            await freeze(scenario, zombie, point)
            frozen_at_s = time.monotonic()
            await scenario.working(*(worker for worker in workers.values() if worker is not zombie))
            tally.fired("zombie", point or RANDOM)
            tally.recovered(time.monotonic() - frozen_at_s)
            woken = len(zombie.journal)
            zombie.signal(signal.SIGCONT)
            await scenario.working(*workers.values())
            for line in zombie.journal[woken:]:
                if line["what"] == "refused":
                    tally.observed(f"woken zombie: {line['step']} refused with {line['error']}")
        tally.checked(await scenario.proven())


async def freeze(scenario: Stage, zombie: Instance, point: str | None) -> None:
    """SIGSTOP at one of the next commits."""
    since, commits = len(zombie.journal), scenario.dice.randrange(1, MOST_COMMITS + 1)
    if point is not None:
        zombie.plan(Fault(point, commits, "stop"))
        await zombie.line("fault", after=since)
        return
    seen = len(zombie.lines("offsets"))
    await scenario.until("some commits", lambda: len(zombie.lines("offsets")) >= seen + commits)
    await asyncio.sleep(scenario.dice.uniform(0, MOST_WAIT_S))  # the moment itself is what is random here
    zombie.signal(signal.SIGSTOP)
