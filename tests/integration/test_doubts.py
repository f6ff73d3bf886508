"""Exactly once on Apache Kafka while requests, replies and connections are lost, late, doubled, refused and torn apart.

A proxy between the instances and the broker does exactly one harm at a time; the oracle compares everything in the end,
and the proxy has seen no EndTxn twice, none to abort, and nothing in an epoch whose EndTxn had no success (rule R3).
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from processor.backends.embedded import EmbeddedKafka
from processor.backends.kafka.connection import FENCED_PRODUCER
from tests.faults.instance import Instance
from tests.faults.points import Fault
from tests.faults.proxy import Action, ApiName, Direction, KafkaProxy, Rule
from tests.faults.proxy.messages import error_codes
from tests.faults.stage import Stage, stage
from tests.kafka import tools

RATE = 200.0
REQUEST_TIMEOUT_MS = 600  # where something gets no answer; it is short for a slow machine, too
PATIENT_MS = 5_000  # where every request is answered, or its connection ends
TOPIC_AUTHORIZATION_FAILED, GROUP_AUTHORIZATION_FAILED, TRANSACTIONAL_ID_AUTHORIZATION_FAILED = 29, 30, 53

DIRECTIONS: tuple[Direction, ...] = ("request", "reply")
FATES: dict[str, tuple[Direction, Action]] = {
    "request lost": ("request", "drop"),
    "reply lost": ("request", "cut after"),
    "reply late": ("reply", "hold"),
    "into the next": ("request", "release late"),
}

# Only what a test does to an instance shall end its membership or its transactions.
CALM = {"engine.session_timeout_ms": 6_000, "engine.transaction_timeout_ms": 5_000}

Scene = Callable[..., AbstractAsyncContextManager[tuple[Stage, KafkaProxy]]]


@pytest.fixture
def scene(kafka: EmbeddedKafka, tmp_path: Path) -> Scene:
    """``scene(seed)``: a stage whose instances reach the broker through a proxy."""

    @asynccontextmanager
    async def make(
        seed: int, request_timeout_ms: int = REQUEST_TIMEOUT_MS, **settings: Any
    ) -> AsyncIterator[tuple[Stage, KafkaProxy]]:
        async with KafkaProxy(kafka.bootstrap_servers) as proxy:
            theirs = {"bootstrap_servers": proxy.bootstrap_servers, "request_timeout_ms": request_timeout_ms}
            changed = {**CALM, **settings}
            async with stage(
                kafka.bootstrap_servers, tmp_path, seed=seed, settings=changed, instance_kafka=theirs
            ) as made:
                yield made, proxy

    return make


async def at_work(scenario: Stage, *names: str) -> list[Instance]:
    instances = await asyncio.gather(*(started(scenario, name) for name in names))
    await scenario.working(*instances)
    scenario.load.begin(RATE)
    return instances


async def started(scenario: Stage, name: str) -> Instance:
    """As a supervisor does: again where a slow machine let the first requests time out, which ends an instance."""
    instance = await scenario.start(name)
    await scenario.until(f"{name} begun", lambda: bool(instance.lines("assigned") or instance.lines("ended")))
    for ended in instance.lines("ended"):
        scenario.expect("Unreachable" in str(ended["error"]), f"{name} ended: {ended}")
        return await started(scenario, name)
    return instance


async def goes_on(instance: Instance) -> None:
    await instance.line("committed", after=len(instance.journal))


async def doubted(instance: Instance, *words: str, after: int) -> None:
    """Wait for a doubt whose cause holds one of these; a slow machine may have caused others before."""
    await instance.line("doubted", lambda line: any(word in line["cause"] for word in words), after=after)


def unexplained(instance: Instance) -> list[str]:
    """The causes of doubts that are no request left unanswered by a slow machine; of a Produce every one counts."""
    causes = [line["cause"] for line in instance.lines("doubted")]
    slow = ("no reply from node", "RequestTimedOutError")
    return [c for c in causes if c.startswith("Produce") or not all(word in c for word in slow)]


def harm(proxy: KafkaProxy, api: ApiName, fate: str) -> Rule:
    """One request of the producer of instance "one"; a late reply comes at `Rule.release`."""
    direction, action = FATES[fate]
    return proxy.rule("one", api, direction, action, role="producer")


# What a late EndTxn does, and why it does nothing here -------------------------------------------------------


async def test_a_client_that_repeats_end_txn_in_its_epoch_commits_what_it_has_not_finished(
    kafka: EmbeddedKafka, topic_name: Callable[[str], str]
) -> None:
    """The danger itself, with the client's own producer: a first EndTxn arrives late and ends the next transaction."""
    topic = topic_name("late")
    await asyncio.to_thread(tools.create_topic, kafka.bootstrap_servers, topic)
    async with KafkaProxy(kafka.bootstrap_servers) as proxy:
        producer = AIOKafkaProducer(
            bootstrap_servers=proxy.bootstrap_servers,
            transactional_id=topic,
            client_id=f"{topic}-producer",
            request_timeout_ms=REQUEST_TIMEOUT_MS,
        )
        await producer.start()
        try:
            late = proxy.rule(None, "EndTxn", "request", "hold")
            await producer.begin_transaction()
            await producer.send_and_wait(topic, b"finished")
            await producer.commit_transaction()  # its second EndTxn succeeds
            await producer.begin_transaction()
            await producer.send_and_wait(topic, b"unfinished")

            late.release()
            assert (await late.answered()).error_code == 0
        finally:
            await producer.stop()
        assert await committed_values(kafka.bootstrap_servers, topic, 2) == [b"finished", b"unfinished"]
        assert any("after an EndTxn without a success" in text for text in proxy.wire.broken)
        proxy.wire.broken.clear()  # it was the client's own, and it was to be seen


