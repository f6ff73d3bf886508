"""Kafka's own command-line tools, run in the embedded Java: witnesses that share no code with our client.

Every function blocks until its tool has ended, takes `bootstrap_servers`, and returns parsed results; a tool
that fails raises `ToolFailed` with what it said. Each call starts a JVM: about a second.
"""

from __future__ import annotations

import functools
import secrets
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from processor.backends.embedded.jars import kafka_jars
from processor.backends.embedded.java import Jvm, java_environment

_TOOLS = "org.apache.kafka.tools"
Isolation = Literal["read_committed", "read_uncommitted"]


class ToolFailed(AssertionError):
    """A tool of Kafka ended with an error; the message has its output."""


class ConsoleRecord(msgspec.Struct, frozen=True):
    """One record as the console consumer shows it; `timestamp_ms` is the Kafka record timestamp."""

    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...] = ()


class NewRecord(msgspec.Struct, frozen=True):
    """One record for the console producer: text without tabs or line breaks."""

    value: str | None
    key: str | None = None
    headers: tuple[tuple[str, str], ...] = ()


class GroupOffset(msgspec.Struct, frozen=True):
    """One line of the consumer-groups tool; None where it shows a dash."""

    topic: str
    partition: int
    committed: int | None
    log_end: int | None
    lag: int | None
    member: str | None


def run_tool(main_class: str, arguments: Sequence[str], stdin: bytes = b"", timeout_s: float = 120) -> bytes:
    """Run one main class of Kafka's jars and return its standard output."""
    command = _jvm().command(main_class, arguments)
    done = subprocess.run(
        command, input=stdin, capture_output=True, timeout=timeout_s, env=java_environment(), check=False
    )
    # The console producer logs what it could not send, and ends with 0 all the same.
    if done.returncode != 0 or b"Error when sending message" in done.stderr:
        said = (done.stdout + done.stderr).decode(errors="replace")
        raise ToolFailed(f"{main_class} ended with {done.returncode}: {said[-2000:]}")
    return done.stdout


def create_topic(
    bootstrap_servers: str,
    topic: str,
    partitions: int = 1,
    replication_factor: int = 1,
    settings: Mapping[str, str] | None = None,
) -> None:
    """Create a topic; it must not exist."""
    arguments = ["--bootstrap-server", bootstrap_servers, "--create", "--topic", topic]
    arguments += ["--partitions", str(partitions), "--replication-factor", str(replication_factor)]
    for name, value in (settings or {}).items():
        arguments += ["--config", f"{name}={value}"]
    run_tool(f"{_TOOLS}.TopicCommand", arguments)


def alter_topic(bootstrap_servers: str, topic: str, settings: Mapping[str, str]) -> None:
    """Change settings of an existing topic."""
    text = ",".join(f"{name}=[{value}]" for name, value in settings.items())
    arguments = ["--bootstrap-server", bootstrap_servers, "--alter"]
    arguments += ["--entity-type", "topics", "--entity-name", topic, "--add-config", text]
    run_tool("kafka.admin.ConfigCommand", arguments)


def delete_records(bootstrap_servers: str, topic: str, before: Mapping[int, int], folder: Path) -> None:
    """Remove all records below the offset given per partition, as retention would. `folder` takes a plan file."""
    partitions = [{"topic": topic, "partition": p, "offset": offset} for p, offset in before.items()]
    plan = folder / f"delete-{secrets.token_hex(3)}.json"
    plan.write_bytes(msgspec.json.encode({"version": 1, "partitions": partitions}))
    run_tool(
        f"{_TOOLS}.DeleteRecordsCommand",
        ["--bootstrap-server", bootstrap_servers, "--offset-json-file", str(plan)],
    )


def produce(
    bootstrap_servers: str,
    topic: str,
    records: Iterable[NewRecord],
    settings: Mapping[str, str] | None = None,
) -> None:
    """Write records with the console producer (keys hashed by Kafka's own murmur2; None is a real null)."""
    null = secrets.token_hex(8)
    lines = []
    for record in records:
        headers = ",".join(f"{name}:{value}" for name, value in record.headers)
        fields = [headers or null, null if record.key is None else record.key]
        fields.append(null if record.value is None else record.value)
        assert not any("\t" in field or "\n" in field for field in fields), f"not for the console: {record}"
        lines.append("\t".join(fields) + "\n")
    reader = {"parse.key": "true", "parse.headers": "true", "null.marker": null}
    arguments = ["--bootstrap-server", bootstrap_servers, "--topic", topic]
    for name, value in reader.items():
        arguments += ["--reader-property", f"{name}={value}"]
    # The tool's own default gives up a request after 1.5 s, which a busy machine takes.
    for name, value in {"request.timeout.ms": "20000", **(settings or {})}.items():
        arguments += ["--command-property", f"{name}={value}"]
    run_tool(f"{_TOOLS}.ConsoleProducer", arguments, "".join(lines).encode())


