"""A real listening server, and clients that say exactly what they want, byte by byte."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any
from unittest.mock import patch

from processor.config import Settings, settings_from
from processor.surfaces.http import Owner, OwnerDirectory, Served, serve
from processor.surfaces.http.ports import Render
from processor.surfaces.prometheus import Exposition
from processor.surfaces.watch.beat import Beat, PartitionBeat, SessionAnswer
from processor.surfaces.watch.picture import Picture

BUSY_MACHINE_S = 3.0  # what two cores with other work may add to any time that is measured
PAGE = "<!doctype html><title>page</title>"


class KnownSessions:
    """A session source of what a test puts in; ``slow`` waits for ever."""

    def __init__(self, **known: SessionAnswer) -> None:
        self.known: dict[str, SessionAnswer] = dict(known)
        self.asked: list[str] = []

    async def look_up(self, session_id: str) -> SessionAnswer:
        self.asked.append(session_id)
        if session_id == "slow":
            await asyncio.Event().wait()
        return self.known.get(session_id, SessionAnswer())


class KnownOwners:
    """An owner directory of what a test puts in."""

    def __init__(self, **owners: Owner) -> None:
        self.owners = {int(name.removeprefix("p")): owner for name, owner in owners.items()}

    async def owner(self, partition: int) -> Owner | None:
        return self.owners.get(partition)


class Answer:
    """One HTTP answer, as it came over the wire."""

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """Of an error."""
        return str(self.json["error"]["code"])


class Client:
    """One raw connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self, *, head: bool = False) -> Answer:
        """The next one; raises `asyncio.IncompleteReadError` where the connection ends instead."""
        async with asyncio.timeout(10):
            text = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            first, *lines = text.removesuffix("\r\n\r\n").split("\r\n")
            pairs = [line.partition(":") for line in lines]
            headers = {name.lower(): value.strip() for name, _, value in pairs}
            assert len(headers) == len(pairs), f"a header twice: {text}"
            length = 0 if head else int(headers.get("content-length", "0"))
            return Answer(int(first.split(" ")[1]), headers, await self.reader.readexactly(length))

    async def ended(self, within_s: float = 10) -> bytes:
        """What still came before the server closed; a reset is an end too."""
        async with asyncio.timeout(within_s):
            try:
                return await self.reader.read()
            except ConnectionError:
                return b""

    async def close(self) -> None:
        self.writer.close()
        with suppress(ConnectionError):
            await self.writer.wait_closed()


class Window:
    """What a test sees of a server: its address, and what stands behind it."""

    def __init__(self, served: Served, picture: Picture, sessions: KnownSessions) -> None:
        self.served = served
        self.picture = picture
        self.sessions = sessions
        self.port = served.addresses[0][1]

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Client]:
        client = Client(*await asyncio.open_connection("127.0.0.1", self.port))
        try:
            yield client
        finally:
            await client.close()

    async def raw(self, data: bytes) -> Answer:
        """What a connection is told that sends this."""
        async with self.client() as client:
            await client.send(data)
            return await client.answer(head=data.startswith(b"HEAD"))

    async def get(self, path: str, method: str = "GET", **headers: str) -> Answer:
        """A well-made request on a connection of its own; header names with underscores for hyphens."""
        return await self.raw(request(path, method, **headers))

    async def emptied(self) -> None:
        """Every connection is gone."""
        await until(lambda: self.served.door.connections == 0)


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what no event tells."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


def request(path: str = "/", method: str = "GET", **headers: str) -> bytes:
    """Its bytes; ``Host`` is ours where none is given."""
    named = {"Host": "localhost", **{name.replace("_", "-"): value for name, value in headers.items()}}
    lines = "".join(f"{name}: {value}\r\n" for name, value in named.items())
    return f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode("latin-1")


def rendered(accept: str) -> tuple[bytes, str]:
    return b"rendered 1\n", "text/plain; version=0.0.4"


def http_settings(**http: Any) -> Settings:
    """On any free port, with room for no subscribers."""
    return settings_from({"http": {"port": 0, "max_subscribers": 0, **http}})


def working(instance: str = "worker-1") -> Beat:
    """A beat of one that has nothing to complain of."""
    return Beat(instance, 0, time.time(), time.time(), "working", partitions={0: PartitionBeat("running")})


@asynccontextmanager
async def window(
    *,
    folder: Path,
    settings: Settings | None = None,
    sessions: KnownSessions | None = None,
    owners: OwnerDirectory | None = None,
    render: Render | None = rendered,
    **http: Any,
) -> AsyncIterator[Window]:
    """A server of one healthy worker, whose dashboard is in ``folder``; without ``render`` its metrics are real."""
    settings = settings or http_settings(**http)
    picture = Picture(settings)
    picture.hear(working())
    source = sessions or KnownSessions()
    owners = owners or KnownOwners()
    with patch.object(Exposition, "render", lambda _, accept: render(accept)) if render else nullcontext():
        async with serve(settings, picture, sessions=source, owners=owners, dashboard=folder) as served:
            yield Window(served, picture, source)
