"""The bearer token: one secret in a file, which may be renewed while the server runs."""

from __future__ import annotations

import base64
import binascii
import hmac
import os
from pathlib import Path

import structlog
from aiohttp import hdrs
from multidict import CIMultiDictProxy

from processor.errors import Refused
from processor.surfaces.token_file import read_token

SUBPROTOCOL = "bearer."
"""What a browser puts before the token (base64url) in ``Sec-WebSocket-Protocol``: it can set no other header there."""

_log = structlog.get_logger(__name__)


class BearerToken:
    """What the file says; raises `Refused` where it says nothing usable at the start.

    Later an unusable file leaves the token as it was: a half-written file opens no door and closes none.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen = _identity(path)
        self._token = read_token(path)

    def accepts(self, headers: CIMultiDictProxy[str]) -> bool:
        """Whether the request brought the token, as ``Authorization: Bearer …`` or as a WebSocket's subprotocol."""
        given = _given(headers)
        self._look_again()
        return given is not None and hmac.compare_digest(given, self._token)

    def _look_again(self) -> None:
        seen = _identity(self._path)
        if seen == self._seen:
            return
        self._seen = seen
        try:
            self._token = read_token(self._path)
        except Refused as refused:
            _log.warning("http_token_kept", reason=str(refused))
        else:
            _log.info("http_token_renewed", file=str(self._path))


def _identity(path: Path) -> tuple[int, int, int] | None:
    """Changes with the file; None where there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def _given(headers: CIMultiDictProxy[str]) -> bytes | None:
    scheme, _, token = headers.get(hdrs.AUTHORIZATION, "").partition(" ")
    if scheme.lower() == "bearer":
        return token.strip().encode("utf-8", "replace")
    for offered in ",".join(headers.getall(hdrs.SEC_WEBSOCKET_PROTOCOL, ())).split(","):
        protocol = offered.strip()
        if protocol.startswith(SUBPROTOCOL):
            text = protocol.removeprefix(SUBPROTOCOL)
            try:
                return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
            except (binascii.Error, ValueError):
                return None
    return None
