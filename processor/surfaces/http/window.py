"""The window: everything that is served over HTTP, put together."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.resources.abc import Traversable
from pathlib import Path

import structlog
from aiohttp import web
from msgspec import Struct

from processor.config import Settings
from processor.surfaces.http.answers import protect
from processor.surfaces.http.api import Api
from processor.surfaces.http.assets import Asset, read_assets, serve_asset
from processor.surfaces.http.connection import Connection
from processor.surfaces.http.door import RESERVED, Door
from processor.surfaces.http.forwarding import Forwarder
from processor.surfaces.http.glance import Glance
from processor.surfaces.http.guard import PROBES, Guard
from processor.surfaces.http.listening import BACKLOG, is_loopback, listening_sockets, make_room, told_url
from processor.surfaces.http.ports import OwnerDirectory, SessionSource
from processor.surfaces.http.probes import Probes
from processor.surfaces.http.sessions import PREFIX, InTurn, Sessions
from processor.surfaces.http.stream import Stream, attach
from processor.surfaces.http.token import BearerToken
from processor.surfaces.prometheus import Exposition
from processor.surfaces.watch.picture import Picture

DRAIN_S = 0.4  # for requests that are being answered; twice, since those that are not by then are told to end
SPARE_FILES = 256  # for Kafka, for files and for what refuses a connection

_log = structlog.get_logger(__name__)


class Served(Struct, frozen=True):
    """``url`` is the address to tell people (``http://host:port``), ``addresses`` are those listened on."""

    url: str
    addresses: list[tuple[str, int]]
    door: Door
    stream: Stream


@asynccontextmanager
async def serve(
    settings: Settings,
    picture: Picture,
    *,
    sessions: SessionSource,
    owners: OwnerDirectory,
    dashboard: Traversable,
) -> AsyncIterator[Served]:
    """Serve until left, then drain within 2 s. Raises `Refused` where it cannot listen or has no usable token.

    Runs in the event loop that the ``picture`` belongs to; ``sessions`` and ``owners`` are awaited there. The metrics
    count from now on; ``dashboard`` is the folder with the page's files.
    """
    http = settings.http
    token = None if http.token_file is None else BearerToken(Path(http.token_file))
    assets = read_assets(dashboard)
    make_room(http.max_connections + RESERVED + http.max_subscribers + SPARE_FILES)
    async with AsyncExitStack() as stack:
        sockets = listening_sockets(http)
        for bound in sockets:
            stack.callback(bound.close)
        loopback = is_loopback(sockets)
        url = told_url(http, sockets)
        guard = Guard(http, token=token, open_paths=PROBES | assets.keys(), loopback=loopback)
        glance = Glance(picture, settings)
        forwarder = Forwarder()
        stack.push_async_callback(forwarder.close)

        app = web.Application(middlewares=[guard.middleware()])
        app.on_response_prepare.append(_protect)
        stream = attach(app, picture, settings, glance.overview)
        exposition = Exposition(settings, picture.instances, stream.counts)
        picture.listeners.append(exposition)
        stack.callback(picture.listeners.remove, exposition)
        sessions = InTurn(sessions)
        _add_routes(
            app,
            Api(picture, glance),
            Sessions(picture, sessions, owners, forwarder),
            Probes(picture, glance, sessions, exposition.render),
        )
        for path, asset in assets.items():
            app.router.add_get(path, _serving(asset))

        door = Door(http.max_connections)
        await stack.enter_async_context(_listening(app, sockets, door, http.request_timeout_ms / 1000))
        _log.info("http_listening", url=url, host=http.host, protected=token is not None)
        if not loopback and token is None:
            _log.warning("http_open_to_all", host=http.host, remedy="set http.token_file, or http.host = 127.0.0.1")
        yield Served(url, [bound.getsockname()[:2] for bound in sockets], door, stream)


@asynccontextmanager
async def _listening(
    app: web.Application, sockets: Sequence[socket.socket], door: Door, timeout_s: float
) -> AsyncIterator[None]:
    """Accept connections; in the end let requests be answered, subscribers be told, and close what is left."""
    runner = web.AppRunner(app, handle_signals=False, shutdown_timeout=DRAIN_S)
    await runner.setup()
    server = runner.server
    assert server is not None
    loop = asyncio.get_running_loop()

    def connection() -> Connection:
        return Connection(server, loop=loop, door=door, timeout_s=timeout_s)

    listeners = [await loop.create_server(connection, sock=bound, backlog=BACKLOG) for bound in sockets]
    try:
        yield
    finally:
        for listener in listeners:
            listener.close()
        left = server.connections
        await runner.cleanup()
        for connected in left:
            if isinstance(connected, Connection):
                connected.abort()


def _add_routes(app: web.Application, api: Api, sessions: Sessions, probes: Probes) -> None:
    router = app.router
    router.add_get("/api/overview", api.overview)
    router.add_get("/api/sessions", api.sessions)
    router.add_get(PREFIX + "{session_id:[^/]+}", sessions.one)
    router.add_get("/health/live", probes.live)
    router.add_get("/health/ready", probes.ready)
    router.add_get("/health/creativity", probes.creativity)
    router.add_get("/metrics", probes.metrics)


def _serving(asset: Asset) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def served(request: web.Request) -> web.StreamResponse:
        return serve_asset(request, asset)

    return served


async def _protect(request: web.BaseRequest, response: web.StreamResponse) -> None:
    protect(response.headers)
