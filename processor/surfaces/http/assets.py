"""The dashboard's files, read once: what is not among them does not exist, whatever a path looks like."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from importlib.resources.abc import Traversable

from aiohttp import hdrs, web
from msgspec import Struct

INDEX = "index.html"

_TYPES: Mapping[str, str] = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "json": "application/json; charset=utf-8",
    "webmanifest": "application/manifest+json; charset=utf-8",
    "svg": "image/svg+xml; charset=utf-8",
    "png": "image/png",
    "ico": "image/x-icon",
    "woff2": "font/woff2",
}


class Asset(Struct, frozen=True):
    """One file with its type and its entity tag."""

    body: bytes
    content_type: str
    etag: str


def read_assets(folder: Traversable) -> dict[str, Asset]:
    """By path from ``/``, which is the index; files of other types than a page needs are left out."""
    assets = dict(_walk(folder, "/"))
    if (index := assets.get(f"/{INDEX}")) is not None:
        assets["/"] = index
    return assets


def _walk(folder: Traversable, path: str) -> Iterator[tuple[str, Asset]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _walk(entry, f"{path}{entry.name}/")
        elif (content_type := _TYPES.get(entry.name.rpartition(".")[2])) is not None:
            body = entry.read_bytes()
            yield path + entry.name, Asset(body, content_type, f'"{hashlib.sha256(body).hexdigest()[:32]}"')


def serve_asset(request: web.Request, asset: Asset) -> web.Response:
    """The file, or 304 where the browser has it; it asks each time, so a new version is seen at once."""
    headers = {"ETag": asset.etag, "Cache-Control": "no-cache"}
    known = request.headers.get(hdrs.IF_NONE_MATCH, "")
    if asset.etag in (tag.strip().removeprefix("W/") for tag in known.split(",")):
        return web.Response(status=304, headers=headers)
    return web.Response(body=asset.body, headers={**headers, "Content-Type": asset.content_type})
