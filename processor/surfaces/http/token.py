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

SUBPROTOCOL = "bearer."
"""What a browser puts before the token (base64url) in ``Sec-WebSocket-Protocol``: it can set no other header there."""

MIN_LENGTH = 16
_MAX_BYTES = 4096

_log = structlog.get_logger(__name__)


class BearerToken:
    """What the file says; raises `Refused` where it says nothing usable at the start.

    Later an unusable file leaves the token as it was: a half-written file opens no door and closes none.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen = _identity(path)
        self._token = _read(path)

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
            self._token = _read(self._path)
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


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            text = file.read(_MAX_BYTES + 1).strip()
    except OSError as error:
        raise Refused(f"http.token_file = {str(path)!r}: {error.strerror}; write the token into it") from None
    if len(text) < MIN_LENGTH or len(text) > _MAX_BYTES or not text.isascii() or not text.decode().isprintable():
        raise Refused(
            f"http.token_file = {str(path)!r}: expected one line of at least {MIN_LENGTH} printable ASCII characters;"
            " write a random token into it"
        )
    return text


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