def consume(
    bootstrap_servers: str,
    topic: str,
    *,
    isolation: Isolation = "read_committed",
    expected: int | None = None,
    idle_ms: int | None = None,
) -> list[ConsoleRecord]:
    """Read a topic from its beginning with the console consumer, sorted by partition and offset.

    Ends after `expected` records, or when none came for `idle_ms` (the group's join counts as idle): a minute where
    records are expected, as that is how long a busy machine may take to the first, otherwise five seconds.
    """
    if idle_ms is None:
        idle_ms = 60_000 if expected else 5_000
    mark = secrets.token_hex(8)  # keys and values are any bytes: only an unguessable separator cannot be in them
    field, line, header, null = (f"<{mark}:{name}>" for name in "flhn")
    formatter = {
        **{f"print.{name}": "true" for name in ("timestamp", "partition", "offset", "headers", "key", "value")},
        "key.separator": field,
        "line.separator": line,
        "headers.separator": header,
        "null.literal": null,
    }
    arguments = ["--bootstrap-server", bootstrap_servers, "--topic", topic, "--from-beginning"]
    arguments += ["--isolation-level", isolation, "--timeout-ms", str(idle_ms)]
    if expected is not None:
        arguments += ["--max-messages", str(expected)]
    for name, value in formatter.items():
        arguments += ["--formatter-property", f"{name}={value}"]
    output = run_tool(f"{_TOOLS}.consumer.ConsoleConsumer", arguments)
    lines = output.split(line.encode())[:-1]
    records = [_parsed(text.split(field.encode()), header.encode(), null.encode()) for text in lines]
    return sorted(records, key=lambda record: (record.partition, record.offset))


def end_offsets(bootstrap_servers: str, topic: str) -> dict[int, int]:
    """Next offset of each partition's log (transactions still open included)."""
    output = run_tool(
        f"{_TOOLS}.GetOffsetShell", ["--bootstrap-server", bootstrap_servers, "--topic", topic, "--time", "latest"]
    )
    rows = [line.rsplit(":", 2) for line in output.decode().splitlines()]
    return {int(partition): int(offset) for name, partition, offset in rows if name == topic}


def transaction_states(bootstrap_servers: str) -> dict[str, str]:
    """State of every transactional id the cluster knows: Empty, Ongoing, CompleteCommit, CompleteAbort …"""
    rows = _table(run_tool(f"{_TOOLS}.TransactionsCommand", ["--bootstrap-server", bootstrap_servers, "list"]))
    return {row["TransactionalId"]: row["TransactionState"] for row in rows}


def open_transactions(bootstrap_servers: str) -> list[str]:
    """Transactional ids with a transaction not yet complete."""
    quiet = ("Empty", "CompleteCommit", "CompleteAbort", "Dead")
    return sorted(name for name, state in transaction_states(bootstrap_servers).items() if state not in quiet)


def open_producers(bootstrap_servers: str, topic: str, partition: int) -> dict[int, int]:
    """Producer id → offset where its open transaction starts in this partition."""
    arguments = ["--bootstrap-server", bootstrap_servers, "describe-producers"]
    arguments += ["--topic", topic, "--partition", str(partition)]
    rows = _table(run_tool(f"{_TOOLS}.TransactionsCommand", arguments))
    starts = {row["ProducerId"]: row["CurrentTransactionStartOffset"] for row in rows}
    return {int(producer): int(start) for producer, start in starts.items() if start not in {"None", "-1"}}


def group_offsets(bootstrap_servers: str, group: str) -> list[GroupOffset]:
    """What a group has committed, per partition."""
    output = run_tool(
        f"{_TOOLS}.consumer.group.ConsumerGroupCommand",
        ["--bootstrap-server", bootstrap_servers, "--describe", "--group", group, "--offsets"],
    )

    def number(text: str) -> int | None:
        return None if text == "-" else int(text)

    return [
        GroupOffset(
            row["TOPIC"],
            int(row["PARTITION"]),
            number(row["CURRENT-OFFSET"]),
            number(row["LOG-END-OFFSET"]),
            number(row["LAG"]),
            None if row["CONSUMER-ID"] == "-" else row["CONSUMER-ID"],
        )
        for row in _table(output)
    ]


def dump_log(log_file: Path) -> list[str]:
    """Lines of one log segment, record by record, control records too."""
    output = run_tool("kafka.tools.DumpLogSegments", ["--files", str(log_file), "--print-data-log"])
    return output.decode(errors="replace").splitlines()


@functools.cache
def _jvm() -> Jvm:
    return Jvm(tuple(kafka_jars()), heap_mb=256)


def _parsed(fields: list[bytes], header_separator: bytes, null: bytes) -> ConsoleRecord:
    timestamp, partition, offset, headers, key, value = fields
    pairs = () if headers == b"NO_HEADERS" else headers.split(header_separator)
    parted = [pair.partition(b":") for pair in pairs]
    return ConsoleRecord(
        int(partition.rpartition(b":")[2]),
        int(offset.rpartition(b":")[2]),
        int(timestamp.rpartition(b":")[2]),
        None if key == null else key,
        None if value == null else value,
        tuple((name.decode(), None if content == null else content) for name, _, content in parted),
    )


def _table(output: bytes) -> list[dict[str, str]]:
    """Rows of a tool's table (columns parted by blanks, cells without any) by the names in its first line."""
    lines = [line.split() for line in output.decode().splitlines() if line.strip()]
    return [dict(zip(lines[0], row, strict=True)) for row in lines[1:]] if lines else []
