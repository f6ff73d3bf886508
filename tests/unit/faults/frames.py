"""Frames as a worker's client sends them, and a broker that answers what it is asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from aiokafka.protocol.api import RequestStruct
from aiokafka.protocol.transaction import AddPartitionsToTxnRequest_v0, EndTxnRequest_v0

from tests.faults.proxy.frames import Request, correlation_id_of, parse_request, read_frame, write_frame
from tests.faults.proxy.messages import refusal

PRODUCER = "app-one-producer"


def framed(body: RequestStruct, correlation_id: int = 1, client_id: str = PRODUCER) -> bytes:
    """A request frame without its length."""
    return body.build_request_header(correlation_id, client_id).encode() + body.encode()


def end(epoch: int = 0, *, commit: bool = True) -> EndTxnRequest_v0:
    """EndTxn of one producer."""
    return EndTxnRequest_v0("app-one", 7, epoch, commit)


def begin(epoch: int = 0) -> AddPartitionsToTxnRequest_v0:
    """AddPartitionsToTxn of the same producer."""
    return AddPartitionsToTxnRequest_v0("app-one", 7, epoch, [("actions", [0, 1])])


class Broker:
    """Answers every request with success; ``heard`` is what arrived, connections are numbered from 1."""

    def __init__(self) -> None:
        self.heard: list[tuple[int, Request]] = []
        self.address = ""
        self._connections = 0
        self._changed = asyncio.Condition()

    async def hears(self, count: int) -> list[tuple[int, Request]]:
        """All that was heard, once it is so much."""
        async with asyncio.timeout(5), self._changed:
            await self._changed.wait_for(lambda: len(self.heard) >= count)
        return self.heard

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        self._connections += 1
        number = self._connections
        while (frame := await read_frame(reader)) is not None:
            request = parse_request(frame)
            async with self._changed:
                self.heard.append((number, request))
                self._changed.notify_all()
            await write_frame(writer, refusal(request, 0))
        writer.close()


@asynccontextmanager
async def broker() -> AsyncIterator[Broker]:
    """Listens while the context lasts."""
    made = Broker()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    made.address = f"{host}:{port}"
    async with server:
        yield made


class Client:
    """One connection of a client."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def send(self, body: RequestStruct, correlation_id: int = 1, client_id: str = PRODUCER) -> None:
        """Without waiting for the reply."""
        await write_frame(self._writer, framed(body, correlation_id, client_id))

    async def frame(self) -> bytes | None:
        """The next reply; None when the connection is closed."""
        async with asyncio.timeout(5):
            return await read_frame(self._reader)

    async def reply(self) -> int | None:
        """The correlation id of the next reply; None when the connection is closed."""
        frame = await self.frame()
        return None if frame is None else correlation_id_of(frame)

    async def asks(self, body: RequestStruct, correlation_id: int) -> int | None:
        """`send`, then `reply`; None also where the connection breaks."""
        with suppress(ConnectionError):
            await self.send(body, correlation_id)
            return await self.reply()
        return None

    def leave(self) -> None:
        """Close."""
        self._writer.close()


@asynccontextmanager
async def client(servers: str) -> AsyncIterator[Client]:
    """Connected to the first of these servers."""
    host, _, port = servers.partition(",")[0].rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        yield Client(reader, writer)
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
