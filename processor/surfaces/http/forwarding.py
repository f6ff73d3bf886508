"""A session that another instance has, fetched from there."""

from __future__ import annotations

import asyncio
from urllib.parse import quote

import aiohttp
from aiohttp import hdrs
from yarl import URL

from processor.errors import ProcessorError

FORWARDED = "x-creative-feedback-forwarded"
OWNER = "x-creative-feedback-owner"
DEADLINE_S = 3.0
MAX_ANSWER_BYTES = 4 * 1024 * 1024
PASSED_ON = frozenset({200, 401, 404, 421, 503})
_AT_A_TIME = 16


class OwnerSilent(ProcessorError):
    """The owner gave no usable answer; the message says why."""


class Forwarder:
    """Asks other instances; one per window, closed with it."""

    def __init__(self) -> None:
        self._client: aiohttp.ClientSession | None = None

    async def fetch(self, url: str, session_id: str, authorization: str | None) -> tuple[int, bytes]:
        """Status and JSON text of the owner's answer, within `DEADLINE_S`. Raises `OwnerSilent`.

        The request says that it was forwarded, so that two instances which take each other for the owner do not play
        ball with it; the caller's ``authorization`` goes along, since all instances share the token.
        """
        headers = {FORWARDED: "1"}
        if authorization is not None:
            headers[hdrs.AUTHORIZATION] = authorization
        target = URL(f"{url}/api/sessions/{quote(session_id, safe='')}", encoded=True)
        try:
            async with (
                asyncio.timeout(DEADLINE_S),
                self._opened().get(target, headers=headers, allow_redirects=False) as response,
            ):
                if response.status not in PASSED_ON or response.content_type != "application/json":
                    raise OwnerSilent(f"{url} answered with {response.status}: is that a creative-feedback?")
                body = await _read(response)
                if body is None:
                    raise OwnerSilent(f"{url} answered with more than {MAX_ANSWER_BYTES} bytes")
                return response.status, body
        except TimeoutError:
            raise OwnerSilent(f"{url} did not answer within {DEADLINE_S:g} s") from None
        except (aiohttp.ClientError, OSError, ValueError) as problem:
            raise OwnerSilent(f"{url} cannot be asked ({type(problem).__name__})") from None

    async def close(self) -> None:
        """Close what is open."""
        if self._client is not None:
            await self._client.close()

    def _opened(self) -> aiohttp.ClientSession:
        if self._client is None:
            self._client = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=_AT_A_TIME),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={hdrs.USER_AGENT: "creative-feedback", hdrs.ACCEPT_ENCODING: "identity"},
                auto_decompress=False,
                trust_env=False,
            )
        return self._client


async def _read(response: aiohttp.ClientResponse) -> bytes | None:
    """The body; None where it is too long."""
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > MAX_ANSWER_BYTES:
            return None
    return bytes(body)
