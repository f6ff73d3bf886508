"""The proxy: a listener per broker, rules, and the ways to single brokers."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any, Literal, Self

from tests.faults.proxy.frames import ApiName
from tests.faults.proxy.messages import Address
from tests.faults.proxy.relay import Relay, Streams, Way
from tests.faults.proxy.rules import Action, Direction, Rule, Rules
from tests.faults.proxy.wire import Wire

HOST = "127.0.0.1"


class KafkaProxy:
    """Stands before the brokers at ``bootstrap_servers`` (all of them, in the order of their numbers from 1).

        async with KafkaProxy(kafka.bootstrap_servers) as proxy:
            ...  # workers get proxy.bootstrap_servers
            lost = proxy.rule("one", "EndTxn", "reply", "cut before")
            await lost.happened()

    Leaving raises what went wrong in the proxy itself, and what `Wire` saw broken.
    """

    def __init__(self, bootstrap_servers: str) -> None:
        self._brokers = [_address(server) for server in bootstrap_servers.split(",")]
        self._ways = [Way() for _ in self._brokers]
        self._servers: list[asyncio.Server] = []
        self._moved: dict[Address, Address] = {}
        self._rules = Rules()
        self._tasks: set[asyncio.Task[None]] = set()
        self._relays: dict[Relay, int] = {}
        self._defects: list[BaseException] = []
        self.wire = Wire()

    async def __aenter__(self) -> Self:
        for index, broker in enumerate(self._brokers):
            server = await asyncio.start_server(self._taker(index), HOST, 0)
            self._servers.append(server)
            self._moved[broker] = server.sockets[0].getsockname()[:2]
        return self

    async def __aexit__(self, kind: Any, *_: object) -> None:
        for server in self._servers:
            server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if kind is None:
            self.check()

    @property
    def bootstrap_servers(self) -> str:
        """What clients that shall go through the proxy are given."""
        return ",".join(f"{host}:{port}" for host, port in (self._moved[broker] for broker in self._brokers))

    def rule(
        self,
        worker: str | None,
        api: ApiName | None,
        direction: Direction,
        action: Action,
        *,
        role: str | None = None,
        nth: int = 1,
        times: int | None = 1,
        seconds: float = 0.0,
        error_code: int = 0,
    ) -> Rule:
        """A rule from now on: see `Rule`. None stands for every worker, every API, every role."""
        return self._rules.add(
            Rule(
                worker, api, direction, action, role=role, nth=nth, times=times, seconds=seconds, error_code=error_code
            )
        )

    def remove(self, *rules: Rule) -> None:
        """Forget these rules, or all; what they hold goes on."""
        self._rules.remove(*rules)

    async def isolate(self, number: int, how: Literal["held", "cut"]) -> None:
        """Between clients and this broker: ``held`` is silence on open connections, ``cut`` refuses them all."""
        way = self._ways[number - 1]
        way.become(how)
        if how == "cut":
            for relay in [relay for relay, index in self._relays.items() if index == number - 1]:
                await relay.close()

    def rejoin(self, number: int) -> None:
        """Let this broker be reached again; what was held goes on."""
        self._ways[number - 1].become("open")

    def check(self) -> None:
        """Raise what nobody else would tell."""
        if self._defects:
            raise AssertionError(f"the proxy failed: {self._defects[0]!r}") from self._defects[0]
        assert not self.wire.broken, "\n".join(self.wire.broken)

    def _taker(self, index: int) -> Any:
        def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.create_task(self._serve(index, (reader, writer)))
            self._tasks.add(task)
            task.add_done_callback(self._served)

        return take

    async def _serve(self, index: int, client: Streams) -> None:
        way = self._ways[index]
        broker: Streams | None = None
        with contextlib.suppress(OSError):
            if way.state != "cut":
                broker = await asyncio.open_connection(*self._brokers[index])
        if broker is None:
            client[1].transport.abort()
            return
        relay = Relay(client, broker, way, self._rules, self.wire, self._advertised)
        self._relays[relay] = index
        try:
            await relay.run()
        finally:
            del self._relays[relay]

    def _served(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._defects.append(error)

    def _advertised(self, broker: Address) -> Address:
        assert broker in self._moved, f"broker {broker} is not behind this proxy: {sorted(self._moved)}"
        return self._moved[broker]


def _address(server: str) -> Address:
    host, _, port = server.rpartition(":")
    return host, int(port)
