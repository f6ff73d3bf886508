"""The embedded broker is a real Kafka: Kafka's own tools agree, and it survives what is done to it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from processor.backends.embedded import EmbeddedKafka, NotStarted, start_broker
from processor.backends.embedded.probe import cluster_view
from tests.kafka import tools
from tests.kafka.fixtures import QUICK_SETTINGS
from tests.kafka.sockets import listening_addresses
from tests.kafka.tools import NewRecord, ToolFailed

TopicName = Callable[[str], str]


def values(bootstrap_servers: str, topic: str, expected: int) -> list[bytes | None]:
    return [record.value for record in tools.consume(bootstrap_servers, topic, expected=expected)]


def test_console_tools_round_trip_keys_nulls_and_headers(kafka: EmbeddedKafka, topic_name: TopicName) -> None:
    topic = topic_name("round-trip")
    tools.create_topic(kafka.bootstrap_servers, topic, partitions=2)
    written = [
        NewRecord('{"a": 1}', key="one", headers=(("trace", "x"), ("kind", "y:z"))),
        NewRecord(None, key="one"),
        NewRecord("", key=None),
        NewRecord("ü", key="zwei"),
    ]
    tools.produce(kafka.bootstrap_servers, topic, written)
    read = tools.consume(kafka.bootstrap_servers, topic, expected=4)
    assert sorted((r.key, r.value, r.headers) for r in read if r.key is not None and r.value is not None) == [
        (b"one", b'{"a": 1}', (("trace", b"x"), ("kind", b"y:z"))),
        (b"zwei", "ü".encode(), ()),
    ]
    assert {(r.key, r.value) for r in read if r.key is None or r.value is None} == {(b"one", None), (None, b"")}
    assert sum(tools.end_offsets(kafka.bootstrap_servers, topic).values()) == 4


async def test_a_transaction_is_seen_only_once_committed(kafka: EmbeddedKafka, topic_name: TopicName) -> None:
    topic, servers = topic_name("transactions"), kafka.bootstrap_servers
    tools.create_topic(servers, topic)
    producer = AIOKafkaProducer(bootstrap_servers=servers, transactional_id=topic)
    await producer.start()
    try:
        async with producer.transaction():
            await producer.send_and_wait(topic, b"committed", partition=0)
        await producer.begin_transaction()
        await producer.send_and_wait(topic, b"open", partition=0)
        assert tools.transaction_states(servers)[topic] == "Ongoing"
        assert topic in tools.open_transactions(servers)
        assert list(tools.open_producers(servers, topic, 0).values()) == [2]  # after one record and its marker
        assert values(servers, topic, 1) == [b"committed"]
        seen = tools.consume(servers, topic, isolation="read_uncommitted", expected=2)
        assert [record.value for record in seen] == [b"committed", b"open"]
        await producer.abort_transaction()
    finally:
        await producer.stop()
    async with asyncio.timeout(30):  # the abort is answered when it is decided, and takes effect then
        while topic in await asyncio.to_thread(tools.open_transactions, servers):
            pass
    assert tools.open_producers(servers, topic, 0) == {}
    tools.produce(servers, topic, [NewRecord("behind it")])
    assert values(servers, topic, 2) == [b"committed", b"behind it"]
    log = kafka.nodes[0].folder / "data" / f"{topic}-0" / f"{0:020d}.log"
    markers = [line.partition("endTxnMarker: ")[2].split()[0] for line in tools.dump_log(log) if "endTxn" in line]
    assert markers == ["COMMIT", "ABORT"]


async def test_group_offsets_are_told_with_and_without_members(kafka: EmbeddedKafka, topic_name: TopicName) -> None:
    topic, servers = topic_name("groups"), kafka.bootstrap_servers
    tools.create_topic(servers, topic, partitions=2)
    tools.produce(servers, topic, [NewRecord("x", key=str(n)) for n in range(10)])
    ends = tools.end_offsets(servers, topic)
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=servers, group_id=topic, enable_auto_commit=False)
    await consumer.start()
    try:
        await consumer.commit({TopicPartition(topic, 0): 1})
        rows = await asyncio.to_thread(tools.group_offsets, servers, topic)  # the consumer's heartbeats go on
        assert {(row.partition, row.committed, row.log_end) for row in rows} == {(0, 1, ends[0]), (1, None, ends[1])}
        assert all(row.member is not None for row in rows)
    finally:
        await consumer.stop()
    (row,) = tools.group_offsets(servers, topic)
    assert (row.topic, row.partition, row.committed, row.lag, row.member) == (topic, 0, 1, ends[0] - 1, None)


def test_topic_settings_and_the_start_of_a_log_can_be_changed(
    kafka: EmbeddedKafka, topic_name: TopicName, tmp_path: Path
) -> None:
    topic, servers = topic_name("changed"), kafka.bootstrap_servers
    tools.create_topic(servers, topic, settings={"cleanup.policy": "delete"})
    tools.produce(servers, topic, [NewRecord(str(n)) for n in range(3)])
    tools.delete_records(servers, topic, {0: 2}, tmp_path)
    assert [(r.offset, r.value) for r in tools.consume(servers, topic, expected=1)] == [(2, b"2")]
    tools.alter_topic(servers, topic, {"max.message.bytes": "200"})
    with pytest.raises(ToolFailed, match="RecordTooLargeException"):
        tools.produce(servers, topic, [NewRecord("x" * 1000)])
    tools.produce(servers, topic, [NewRecord("small")])
    assert [r.value for r in tools.consume(servers, topic, expected=2)] == [b"2", b"small"]


def test_only_loopback_is_listened_on(kafka: EmbeddedKafka) -> None:
    pid = kafka.nodes[0].pid
    assert pid is not None
    addresses = listening_addresses(pid)
    assert kafka.nodes[0].address in addresses
    assert {address.rpartition(":")[0] for address in addresses} == {"127.0.0.1"}


@pytest.fixture(scope="module")
def breakable() -> Iterator[EmbeddedKafka]:
    """One broker for the tests below; each leaves it working."""
    with EmbeddedKafka(properties=QUICK_SETTINGS) as broker:
        yield broker


@pytest.mark.kafka
@pytest.mark.timeout(180)
def test_a_paused_node_answers_again_when_resumed(breakable: EmbeddedKafka) -> None:
    host, port = breakable.bootstrap_servers.split(":")
    breakable.pause(1)
    with pytest.raises(TimeoutError):
        cluster_view(host, int(port), timeout_s=0.5)
    assert breakable.alive
    breakable.resume(1)
    assert cluster_view(host, int(port)).serves(1)


@pytest.mark.kafka
@pytest.mark.timeout(180)
def test_a_killed_node_comes_back_with_its_address_and_everything_acknowledged(
    breakable: EmbeddedKafka, topic_name: TopicName
) -> None:
    topic, servers = topic_name("killed"), breakable.bootstrap_servers
    tools.create_topic(servers, topic)
    tools.produce(servers, topic, [NewRecord(str(n)) for n in range(100)])
    breakable.kill(1)
    assert not breakable.alive
    breakable.restart(1)
    assert breakable.bootstrap_servers == servers
    assert values(servers, topic, 100) == [str(n).encode() for n in range(100)]


@pytest.mark.kafka
@pytest.mark.timeout(180)
async def test_a_folder_keeps_the_data_and_belongs_to_one_broker_at_a_time(
    tmp_path: Path, topic_name: TopicName
) -> None:
    topic = topic_name("kept")
    cluster = EmbeddedKafka(folder=tmp_path, properties=QUICK_SETTINGS)
    async with cluster:
        tools.create_topic(cluster.bootstrap_servers, topic)
        tools.produce(cluster.bootstrap_servers, topic, [NewRecord("before")])
        with pytest.raises(NotStarted, match="belongs to a running broker"):
            EmbeddedKafka(folder=tmp_path).start()
        assert cluster.alive
    assert cluster.nodes == ()
    other_ports = EmbeddedKafka(folder=tmp_path, properties=QUICK_SETTINGS)
    async with other_ports:
        assert other_ports.bootstrap_servers != cluster.bootstrap_servers
        assert values(other_ports.bootstrap_servers, topic, 1) == [b"before"]


@pytest.mark.kafka
def test_a_setting_kafka_refuses_is_told_in_one_line() -> None:
    with pytest.raises(NotStarted, match=r"num\.io\.threads") as raised:
        EmbeddedKafka(properties={"num.io.threads": "none"}).start()
    assert "\n" not in str(raised.value)


def test_three_nodes_survive_the_loss_of_one(three_nodes: EmbeddedKafka, topic_name: TopicName) -> None:
    topic, servers = topic_name("replicated"), three_nodes.bootstrap_servers
    tools.create_topic(servers, topic, partitions=3, replication_factor=3)
    tools.produce(servers, topic, [NewRecord(f"before {n}", key=str(n)) for n in range(30)])
    three_nodes.kill(2)
    tools.produce(servers, topic, [NewRecord(f"without {n}", key=str(n)) for n in range(30)])
    assert len(tools.consume(servers, topic, expected=60)) == 60
    three_nodes.restart(2)
    view = cluster_view("127.0.0.1", three_nodes.nodes[1].port)
    assert view.brokers == {1, 2, 3}
    assert {len(p.replicas) for p in view.partitions if p.topic == topic} == {3}


# The thread that starts the broker ends at once: a broker tied to it (PR_SET_PDEATHSIG) would die with it.
START_IN_A_THREAD_AND_WAIT = """
import signal, threading
from processor.backends.embedded import EmbeddedKafka
from processor.backends.embedded.probe import cluster_view
broker = EmbeddedKafka()
thread = threading.Thread(target=broker.start)
thread.start()
thread.join()
host, port = broker.bootstrap_servers.split(":")
assert cluster_view(host, int(port)).serves(1)
print(broker.nodes[0].pid, flush=True)
signal.pause()
"""


@pytest.mark.kafka
@pytest.mark.timeout(180)
def test_a_broker_needs_no_installed_java_outlives_its_thread_and_dies_with_its_process() -> None:
    command = [sys.executable, "-c", START_IN_A_THREAD_AND_WAIT]
    environment = {**os.environ, "PATH": "", "JAVA_HOME": ""}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as parent:
        assert parent.stdout is not None
        broker = os.pidfd_open(int(parent.stdout.readline()))
        parent.send_signal(signal.SIGKILL)
    try:
        readable, _, _ = select.select([broker], [], [], 20)
        assert readable, "the broker still runs 20 s after its parent was killed"
    finally:
        os.close(broker)


async def test_without_maven_central_the_stand_in_works_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CREATIVE_FEEDBACK_CACHE", str(tmp_path))
    monkeypatch.setenv("CREATIVE_FEEDBACK_MAVEN", "http://127.0.0.1:9")
    with start_broker() as broker:
        assert broker.kind.startswith("noida-db 0.2.")
        assert broker.why_fallback is not None
        assert "connect to the network once" in broker.why_fallback
        servers = broker.bootstrap_servers
        admin = AIOKafkaAdminClient(bootstrap_servers=servers)
        await admin.start()
        await admin.create_topics([NewTopic("t", 1, 1)])
        await admin.close()
        producer = AIOKafkaProducer(bootstrap_servers=servers, transactional_id="t")
        await producer.start()
        with contextlib.suppress(RuntimeError):
            async with producer.transaction():
                await producer.send_and_wait("t", b"aborted", partition=0)
                raise RuntimeError
        async with producer.transaction():
            await producer.send_and_wait("t", b"committed", partition=0)
        await producer.stop()
        consumer = AIOKafkaConsumer(
            "t", bootstrap_servers=servers, isolation_level="read_committed", auto_offset_reset="earliest"
        )
        await consumer.start()
        assert (await consumer.getone()).value == b"committed"
        await consumer.stop()
    assert not broker.alive
