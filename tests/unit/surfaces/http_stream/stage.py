"""A server with nothing but the stream, a picture that is fed by hand, and clients of all kinds."""

from __future__ import annotations

import asyncio
import itertools
import os
import socket
import struct
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from aiohttp import ClientSession, ClientWebSocketResponse, ClientWSTimeout, TCPConnector, WSMsgType, web

from processor.config import Settings, load_settings
from processor.surfaces.http.stream import Stream, attach
from processor.surfaces.http.stream_subscriber import Subscriber
from processor.surfaces.watch.beat import Beat
from processor.surfaces.watch.picture import MAX_SEEN, Picture
from schemas.codec import encode_json
from schemas.metrics import Metric, PerformanceTrend

HANDSHAKE = (
    "GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{more}\r\n"
)
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


def settings_with(**http: Any) -> Settings:
    """Defaults but for these settings of the section ``http``."""
    return load_settings(None, {}, {f"http.{name}": value for name, value in http.items()})


def metric(session: str, sequence: int = 0, **more: Any) -> bytes:
    """A metric as it is on the topic."""
    return encode_json(
        Metric(session, "stable", sequence, 0.25, PerformanceTrend(0.0, 0.0), stream_sequence=sequence, **more)
    )


_sequence = itertools.count()


def beat(metrics: Sequence[bytes] = (), happened: Sequence[tuple[str, dict[str, Any]]] = ()) -> Beat:
    """A beat of the one worker there is."""
    return Beat("a", next(_sequence), 0.0, 0.0, "working", metrics=list(metrics), happened=list(happened))


def transition(session: str) -> tuple[str, dict[str, Any]]:
    """A diary's entry."""
    fields = {"session": session, "step": 7, "from_mode": "stable", "to_mode": "recovering", "cumulative_gain": 0.5}
    return "creative_mode_transition", fields


class Stage:
    """``sessions`` sends with aiohttp, for what a decent client does."""

    def __init__(self, stream: Stream, picture: Picture, port: int, clients: ClientSession) -> None:
        self.stream = stream
        self.picture = picture
        self.port = port
        self._clients = clients
        self._raws: list[Raw] = []

    async def tell(self, *metrics: bytes, happened: Sequence[tuple[str, dict[str, Any]]] = ()) -> None:
        """A beat comes, and a round that nobody had to wait for."""
        # In beats that a picture shows whole.
        for start in range(0, max(len(metrics), len(happened), 1), MAX_SEEN):
            self.picture.hear(beat(metrics[start : start + MAX_SEEN], happened[start : start + MAX_SEEN]))
        await self.stream.fanout.round()

    async def connect(self, query: str = "", path: str = "/ws", **more: Any) -> ClientWebSocketResponse:
        """A client that is subscribed when this returns."""
        client: ClientWebSocketResponse = await self._clients.ws_connect(
            f"http://127.0.0.1:{self.port}{path}{query}", timeout=ClientWSTimeout(ws_close=1.0), **more
        )
        await client.send_str('{"type":"ping"}')
        await frame_of(client, "pong")
        return client

    async def get(self, query: str = "", headers: Mapping[str, str] | None = None) -> tuple[int, dict[str, Any]]:
        """A plain request to the stream's path: status and JSON."""
        url = f"http://127.0.0.1:{self.port}/ws{query}"
        async with self._clients.get(url, headers=headers) as response:
            return response.status, await response.json()

    async def raw(self, query: str = "", more: str = "", receive_bytes: int | None = None) -> Raw:
        """A socket on which the handshake is done and nothing else is read."""
        client = Raw(self.port, receive_bytes)
        self._raws.append(client)
        await client.shake_hands(query, more)
        return client

    def only_subscriber(self) -> Subscriber:
        """As the server sees it."""
        (subscriber,) = self.stream.subscribers
        return subscriber

    async def until_heard(self, count: int) -> None:
        """Wait until the server has heard of so many clients."""
        while sum(subscriber.heard_at >= 0 for subscriber in self.stream.subscribers) < count:  # noqa: ASYNC110
            await asyncio.sleep(0.005)

    def leave(self) -> None:
        """All sockets are closed."""
        for client in self._raws:
            client.close()

    async def until_subscribers(self, count: int) -> None:
        """Wait until the server counts so many."""
        while self.stream.counts.subscribers != count:  # noqa: ASYNC110  # the count has no event: nobody needs one
            await asyncio.sleep(0.005)