async def committed_values(servers: str, topic: str, count: int) -> list[bytes | None]:
    consumer = AIOKafkaConsumer(
        topic, bootstrap_servers=servers, isolation_level="read_committed", auto_offset_reset="earliest"
    )
    await consumer.start()
    try:
        async with asyncio.timeout(20):
            return [(await consumer.getone()).value for _ in range(count)]
    finally:
        await consumer.stop()


async def test_an_end_of_unknown_fate_is_asked_of_the_log_and_never_repeated(scene: Scene) -> None:
    """Where the request was lost the transaction is not there, where only the reply was lost it is."""
    async with scene(101) as (scenario, proxy):
        [one] = await at_work(scenario, "one")
        for fate, decided in (("request lost", False), ("reply lost", True), ("into the next", False)):
            await goes_on(one)
            rule = harm(proxy, "EndTxn", fate)
            await rule.happened()
            # Whatever a slow machine left unanswered before was told before this EndTxn was sent.
            refused = await one.line("refused", lambda line: line["step"] == "end", after=len(one.journal))
            at = one.journal.index(refused)
            await doubted(one, "EndTxn", after=at)
            before, after = positions_around(one, at)
            restored = {p: await restored_at(one, p, at) for p in after}
            expected = after if decided else {p: before[p] for p in after}
            scenario.expect(restored == expected, f"{fate}: restored {restored}, expected {expected}")
            if fate == "into the next":
                codes = error_codes(await rule.answered())
                scenario.expect(codes <= FENCED_PRODUCER, f"a late EndTxn was answered with {codes}")
        await scenario.proven()
        ends, transactions = proxy.wire.ends.total(), len(one.lines("offsets"))
        scenario.expect(0 < ends <= transactions, f"{ends} EndTxn in {transactions} transactions")


def positions_around(instance: Instance, at: int) -> tuple[dict[int, int], dict[int, int]]:
    """What was committed before the transaction whose EndTxn failed at this line, and what it would have committed."""
    before: dict[int, int] = {}
    positions: dict[int, int] = {}
    for line in instance.journal[:at]:
        if line["what"] == "running":
            before[line["partition"]] = line["position"]
        elif line["what"] in ("committed", "offsets"):
            positions = {int(partition): position for partition, position in line["positions"].items()}
            if line["what"] == "committed":
                before.update(positions)
    return before, positions


async def restored_at(instance: Instance, partition: int, after: int) -> int:
    line = await instance.line("running", lambda line: line["partition"] == partition, after=after)
    return int(line["position"])


# Requests of unknown fate --------------------------------------------------------------------------------------


async def test_a_batch_of_unknown_fate_is_repeated_and_written_once(scene: Scene) -> None:
    async with scene(102) as (scenario, proxy):
        [one] = await at_work(scenario, "one")
        for fate in ("request lost", "reply lost", "reply late"):
            rule = harm(proxy, "Produce", fate)
            await rule.happened()
            await goes_on(one)
            rule.release()
        scenario.expect(not unexplained(one), "a batch that may be repeated was taken for a doubt")
        # The first copy comes when its transaction is long over: the broker has it already, or is told a wrong order.
        await harm(proxy, "Produce", "into the next").answered()
        await goes_on(one)
        await scenario.proven()


