"""A stand-in of the HTTP server: the dashboard's files, the API and the stream, under the real content security policy.

It runs in a thread of its own, so that a test that waits for the browser does not stop it; every method may be called
from the test.
"""

from __future__ import annotations

import asyncio
import base64
import threading
import time
from collections.abc import Callable
from importlib.resources import files
from typing import Any

import msgspec
from aiohttp import WSCloseCode, web

from processor.surfaces.http.answers import PROTECTION
from tests.browser.world import World

TYPES = {"html": "text/html", "js": "text/javascript", "css": "text/css", "svg": "image/svg+xml"}
ROUND_S = 0.25


def refusal(status: int, code: str, message: str, **fields: Any) -> web.Response:
    return web.json_response({"error": {"code": code, "message": message, **fields}}, status=status)


class FakeWindow:
    """Serves `world` until `stop()`; `start()` takes the same port again.

    ``updates_per_s`` are the metrics pushed (in four batches a second), ``steps_per_round`` how fast sessions live.
    """

    def __init__(self, world: World, token: str | None = None) -> None:
        self.world, self.token = world, token
        self.port = 0
        self.updates_per_s = 0
        self.steps_per_round = 3
        self.silent = False  # connections stay, nothing is said
        self.elsewhere: set[str] = set()
        self.pushed = 0  # metrics, to each that listens
        self.asked: list[str] = []  # paths with their queries
        self._sockets: set[web.WebSocketResponse] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="stand-in server", daemon=True)
        self._thread.start()
        self._runner: web.AppRunner | None = None
        self._living: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def start(self) -> None:
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(10)

    def stop(self) -> None:
        """Ends the server and its connections, as a stopped process does."""
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(10)

    def close(self) -> None:
        self.stop()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def change(self, alter: Callable[[], Any]) -> None:
        """Runs `alter` between two rounds."""

        async def altered() -> None:
            alter()

        asyncio.run_coroutine_threadsafe(altered(), self._loop).result(10)

    async def _start(self) -> None:
        app = web.Application(middlewares=[self._guard])
        app.router.add_get("/", self._file)
        app.router.add_get("/{name:[a-z_]+[.](?:js|css|svg)}", self._file)
        app.router.add_get("/api/overview", self._overview)
        app.router.add_get("/api/sessions", self._sessions)
        app.router.add_get("/api/sessions/{id}", self._session)
        app.router.add_get("/ws", self._stream)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True)
        await site.start()
        self.port = self._runner.addresses[0][1]
        self._living = asyncio.ensure_future(self._live())

    async def _stop(self) -> None:
        if self._living is not None:
            self._living.cancel()
            await asyncio.gather(self._living, return_exceptions=True)
            self._living = None
        if self._runner is not None:
            for socket in list(self._sockets):
                await socket.close(code=WSCloseCode.GOING_AWAY)
            await self._runner.cleanup()
            self._runner = None

    @web.middleware
    async def _guard(self, request: web.Request, handler: Any) -> web.StreamResponse:
        self.asked.append(request.path_qs)
        if self.token is not None and request.path.startswith(("/api/", "/ws")) and not self._knows(request):
            response: web.StreamResponse = refusal(401, "unauthorized", "a bearer token is needed")
        else:
            response = await handler(request)
        if not response.prepared:
            response.headers["Content-Security-Policy"] = PROTECTION["Content-Security-Policy"]
            response.headers["X-Content-Type-Options"] = "nosniff"
            response.headers["Cache-Control"] = "no-store"
        return response

    def _knows(self, request: web.Request) -> bool:
        assert self.token is not None
        encoded = base64.urlsafe_b64encode(self.token.encode()).decode().rstrip("=")
        offered = request.headers.get("Sec-WebSocket-Protocol", "").split(", ")
        return request.headers.get("Authorization") == f"Bearer {self.token}" or f"bearer.{encoded}" in offered

    async def _file(self, request: web.Request) -> web.Response:
        name = request.match_info.get("name", "index.html")
        file = files("processor.surfaces.dashboard") / name
        if not file.is_file():
            return refusal(404, "no_such_path", f"there is no {name}")
        return web.Response(body=file.read_bytes(), content_type=TYPES[name.rsplit(".", 1)[1]], charset="utf-8")

    async def _overview(self, request: web.Request) -> web.Response:
        return web.json_response(self.world.overview())

    async def _sessions(self, request: web.Request) -> web.Response:
        asked = request.query
        limit = int(asked.get("limit", "100"))
        listing = self.world.listing(asked.get("mode", ""), asked.get("q", ""), asked.get("order", "recent"), limit)
        return web.json_response(listing)

    async def _session(self, request: web.Request) -> web.Response:
        name = request.match_info["id"]
        if name in self.elsewhere and "forward" not in request.query:
            owner = {"instance": "worker-9", "url": None}
            return refusal(421, "owned_elsewhere", "partition 3 is worker-9's", partition=3, owner=owner)
        session = self.world.sessions.get(name)
        if session is None:
            return refusal(404, "no_session", "no such session")
        return web.json_response(session.full())

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(protocols=("creative-feedback",))
        await socket.prepare(request)
        self._sockets.add(socket)
        async for _ in socket:
            pass
        self._sockets.discard(socket)
        return socket

    async def _live(self) -> None:
        """A round every quarter of a second, as the stream's batches."""
        world, rounds = self.world, 0
        while True:
            await asyncio.sleep(ROUND_S)
            if self.silent:
                continue
            rounds += 1
            news = world.live(self.steps_per_round)
            if rounds % 8 == 0:
                world.note_trend(time.time(), len(world.sessions) * self.steps_per_round / ROUND_S)
            frames: list[dict[str, Any]] = []
            if count := self.updates_per_s // 4:
                all_of_them = list(world.sessions.values())
                first = rounds * count
                metrics = [all_of_them[(first + n) % len(all_of_them)].metric() for n in range(count)]
                self.pushed += count
                frames.append({"type": "creativity_updates", "timestamp": "", "updates": metrics, "left_out": 0})
            if news:
                frames.append({"type": "happened", "data": news})
            if rounds % 4 == 0:
                frames.append({"type": "overview", "data": world.overview()})
            for frame in frames:
                text = msgspec.json.encode(frame).decode()
                await asyncio.gather(*(socket.send_str(text) for socket in self._sockets), return_exceptions=True)
