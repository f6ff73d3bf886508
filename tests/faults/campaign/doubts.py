"""Protocol doubts: a request, a reply or a connection of the commit cycle is lost, late, cut or sliced, under load.

Every doubt is shown to have happened: a rule of the proxy that never fires is an error.  It is over when its worker has
committed again.  A request that arrives late, into the next transaction of its producer, must be refused by the broker:
its epoch is over, or (Produce, which may be repeated in its epoch) its records are there already.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, get_args

from tests.faults.campaign.report import Tally
from tests.faults.instance import Instance
from tests.faults.proxy import ApiName, KafkaProxy, Rule
from tests.faults.proxy.messages import error_codes
from tests.faults.stage import Stage, stage

RATE = 300.0
WORKERS = ("one", "two")
REQUEST_TIMEOUT_MS = 750  # how long a lost reply goes unnoticed
PATIENCE_S = 60.0
MOST_REQUESTS = 4

APIS: tuple[ApiName, ...] = (
    "Produce",
    "InitProducerId",
    "AddPartitionsToTxn",
    "AddOffsetsToTxn",
    "TxnOffsetCommit",
    "EndTxn",
)
Fate = Literal[
    "request lost",
    "reply lost",
    "reply late",
    "request into the next transaction",
    "connection cut",
    "sliced",
]
FATES: tuple[Fate, ...] = get_args(Fate)
Doubt = tuple[ApiName, Fate]

# Sent again by the worker itself, so that the late copy of the same is answered as such, not refused.
REPEATED: tuple[ApiName, ...] = ("Produce", "InitProducerId")

# Memberships and transactions outlive a doubt; what must be noticed soon is the silence.
SETTINGS = {"engine.session_timeout_ms": 6_000, "engine.transaction_timeout_ms": 4_000}


async def doubts(bootstrap_servers: str, folder: Path, count: int, seed: int, tally: Tally) -> None:
    """One round of ``count`` doubts at two workers, decided by ``seed``; then the oracle compares everything."""
    nodes = bootstrap_servers.count(",") + 1
    async with KafkaProxy(bootstrap_servers) as proxy:
        instance_kafka = {"bootstrap_servers": proxy.bootstrap_servers, "request_timeout_ms": REQUEST_TIMEOUT_MS}
        async with stage(
            bootstrap_servers,
            folder,
            seed=seed,
            settings={**SETTINGS, "topics.replication_factor": nodes},
            instance_kafka=instance_kafka,
            live=True,
        ) as scenario:
            workers = {name: await scenario.start(name) for name in WORKERS}
            await scenario.working(*workers.values())
            scenario.load.begin(RATE)
            for _, (api, fate) in zip(range(count), shuffled(scenario.dice), strict=False):
                name = scenario.dice.choice(WORKERS)
                began_s = await suffer(scenario, proxy, workers[name], name, api, fate)
                tally.fired("doubt", f"{api}: {fate}")
                tally.recovered(time.monotonic() - began_s)
            tally.checked(await scenario.proven())
            proxy.check()


def shuffled(dice: random.Random) -> Iterator[Doubt]:
    """Every doubt once, in some order; then again in another."""
    table = [(api, fate) for api in APIS for fate in FATES]
    while True:
        yield from dice.sample(table, len(table))


async def suffer(scenario: Stage, proxy: KafkaProxy, worker: Instance, name: str, api: ApiName, fate: Fate) -> float:
    """Let it happen to one of the next requests, wait until the worker commits again; returns when it happened."""
    nth = 1 if api == "InitProducerId" else scenario.dice.randrange(1, MOST_REQUESTS + 1)
    rules = planned(proxy, name, api, fate, nth, scenario.dice.uniform(0.5, 2.0) * REQUEST_TIMEOUT_MS / 1000)
    if api == "InitProducerId":
        # A new epoch is asked for after a doubt, so there has to be one.
        rules.append(proxy.rule(name, "EndTxn", "request", "cut after", role="producer"))
    for rule in rules:
        await rule.happened(PATIENCE_S)
    began_s = time.monotonic()
    if fate == "request into the next transaction":
        codes = error_codes(await rules[0].answered(PATIENCE_S))
        scenario.expect(api in REPEATED or 0 not in codes, f"a late {api} was accepted: {sorted(codes)}")
    since = len(worker.journal)
    await worker.line("committed", after=since)
    proxy.remove(*rules)
    return began_s


def planned(proxy: KafkaProxy, name: str, api: ApiName, fate: Fate, nth: int, seconds: float) -> list[Rule]:
    """The rules that make one doubt."""
    match fate:
        case "request lost":
            return [proxy.rule(name, api, "request", "drop", role="producer", nth=nth)]
        case "reply lost":
            return [proxy.rule(name, api, "request", "cut after", role="producer", nth=nth)]
        case "reply late":
            return [proxy.rule(name, api, "reply", "delay", role="producer", nth=nth, seconds=seconds)]
        case "request into the next transaction":
            return [proxy.rule(name, api, "request", "release late", role="producer", nth=nth)]
        case "connection cut":
            return [proxy.rule(name, api, "request", "cut before", role="producer", nth=nth)]
        case "sliced":
            return [
                proxy.rule(name, api, "request", "slice", role="producer", nth=nth),
                proxy.rule(name, api, "reply", "slice", role="producer", nth=nth),
            ]
