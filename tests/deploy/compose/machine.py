"""The composition's services as processes of this machine, with their own commands, environments and files.

What a container has to itself is translated: a service's name and port become an address on 127.0.0.1, the path of a
volume or a config becomes one in a folder. Everything else is taken as it stands in the file. Kafka is set up by the
class that its image uses for that, from the service's variables alone.
"""

from __future__ import annotations

import itertools
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from processor.backends.embedded.jars import kafka_jars
from processor.backends.embedded.java import Jvm
from processor.backends.embedded.ports import HOST, free_ports
from processor.backends.embedded.watchdog import Watchdog
from tests.deploy.compose.composition import Composition, Service, compose, variables
from tests.deploy.compose.dockerfile import instructions

PATIENCE_S = 90.0  # a busy machine's; everything is there after some 15 s on an idle one
_POLL_S = 0.1
_KAFKA_TOOLS = {"kafka-broker-api-versions.sh": "org.apache.kafka.tools.BrokerApiVersionsCommand"}


class Machine:
    """Starts and stops services; as a context manager it leaves nothing running.

    ``program`` stands for what the image's ENTRYPOINT names: by default this environment's.
    """

    def __init__(self, folder: Path, program: Sequence[str] = ()) -> None:
        ports = [name for name in variables() if name.endswith("_PORT")]
        chosen = dict(zip(ports, map(str, free_ports(len(ports))), strict=True))
        self.composition: Composition = compose(chosen)
        self.services = self.composition.services
        self.processes: dict[str, subprocess.Popen[bytes]] = {}  # running
        self.codes: dict[str, int] = {}  # ended, and how
        self._published = {int(port) for port in chosen.values()}
        self._ports = {
            (service.name, inside): int(outside.rpartition(":")[2])
            for service in self.services.values()
            for inside, outside in service.ports.items()
        }
        self._folder = folder
        entry_point = [each.exec_form() for each in instructions() if each.word == "ENTRYPOINT"][-1]
        self._program = list(program) or [str(Path(sys.executable).with_name(entry_point[0])), *entry_point[1:]]
        self._watchdog = Watchdog()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        for name in list(self.processes):
            self.processes[name].kill()
            self.ended(name)
        self._watchdog.close()

    def address(self, service: str, port: int) -> str:
        """Where a port of a service is on this machine: ``127.0.0.1:port``."""
        if (service, port) not in self._ports:
            (self._ports[service, port],) = free_ports(1, frozenset(self._ports.values()))
        return f"{HOST}:{self._ports[service, port]}"

    def up(self, *names: str) -> None:
        """Start these services, each when what it waits for is so."""
        for name in names:
            service = self.services[name]
            for before, condition in service.waits_for.items():
                if before not in self.processes and before not in self.codes:
                    self.up(before)
                self._await(self.services[before], condition)
            self.start(name)

    def start(self, name: str) -> None:
        """Start one service now."""
        service = self.services[name]
        log = self.log(name).open("ab")
        with log:
            self.processes[name] = subprocess.Popen(
                self._command(service),
                env=self._environment(service),
                cwd=self._folder_of(service),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._watchdog.watch(self.processes[name].pid)

    def stop(self, *names: str) -> dict[str, int]:
        """SIGTERM to all of these at once, as Compose does; their exit codes."""
        for name in names:
            self.processes[name].terminate()
        return {name: self.ended(name) for name in names}

    def ended(self, name: str) -> int:
        """Wait until a service has ended; its exit code."""
        if name in self.processes:
            self.codes[name] = self.processes[name].wait(PATIENCE_S)
            self._watchdog.forget(self.processes.pop(name).pid)
        return self.codes[name]

    def run(self, name: str, *command: str) -> subprocess.CompletedProcess[str]:
        """Another command in the place of a service's own, as ``docker compose run`` does, until it ends."""
        service = self.services[name]
        return subprocess.run(
            [*self._program, *(command or self._translated(service, service.command))],
            env=self._environment(service),
            cwd=self._folder_of(service),
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )

    def healthy(self, name: str) -> bool:
        """What the service's health check says now."""
        service = self.services[name]
        words = self._translated(service, service.health_check)
        if words[0] == "env":  # what it sets is for the image's script
            words = list(itertools.dropwhile(lambda word: "=" in word, words[1:]))
        tool, *arguments = words
        if tool == "wget":  # the tool of a foreign image: what it asks is asked
            try:
                with urllib.request.urlopen(arguments[-1], timeout=5) as answer:
                    return bool(answer.status == 200)
            except OSError:
                return False
        command = [tool, *arguments]
        if tool == "python":
            command[0] = sys.executable
        elif (main_class := _KAFKA_TOOLS.get(Path(tool).name)) is not None:
            command = _jvm().command(main_class, arguments)
        return subprocess.run(command, env=_PLAIN, capture_output=True, timeout=60, check=False).returncode == 0

    def log(self, name: str) -> Path:
        """What a service said."""
        return self._folder_of(self.services[name]) / "log"

    def path(self, name: str, target: str) -> Path:
        """Where a path of a service's container is on this machine."""
        return self._folder_of(self.services[name]) / target.lstrip("/")

    def _await(self, service: Service, condition: str) -> None:
        deadline = time.monotonic() + PATIENCE_S
        if condition == "service_completed_successfully":
            code: int | None = self.ended(service.name)
            assert code == 0, f"{service.name} ended with {code}: {self._last_words(service)}"
            return
        assert condition == "service_healthy", condition
        while not self.healthy(service.name):
            code = self.processes[service.name].poll()
            assert code is None, f"{service.name} ended with {code}: {self._last_words(service)}"
            assert time.monotonic() < deadline, f"{service.name} is not healthy: {self._last_words(service)}"
            time.sleep(_POLL_S)

    def _last_words(self, service: Service) -> str:
        return self.log(service.name).read_text(errors="replace")[-2000:]

    def _command(self, service: Service) -> list[str]:
        for config in service.configs:
            path = self.path(service.name, config.target)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(self._text(service, self.composition.config(config.source)))
        for volume in service.volumes:
            self.path(service.name, volume.target).mkdir(parents=True, exist_ok=True)
        command = self._translated(service, service.command)
        if service.is_ours:
            return [*self._program, *command]
        if service.name == "kafka":
            return self._kafka(service)
        # In a container it has the address of all interfaces to itself.
        (port,) = service.ports
        return [_installed(service.name), *command, f"--web.listen-address={self.address(service.name, port)}"]

    def _kafka(self, service: Service) -> list[str]:
        folders = {name: self._folder_of(service) / name for name in ("defaults", "mounted", "final")}
        for folder in folders.values():
            folder.mkdir(exist_ok=True)
        environment = self._environment(service)
        words = ["setup", "-D", str(folders["defaults"]), "-M", str(folders["mounted"]), "-F", str(folders["final"])]
        subprocess.run(
            _jvm().command("kafka.docker.KafkaDockerWrapper", words, heap_mb=64),
            env=environment,
            capture_output=True,
            timeout=PATIENCE_S,
            check=True,
        )
        heap = re.search(r"-Xmx(\d+)m", environment["KAFKA_HEAP_OPTS"])
        assert heap is not None
        return _jvm(int(heap[1])).command("kafka.Kafka", [str(folders["final"] / "server.properties")])

    def _environment(self, service: Service) -> dict[str, str]:
        """The service's own variables: a container has no others of ours either."""
        given = {name: self._text(service, value) for name, value in service.environment.items()}
        if service.is_ours and "CREATIVE_FEEDBACK__HTTP__PORT" in given:
            _, _, port = self.address(service.name, int(given["CREATIVE_FEEDBACK__HTTP__PORT"])).partition(":")
            assert given["CREATIVE_FEEDBACK__HTTP__HOST"] == "0.0.0.0"
            given |= {"CREATIVE_FEEDBACK__HTTP__PORT": port, "CREATIVE_FEEDBACK__HTTP__HOST": HOST}
        return {**_PLAIN, **given}

    def _translated(self, service: Service, words: Sequence[str]) -> list[str]:
        return [self._text(service, word) for word in words]

    def _text(self, service: Service, text: str) -> str:
        """With this machine's addresses and paths in it."""
        places = {mount.target for mount in (*service.configs, *service.volumes)}
        for place in sorted(places, key=len, reverse=True):
            text = re.sub(rf"(?<![\w./-]){re.escape(place)}(?![\w-])", str(self.path(service.name, place)), text)
        named = "|".join(map(re.escape, self.services))
        text = re.sub(rf"\b({named}):(\d+)\b", lambda found: self.address(found[1], int(found[2])), text)
        # A listener on all interfaces, and a service that asks itself.
        text = re.sub(r"(?<=://):(\d+)\b", lambda found: self.address(service.name, int(found[1])), text)
        return re.sub(rf"\b{HOST}:(\d+)\b", lambda found: self._own(service, int(found[1])), text)

    def _own(self, service: Service, port: int) -> str:
        return f"{HOST}:{port}" if port in self._taken() else self.address(service.name, port)

    def _taken(self) -> set[int]:
        """Ports that are this machine's already."""
        return self._published | set(self._ports.values())

    def _folder_of(self, service: Service) -> Path:
        folder = self._folder / service.name
        folder.mkdir(exist_ok=True)
        return folder


_PLAIN: Mapping[str, str] = {"PATH": os.defpath}


def _jvm(heap_mb: int = 64) -> Jvm:
    return Jvm(tuple(kafka_jars()), heap_mb)


def _installed(program: str) -> str:
    found = shutil.which(program)
    assert found is not None, f"{program} is not installed"
    return found