@pytest.mark.parametrize("api", ["AddPartitionsToTxn", "AddOffsetsToTxn", "TxnOffsetCommit"])
async def test_a_request_of_unknown_fate_ends_the_epoch(scene: Scene, api: ApiName) -> None:
    """It is not repeated, and where it arrives late it is refused, because its epoch is over."""
    async with scene(103) as (scenario, proxy):
        [one] = await at_work(scenario, "one")
        for fate in ("request lost", "reply lost", "reply late", "into the next"):
            since = len(one.journal)
            rule = harm(proxy, api, fate)
            await rule.happened()
            await doubted(one, api, after=since)
            if fate == "into the next":
                codes = error_codes(await rule.answered())
                scenario.expect(codes <= FENCED_PRODUCER, f"a late {api} was answered with {codes}")
            rule.release()
            await goes_on(one)
        await scenario.proven()


async def test_late_requests_for_an_epoch_are_no_other_process_with_our_id(scene: Scene) -> None:
    """Each of them fences the epoch that was given meanwhile; three in a minute, and the instance lives."""
    async with scene(104) as (scenario, proxy):
        [one] = await at_work(scenario, "one")

        async def disturb(fate: str) -> Rule:
            await goes_on(one)
            rule = harm(proxy, "InitProducerId", fate)
            await harm(proxy, "EndTxn", "reply lost").happened()  # a doubt, so that there is a new epoch
            return rule

        for fate in ("request lost", "reply lost"):
            await (await disturb(fate)).happened()
            await goes_on(one)
        # Where the broker takes its time for the late one, the worker gives up waiting, and never hears of a fence.
        while len([line for line in one.lines("doubted") if "InitProducerId of our own" in line["cause"]]) < 3:
            await (await disturb("into the next")).answered()
            await goes_on(one)
        await scenario.proven()


async def test_requests_and_replies_that_come_twice_change_nothing(scene: Scene) -> None:
    async with scene(105, PATIENT_MS) as (scenario, proxy):
        [one] = await at_work(scenario, "one")
        apis: tuple[ApiName, ...] = ("Produce", "AddPartitionsToTxn", "AddOffsetsToTxn", "TxnOffsetCommit", "EndTxn")
        twice = [proxy.rule("one", api, "request", "duplicate", role="producer", times=10) for api in apis]
        for rule in twice:
            await rule.happened()
        await goes_on(one)
        scenario.expect(not unexplained(one), "a second copy of a request was noticed")
        for api in apis:
            # No client expects it: the connection ends, and with it whatever else was on its way.
            await proxy.rule("one", api, "reply", "duplicate", role="producer").happened()
            await goes_on(one)
        await scenario.proven()


# Refusals --------------------------------------------------------------------------------------------------------


async def test_a_refused_batch_whose_refusal_was_lost_hides_the_whole_transaction(scene: Scene) -> None:
    """The repeated request tells: what the other topics took before must not become visible."""
    async with scene(106, PATIENT_MS) as (scenario, proxy):
        one = await scenario.start("one", patience_s=60.0)
        await scenario.working(one)
        await scenario.load.send(1_000)
        await scenario.until("all of it committed", lambda: scenario.committed() == scenario.load.ends())
        await limit_metrics(scenario, "100")
        lost = proxy.rule("one", "Produce", "reply", "cut before", role="producer", times=2)
        one.plan(Fault("refused produce", 1, "stop"))
        await scenario.load.send(500)

        await lost.happened()
        await one.line("fault")
        *_, refused = (line for line in one.lines("refused") if line["step"] == "produce")
        scenario.expect("MessageSizeTooLarge" in refused["message"], f"refused: {refused}")
        await scenario.consistent()
        await limit_metrics(scenario, "4000000")
        one.signal(signal.SIGCONT)

        await scenario.load.send(500)
        await scenario.proven()
        scenario.expect(lost.fired == 2, f"{lost.fired} refusals were lost")


async def limit_metrics(scenario: Stage, value: str) -> None:
    await asyncio.to_thread(
        tools.alter_topic,
        scenario.settings.kafka.bootstrap_servers,
        scenario.settings.topics.metrics,
        {"max.message.bytes": value},
    )


