"""Answers: JSON, errors, and the headers that protect whoever looks with a browser."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import msgspec
from aiohttp import hdrs, web
from multidict import CIMultiDict

JSON_TYPE = "application/json; charset=utf-8"

PROTECTION: Mapping[str, str] = {
    "Content-Security-Policy": "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "connect-src 'self'",  # the stream included: a same-origin WebSocket is 'self'
            "img-src 'self'",
            "font-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",  # a text can never become markup
            "trusted-types 'none'",
        )
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Cache-Control": "no-store",
    "Server": "creative-feedback",  # and not which Python and which aiohttp to look up weaknesses of
}

# What the status alone says, for errors that aiohttp makes (no such route, wrong method, …).
_CODES: Mapping[int, tuple[str, str]] = {
    404: ("no_such_path", "there is nothing at this path"),
    405: ("method_not_allowed", "only GET and HEAD are answered here"),
    413: ("too_large", "the request's body is too large: send none"),
    417: ("bad_request", "this expectation cannot be met: send none"),
    426: ("upgrade_required", "this path is a WebSocket's: connect with one"),
}


def protect(headers: CIMultiDict[str]) -> None:
    """Add every protecting header; how long an answer may be kept, it knows itself."""
    for name, value in PROTECTION.items():
        if name != hdrs.CACHE_CONTROL or name not in headers:
            headers[name] = value


def answer(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """``value`` as JSON."""
    return json_answer(msgspec.json.encode(value), status, headers)


def json_answer(text: bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """JSON that is encoded already."""
    return web.Response(body=text, status=status, headers={"Content-Type": JSON_TYPE, **(headers or {})})


def error(
    status: int, code: str, message: str, *, headers: Mapping[str, str] | None = None, **more: Any
) -> web.Response:
    """``{"error": {"code", "message", ...}}``; ``more`` are further fields of it."""
    return answer({"error": {"code": code, "message": message, **more}}, status, headers)


def unavailable(message: str) -> web.Response:
    """503 for what will be there in a moment."""
    return error(503, "unavailable", message, headers={"Retry-After": "1"})


def closing(response: web.Response) -> web.Response:
    """The same, as the connection's last."""
    response.force_close()
    return response


def translated(problem: web.HTTPException) -> web.Response:
    """An error that aiohttp raised, as ours."""
    code, message = _CODES.get(problem.status, ("bad_request", problem.reason.lower()))
    kept = {name: value for name, value in problem.headers.items() if name in ("Allow", "Location", "Upgrade")}
    return error(problem.status, code, message, headers=kept)


def last_words(status: int, code: str, message: str) -> bytes:
    """A whole HTTP answer, for a connection whose request was never read."""
    body = msgspec.json.encode({"error": {"code": code, "message": message}})
    head = {
        **PROTECTION,
        "Content-Type": JSON_TYPE,
        "Content-Length": str(len(body)),
        "Connection": "close",
        **({"Retry-After": "1"} if status == 503 else {}),
    }
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", *(f"{name}: {value}" for name, value in head.items())]
    return "\r\n".join((*lines, "", "")).encode("ascii") + body