class Raw:
    """A client's socket without a library behind it."""

    def __init__(self, port: int, receive_bytes: int | None = None) -> None:
        self._socket = socket.socket()
        if receive_bytes is not None:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        self._socket.setblocking(False)
        self._port = port
        self._received = b""

    async def shake_hands(self, query: str, more: str) -> None:
        """Connect, and read the answer up to its last header and not a byte further."""
        loop = asyncio.get_running_loop()
        await loop.sock_connect(self._socket, ("127.0.0.1", self._port))
        await loop.sock_sendall(self._socket, HANDSHAKE.format(path=f"/ws{query}", more=more).encode())
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            byte = await loop.sock_recv(self._socket, 1)
            assert byte, head
            head += byte
        assert head.startswith(b"HTTP/1.1 101 "), head
        self.head = head

    async def send(self, opcode: int, payload: bytes, first: int | None = None) -> None:
        """A masked frame; ``first`` is its first byte where it is not that of a whole message."""
        size = len(payload)
        length = bytes((0x80 | size,)) if size < 126 else struct.pack("!BQ", 0x80 | 127, size)
        key = os.urandom(4)
        masked = bytes(byte ^ key[i % 4] for i, byte in enumerate(payload))
        await self.send_bytes(bytes((first if first is not None else 0x80 | opcode,)) + length + key + masked)

    async def send_bytes(self, data: bytes) -> None:
        """As they are."""
        await asyncio.get_running_loop().sock_sendall(self._socket, data)

    async def frame(self) -> tuple[int, bytes]:
        """The next frame: opcode and payload. Raises `ConnectionError` or `EOFError` where there is no more."""
        first, size = await self._read(2)
        if size == 126:
            (size,) = struct.unpack("!H", await self._read(2))
        elif size == 127:
            (size,) = struct.unpack("!Q", await self._read(8))
        return first & 0x0F, await self._read(size)

    async def closed_with(self) -> int | None:
        """Read to the end: the code of the close frame, None where there was none."""
        code = None
        try:
            while True:
                opcode, payload = await self.frame()
                if opcode == CLOSE:
                    (code,) = struct.unpack("!H", payload[:2])
        except (EOFError, ConnectionError):
            return code

    async def _read(self, count: int) -> bytes:
        while len(self._received) < count:
            data = await asyncio.get_running_loop().sock_recv(self._socket, 65_536)
            if not data:
                raise EOFError
            self._received += data
        taken, self._received = self._received[:count], self._received[count:]
        return taken

    def close(self) -> None:
        """The client goes away without a word."""
        self._socket.close()


@asynccontextmanager
async def staged(settings: Settings | None = None) -> AsyncIterator[Stage]:
    """A server on a free port."""
    settings = settings_with() if settings is None else settings
    picture = Picture(settings)
    app = web.Application()
    stream = attach(app, picture, settings, lambda: encode_json(picture.overview()))
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, backlog=1024)
    await site.start()
    try:
        async with ClientSession(connector=TCPConnector(limit=0)) as clients:
            stage = Stage(stream, picture, runner.addresses[0][1], clients)
            try:
                yield stage
            finally:
                stage.leave()
    finally:
        await runner.cleanup()


async def frame_of(client: ClientWebSocketResponse, kind: str) -> dict[str, Any]:
    """The next message of this type; others before it are passed over."""
    while True:
        message = await client.receive()
        assert message.type is WSMsgType.TEXT, message
        decoded: dict[str, Any] = msgspec.json.decode(message.data)
        if decoded.get("type") == kind:
            return decoded
