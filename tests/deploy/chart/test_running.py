"""The pods of a release, run for real: the commands, environments and files of the chart, a Kafka behind locks."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from processor.backends.embedded import EmbeddedKafka
from processor.backends.embedded.ports import HOST, free_ports
from processor.backends.kafka import EventProducer
from tests.deploy.chart.pods import Existing, File, Pod, Secret, pod, topics_pod, worker_pod
from tests.deploy.chart.rendering import CHART, Object, needs_helm, rendered
from tests.faults.load import events
from tests.kafka.locked import MECHANISM, LockedKafka

pytestmark = needs_helm

ROOT = CHART.parent.parent
TOKEN = "a-token-of-enough-characters"
MOUNTS = "/etc/creative-feedback"
EVENTS, PARTITIONS = 200, 2
PATIENCE_S = 45.0


class Machine:
    """Runs pods: each with a folder as its root, and with what the namespace has in Secrets and ConfigMaps."""

    def __init__(self, existing: Mapping[File, str], folder: Path) -> None:
        self._existing = existing
        self._folder = folder

    @asynccontextmanager
    async def running(self, one: Pod, name: str, *more: str) -> AsyncIterator[asyncio.subprocess.Process]:
        """The container's process with further arguments; killed at the end unless it has ended."""
        root, here = self._laid_out(one, name)
        arguments = [argument.replace(MOUNTS, here) for argument in one.arguments]
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "processor.app", *arguments, *more),
            cwd=ROOT, env={**one.environment, "PATH": os.defpath, "TMPDIR": str(root / "tmp")},
            stdin=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()

    def _laid_out(self, one: Pod, name: str) -> tuple[Path, str]:
        """A pod's root with the files that it mounts, and where the mounts are."""
        root = self._folder / name
        here = f"{root}{MOUNTS}"
        (root / "tmp").mkdir(parents=True)
        for path, content in one.files.items():
            file = Path(f"{root}{path}")
            file.parent.mkdir(parents=True, exist_ok=True)
            text = content if isinstance(content, str) else self._existing[content]
            file.write_text(text.replace(MOUNTS, here))
        return root, here

    async def ended(self, one: Pod, name: str) -> int:
        """The exit code of a pod that ends by itself."""
        async with asyncio.timeout(PATIENCE_S), self.running(one, name) as process:
            return await process.wait()


class Visitor:
    """Asks a pod as a probe or Prometheus does."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = url

    async def status(self, path: str) -> int:
        """0 where nobody answers yet."""
        try:
            async with self._session.get(self._url + path) as answer:
                return answer.status
        except aiohttp.ClientConnectionError:
            return 0

    async def scraped(self, name: str) -> float:
        """The value of a metric without labels, as Prometheus reads it with the token."""
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with self._session.get(f"{self._url}/metrics", headers=headers) as answer:
            assert answer.status == 200
            lines = dict(line.rsplit(" ", 1) for line in (await answer.text()).splitlines() if not line.startswith("#"))
            return float(lines[name])


def values(kafka: LockedKafka, topic_name: Callable[[str], str]) -> dict[str, Any]:
    """Production, at this broker and with topics of one's own."""
    names = {role: topic_name(role) for role in ("state", "actions", "metrics", "dead_letters", "changelog")}
    scram = {"mechanism": MECHANISM}
    return {
        "kafka": {"bootstrapServers": kafka.locked_servers, "sasl": scram},
        "topics": {"partitions": PARTITIONS, "replicationFactor": 1},
        "topicsJob": {"kafka": {"sasl": scram}},
        "settings": {"topics": names, "engine": {"application_id": topic_name("app")}},
        "autoscaling": {"minReplicas": 1, "maxReplicas": PARTITIONS},
    }


async def test_a_release_makes_its_topics_becomes_ready_works_is_scraped_and_ends_within_its_grace(
    kafka: EmbeddedKafka, shared_kafka: LockedKafka, topic_name: Callable[[str], str], tmp_path: Path
) -> None:
    release = rendered("production", values(shared_kafka, topic_name))
    worker = worker_pod(release)
    admitted = {
        party: (await shared_kafka.admit(worker.settings(), party)) for party in ("processor", "topics", "producer")
    }
    existing: dict[File, str] = {
        Secret("kafka-cluster-ca", "ca.crt"): content(admitted["processor"].kafka.ssl_ca_file),
        Secret("kafka-processor", "password"): content(admitted["processor"].kafka.sasl_password_file),
        Secret("kafka-topics", "password"): content(admitted["topics"].kafka.sasl_password_file),
        Secret("feedback-token", "token"): TOKEN,
        Existing("past-explorations", "explorations.json"): content("tests/vectors/edges.pretrain.json"),
    }
    machine = Machine(existing, tmp_path)
    check = pod(release, release.one("Pod"), "check")
    assert await machine.ended(check, "check-before") == 1, "there are no topics yet"
    assert await machine.ended(topics_pod(release), "topics") == 0
    assert await machine.ended(check, "check") == 0

    (port,) = free_ports(1)
    address = ("--set", f"http.host={HOST}", "--set", f"http.port={port}")
    async with machine.running(worker, "worker", *address) as process, aiohttp.ClientSession() as session:
        visitor = Visitor(session, f"http://{HOST}:{port}")
        probes = release.statefulset["spec"]["template"]["spec"]["containers"][0]
        await until(process, lambda: answers(visitor, probes["readinessProbe"]))
        assert await answers(visitor, probes["livenessProbe"])
        assert await visitor.status("/metrics") == 401, "it has a token"

        source = events(3, 20)
        async with EventProducer(admitted["producer"]) as producer:
            await producer.send([next(source) for _ in range(EVENTS)])
            await producer.flush()

        async def all_counted() -> bool:
            return await visitor.scraped("creative_feedback_events_total") >= EVENTS

        await until(process, all_counted)
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(worker.spec["terminationGracePeriodSeconds"]):
            assert await process.wait() == 0


def content(path: str | None) -> str:
    assert path is not None
    return (ROOT / path).read_text()


async def answers(visitor: Visitor, probe: Object) -> bool:
    return await visitor.status(probe["httpGet"]["path"]) == 200


async def until(process: asyncio.subprocess.Process, condition: Callable[[], Any]) -> None:
    """Wait for what another process does: asked again and again, as a probe does."""
    async with asyncio.timeout(PATIENCE_S):
        while not await condition():
            assert process.returncode is None, "the pod has ended"
            await asyncio.sleep(0.05)


async def test_a_wrong_setting_ends_the_topics_job_with_the_code_after_which_nothing_is_tried_again(
    tmp_path: Path,
) -> None:
    release = rendered("minimal", {"settings": {"loop": {"min_exploration_steps": 300}}})
    rules = release.topics_job["spec"]["podFailurePolicy"]["rules"]
    (codes,) = [rule["onExitCodes"]["values"] for rule in rules if rule["action"] == "FailJob"]
    assert await Machine({}, tmp_path).ended(topics_pod(release), "topics") in codes
