"""Who may ask what, before anything is looked up.

In this order: method, Host, Origin, room, body, token. The Host header is checked where only this machine can
connect: there a page of any site could otherwise look in by pointing its own name to this machine (DNS rebinding).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Callable, Container
from urllib.parse import urlsplit

from aiohttp import hdrs, web
from aiohttp.typedefs import Middleware

from processor.config import HttpConfig
from processor.surfaces.http.answers import closing, error
from processor.surfaces.http.connection import Connection
from processor.surfaces.http.token import BearerToken

MAX_BODY_BYTES = 64 * 1024  # no request here has a use for one
PROBES = frozenset({"/health/live", "/health/ready"})

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Guard:
    """Turns away what may not ask. ``open_paths`` need no token."""

    def __init__(
        self, http: HttpConfig, *, token: BearerToken | None, open_paths: Container[str], loopback: bool
    ) -> None:
        self._token = token
        self._open_paths = open_paths
        self._loopback = loopback
        self._origins = {origin.lower() for origin in http.allowed_origins}
        self._hosts = {http.host.lower(), "localhost"}
        if http.advertised_url is not None:
            self._origins.add(http.advertised_url.lower())
            self._hosts.add(_name(urlsplit(http.advertised_url).netloc))

    def middleware(self) -> Middleware:
        """For the application."""

        @web.middleware
        async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
            response = self._refusal(request)
            if response is None:
                response = await handler(request)
            if not response.prepared:
                self._share(request, response)
            return response

        return guarded

    def _refusal(self, request: web.Request) -> web.StreamResponse | None:
        path = request.rel_url.raw_path
        if request.method not in (hdrs.METH_GET, hdrs.METH_HEAD, hdrs.METH_OPTIONS):
            return closing(
                error(405, "method_not_allowed", "only GET and HEAD are answered here", headers={"Allow": "GET, HEAD"})
            )
        host = request.headers.get(hdrs.HOST, "")
        if self._loopback and host and not self._is_ours(_name(host)):
            return error(403, "host", "this host name is not ours: set http.advertised_url where it should be")
        origin = request.headers.get(hdrs.ORIGIN)
        if origin is not None and not self._may_read(origin, host):
            return error(403, "origin", "pages of this origin may not ask: set http.allowed_origins where they should")
        if path not in PROBES and not _admitted(request):
            return closing(
                error(503, "busy", "too many connections: ask again in a moment", headers={"Retry-After": "1"})
            )
        if (request.content_length or 0) > MAX_BODY_BYTES:
            return closing(error(413, "too_large", "the request's body is too large: send none"))
        if request.method == hdrs.METH_OPTIONS:
            return web.Response(status=204, headers={"Allow": "GET, HEAD"})
        if self._token is None or path in self._open_paths or self._token.accepts(request.headers):
            return None
        return error(
            401,
            "unauthorized",
            "this needs the bearer token of http.token_file",
            headers={"WWW-Authenticate": 'Bearer realm="creative-feedback"'},
        )

    def _is_ours(self, name: str) -> bool:
        if name in self._hosts:
            return True
        try:
            return ipaddress.ip_address(name).is_loopback
        except ValueError:
            return False

    def _may_read(self, origin: str, host: str) -> bool:
        known = origin.lower()
        if known in self._origins:
            return True
        scheme, _, place = known.partition("://")
        return scheme in ("http", "https") and place == host.lower()

    def _share(self, request: web.Request, response: web.StreamResponse) -> None:
        """Let pages of the allowed origins read the answer; all others may not, which is a browser's default."""
        if not self._origins:
            return
        response.headers[hdrs.VARY] = hdrs.ORIGIN
        origin = request.headers.get(hdrs.ORIGIN)
        if origin is not None and origin.lower() in self._origins:
            response.headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = origin
            if request.method == hdrs.METH_OPTIONS:
                response.headers[hdrs.ACCESS_CONTROL_ALLOW_METHODS] = "GET, HEAD"
                response.headers[hdrs.ACCESS_CONTROL_ALLOW_HEADERS] = hdrs.AUTHORIZATION
                response.headers[hdrs.ACCESS_CONTROL_MAX_AGE] = "600"


def _admitted(request: web.Request) -> bool:
    connection = request.protocol
    return not isinstance(connection, Connection) or connection.admitted()


def _name(host: str) -> str:
    """Of a ``Host`` header: the name or address without its port and brackets, in lower case."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].lower().removesuffix(".")
