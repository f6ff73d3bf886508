"""The WebSocket stream: ``/ws``, and ``/creativity`` as the seeds call it.

Modules: `subscription` (what a client asks for), `stream_frames` (bytes on the wire), `stream_feed` and `stream_push`
(what waits, and what one round says), `stream_subscriber` (one client), `stream_fanout` (rounds, and what they may
cost), `stream_patience` (who is slow).

Decisions:

1. A client that cannot follow loses metrics, never time of ours: its queue is bounded, and full for long it is closed.
2. Writing goes around aiohttp's writer, to the transport: no task per push, and one encoding for all who get the same.
   Reading is aiohttp's, with its limits.
3. Who may connect (Origin, token) was decided by the guard before a request comes here.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Final

from aiohttp import WebSocketError, WSCloseCode, WSMsgType, hdrs, web

from processor.config import Settings
from processor.surfaces.http.answers import error
from processor.surfaces.http.stream_fanout import Fanout
from processor.surfaces.http.stream_frames import PONG, PONG_FRAME, CloseCode, error_frame, frame
from processor.surfaces.http.stream_patience import SWEEP_S, Patience
from processor.surfaces.http.stream_subscriber import Subscriber
from processor.surfaces.http.subscription import (
    MAX_MESSAGE_BYTES,
    BadSubscription,
    MalformedMessage,
    Ping,
    Subscribe,
    Unsubscribe,
    read_message,
    read_query,
)
from processor.surfaces.stream_counts import StreamCounts
from processor.surfaces.watch.picture import Picture

PROTOCOL: Final = "creative-feedback"
"""The WebSocket subprotocol; a client that offers any must offer this one."""

PATHS: Final = ("/ws", "/creativity")
DRAIN_S: Final = 0.6  # for the clients' own close frames, after ours
SEND_BUFFER_BYTES: Final = 64 * 1024  # of the kernel for one client; without a limit it grows to megabytes
USER_TIMEOUT_MS: Final = 20_000  # Linux ends a connection whose data nobody acknowledges


def attach(app: web.Application, picture: Picture, settings: Settings, overview: Callable[[], bytes]) -> Stream:
    """Add the stream to an application that is not started yet. Returns it, for its ``counts``.

    ``overview`` gives the JSON text of what clients see as the overview.
    """
    stream = Stream(settings.http.max_subscribers, overview)
    for path in PATHS:
        app.router.add_get(path, stream.serve, allow_head=False)

    async def running(_: web.Application) -> AsyncIterator[None]:
        picture.listeners.append(stream.fanout)
        picture.wanted = stream.fanout.named
        tasks = [asyncio.create_task(stream.fanout.run()), asyncio.create_task(stream.sweep())]
        yield
        picture.listeners.remove(stream.fanout)
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task

    app.cleanup_ctx.append(running)
    app.on_shutdown.append(lambda _: stream.drain())
    return stream


class Stream:
    """All clients of one window."""

    def __init__(self, max_subscribers: int, overview: Callable[[], bytes]) -> None:
        self.counts = StreamCounts()
        self.patience = Patience(self.counts)
        self.fanout = Fanout(overview, self.counts, self.patience)
        self._max_subscribers = max_subscribers
        self.subscribers: set[Subscriber] = set()
        self._draining = False
        self._empty = asyncio.Event()

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """One client, until its connection ends; or an error before there is one."""
        response = web.WebSocketResponse(
            timeout=1.0,
            autoping=False,  # pings count as messages
            autoclose=False,
            compress=False,  # to compress for each client is what a small share of a core cannot do
            max_msg_size=MAX_MESSAGE_BYTES,
            protocols=(PROTOCOL,),
        )
        offered = request.headers.getall(hdrs.SEC_WEBSOCKET_PROTOCOL, ())
        if offered and PROTOCOL not in (name.strip() for line in offered for name in line.split(",")):
            return error(400, "bad_request", f"offer the subprotocol {PROTOCOL}, or none")
        try:
            subscription = read_query(request.query)
        except BadSubscription as problem:
            return error(400, "bad_request", str(problem))
        if not response.can_prepare(request):
            return error(
                426,
                "upgrade_required",
                "this path is a WebSocket's: connect with one",
                headers={"Upgrade": "websocket"},
            )
        if self._draining or self.counts.subscribers >= self._max_subscribers:
            self.counts.refused += 1
            return error(
                503,
                "busy",
                "the server is going away" if self._draining else "too many subscribers; come again later",
                headers={"Retry-After": "5"},
            )
        self.counts.subscribers += 1
        try:
            await response.prepare(request)
            transport = request.transport
            if transport is None:
                return response
            _bound(transport)
            subscriber = Subscriber(transport, self.counts, subscription.raw)
            self.subscribers.add(subscriber)
            try:
                self.patience.welcome(subscriber)
                self.fanout.subscribe(subscriber, subscription)
                await self._listen(response, subscriber)
            finally:
                subscriber.ended = True
                self.subscribers.discard(subscriber)
                self.fanout.subscribe(subscriber, None)
                self.patience.forget(subscriber)
                transport.close()
        finally:
            self.counts.subscribers -= 1
            if not self.counts.subscribers:
                self._empty.set()
        return response

    async def _listen(self, response: web.WebSocketResponse, subscriber: Subscriber) -> None:
        while True:
            message = await response.receive()
            subscriber.heard_at = self.patience.clock
            if message.type is WSMsgType.CLOSE:
                code = message.data or WSCloseCode.OK
                subscriber.say_goodbye(code, "")
                return
            if message.type is WSMsgType.ERROR:
                # A frame against the protocol, which aiohttp has answered by its close code, or a lost connection.
                self.counts.hostile_closed += isinstance(message.data, WebSocketError)
                return
            if message.type in (WSMsgType.CLOSED, WSMsgType.CLOSING):
                return
            if subscriber.ended:
                continue
            if not subscriber.may_send(time.monotonic()):
                self._refuse(subscriber, CloseCode.POLICY_VIOLATION, "too many messages")
                return
            if message.type is WSMsgType.BINARY:
                self._refuse(subscriber, CloseCode.UNSUPPORTED_DATA, "messages are JSON text")
                return
            if message.type is WSMsgType.PING:
                subscriber.reply(frame(PONG, message.data))
            elif message.type is WSMsgType.TEXT:
                try:
                    self._obey(subscriber, message.data)
                except MalformedMessage as problem:
                    self._refuse(subscriber, CloseCode.INVALID_TEXT, str(problem))
                    return

    def _obey(self, subscriber: Subscriber, text: str) -> None:
        try:
            message = read_message(text)
            if isinstance(message, Subscribe):
                self.fanout.subscribe(subscriber, message.subscription(subscriber.raw))
            elif isinstance(message, Unsubscribe):
                self.fanout.subscribe(subscriber, None)
            elif isinstance(message, Ping):
                subscriber.reply(PONG_FRAME)
        except BadSubscription as problem:
            subscriber.reply(error_frame("bad_message", str(problem)))

    def _refuse(self, subscriber: Subscriber, code: CloseCode, reason: str) -> None:
        self.counts.hostile_closed += 1
        self.patience.part(subscriber, code, reason)

    async def sweep(self) -> None:
        """Look after slow and silent clients, until cancelled."""
        last = time.monotonic()
        while True:
            await asyncio.sleep(SWEEP_S)
            now = time.monotonic()
            self.patience.sweep(now - last)
            last = now

    async def drain(self) -> None:
        """Say 1001 to everybody, wait a moment for their answers, close what is left."""
        self._draining = True
        self._empty.clear()
        # In one go: ten thousand take a fifth of a second, and with answers handled in between several times that.
        for subscriber in list(self.subscribers):
            subscriber.say_goodbye(CloseCode.GOING_AWAY, "the server is going away")
        if self.counts.subscribers:
            with suppress(TimeoutError):
                async with asyncio.timeout(DRAIN_S):
                    await self._empty.wait()
        for subscriber in list(self.subscribers):
            subscriber.abort()


def _bound(transport: asyncio.Transport) -> None:
    """Let the kernel hold little for this client, and give it up by itself where nobody is there."""
    client = transport.get_extra_info("socket")
    client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, USER_TIMEOUT_MS)