async def test_an_access_taken_away_in_a_transaction_leaves_nothing_of_it(scene: Scene) -> None:
    """Whichever request is refused, the transaction is abandoned by a new epoch, never ended as if nothing were."""
    refusals: dict[ApiName, int] = {
        "AddPartitionsToTxn": TOPIC_AUTHORIZATION_FAILED,
        "AddOffsetsToTxn": GROUP_AUTHORIZATION_FAILED,
        "Produce": TOPIC_AUTHORIZATION_FAILED,
        "TxnOffsetCommit": GROUP_AUTHORIZATION_FAILED,
        "EndTxn": TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
    }
    async with scene(107, PATIENT_MS) as (scenario, proxy):
        [one] = await at_work(scenario, "one")
        for api, code in refusals.items():
            since = len(one.journal)
            # More than once: a refusal that comes too late on a slow machine is not heard.
            refusing = proxy.rule("one", api, "request", "answer", role="producer", times=None, error_code=code)
            await doubted(one, f"({code})", "missing ACL", after=since)
            proxy.remove(refusing)
            await goes_on(one)
        await scenario.proven()


# The group and the network ---------------------------------------------------------------------------------------


async def test_a_member_whose_heartbeats_are_lost_is_replaced_and_fenced(scene: Scene) -> None:
    quick = {"engine.session_timeout_ms": 1_500, "engine.transaction_timeout_ms": 1_500}
    async with scene(108, **quick) as (scenario, proxy):
        one, two = await at_work(scenario, "one", "two")
        since = len(one.journal)
        lost = proxy.rule("one", "Heartbeat", "request", "drop", times=None)
        await scenario.working(two)
        await one.line("refused", lambda line: line["error"] == "Fenced", after=since)
        proxy.remove(lost)
        await scenario.working(one, two)
        await scenario.proven()


async def test_lost_words_of_a_rebalance_only_delay_it(scene: Scene) -> None:
    quick = {"engine.session_timeout_ms": 1_500, "engine.transaction_timeout_ms": 1_500}
    async with scene(109, **quick) as (scenario, proxy):
        [one] = await at_work(scenario, "one")
        rules = [
            proxy.rule("one", "Heartbeat", "reply", "cut before"),
            proxy.rule("one", "JoinGroup", "reply", "drop"),
            proxy.rule("one", "SyncGroup", "request", "cut after"),
            proxy.rule("two", "JoinGroup", "reply", "drop", nth=2),  # the first one only gives it a name
            proxy.rule("two", "SyncGroup", "reply", "cut before"),
        ]
        two = await scenario.start("two")
        for rule in rules:
            await rule.happened(timeout_s=40.0)
        await scenario.working(one, two)
        await scenario.proven()


async def test_frames_in_pieces_are_whole_to_both_sides(scene: Scene) -> None:
    async with scene(110, PATIENT_MS) as (scenario, proxy):
        rules = [proxy.rule(None, None, direction, "slice", times=None) for direction in DIRECTIONS]
        one, two = await at_work(scenario, "one", "two")
        for instance in (one, two):
            for _ in range(5):
                await goes_on(instance)
        await scenario.proven()
        scenario.expect(all(rule.carried > 100 for rule in rules), "hardly anything was sliced")
        scenario.expect(not unexplained(one) + unexplained(two), "a whole frame was not understood")


async def test_a_slow_network_is_only_slow(scene: Scene) -> None:
    async with scene(111) as (scenario, proxy):
        for direction in DIRECTIONS:
            proxy.rule(None, None, direction, "delay", times=None, seconds=0.02)
        one, two = await at_work(scenario, "one", "two")
        for instance in (one, two):
            for _ in range(5):
                await goes_on(instance)
        await scenario.proven()


async def test_a_broker_that_falls_silent_and_comes_back_is_gone_on_with(scene: Scene) -> None:
    """Every frame of both instances is held for longer than a session, and then delivered all the same."""
    quick = {"engine.session_timeout_ms": 1_500, "engine.transaction_timeout_ms": 1_500}
    async with scene(112, **quick) as (scenario, proxy):
        one, two = await at_work(scenario, "one", "two")
        await goes_on(one)
        await goes_on(two)
        await proxy.isolate(1, "held")
        await scenario.deserted()
        proxy.rejoin(1)
        await scenario.working(one, two)
        await scenario.proven()
