"""What a client of the stream asks for: by the query it connects with, or by a message later.

A subscription replaces the one before; ``{"type": "unsubscribe"}`` leaves none.  On a connection with ``?raw=1``
metrics come bare, one to a frame, so that there is no batch of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct
from multidict import MultiMapping

from schemas.events import MAX_SESSION_ID_CHARACTERS

MAX_SESSIONS: Final = 100  # named by one client
MAX_MESSAGE_BYTES: Final = 32 * 1024  # so many of the longest session ids fit, in ASCII

_FLAGS: Final[Mapping[str, bool]] = {"1": True, "true": True, "0": False, "false": False, "": False}

SessionName = Annotated[str, Meta(min_length=1, max_length=MAX_SESSION_ID_CHARACTERS)]


class BadSubscription(ValueError):
    """What was asked for cannot be had; the text says why."""


class MalformedMessage(ValueError):
    """No JSON at all."""


class Subscription(Struct, frozen=True):
    """Equal ones are served together. ``sessions`` None is everything, sampled; empty is no metrics."""

    sessions: frozenset[str] | None = None
    batch: bool = False
    raw: bool = False
    overview: bool = False
    happened: bool = False


class Subscribe(Struct, tag="subscribe", forbid_unknown_fields=True):
    """From a client: instead of what it got so far it wants this."""

    sessions: Annotated[list[SessionName], Meta(max_length=MAX_SESSIONS)] | None = None
    batch: bool = False
    overview: bool = False
    happened: bool = False

    def subscription(self, raw: bool) -> Subscription:
        """As data. Raises `BadSubscription`."""
        sessions = None if self.sessions is None else frozenset(self.sessions)
        return _subscription(sessions, self.batch, raw, self.overview, self.happened)


class Unsubscribe(Struct, tag="unsubscribe"):
    """From a client: nothing more."""


class Ping(Struct, tag="ping"):
    """From a client whose language cannot send a WebSocket's own."""


Message = Subscribe | Unsubscribe | Ping

_messages: msgspec.json.Decoder[Message] = msgspec.json.Decoder(Message)


def read_message(text: str) -> Message:
    """Raises `BadSubscription` for JSON of another shape, `MalformedMessage` for anything else."""
    try:
        return _messages.decode(text)
    except msgspec.ValidationError as error:
        raise BadSubscription(str(error)) from None
    except (msgspec.DecodeError, RecursionError, UnicodeEncodeError):
        raise MalformedMessage("a message is one JSON object") from None


def read_query(query: MultiMapping[str]) -> Subscription:
    """``session`` (repeatable), ``batch``, ``raw``, ``overview``, ``happened``. Raises `BadSubscription`."""
    sessions = query.getall("session", [])
    if len(sessions) > MAX_SESSIONS:
        raise BadSubscription(f"at most {MAX_SESSIONS} sessions can be named; without any name all are sampled")
    if not all(1 <= len(session) <= MAX_SESSION_ID_CHARACTERS for session in sessions):
        raise BadSubscription(f"session is a text of 1 to {MAX_SESSION_ID_CHARACTERS} characters")
    flags = {name: _flag(query, name) for name in ("batch", "raw", "overview", "happened")}
    return _subscription(frozenset(sessions) if sessions else None, **flags)


def _flag(query: Mapping[str, Any], name: str) -> bool:
    value = _FLAGS.get(query.get(name, ""))
    if value is None:
        raise BadSubscription(f"{name} is 1 or 0")
    return value


def _subscription(
    sessions: frozenset[str] | None, batch: bool, raw: bool, overview: bool, happened: bool
) -> Subscription:
    if raw and batch:
        raise BadSubscription("raw metrics come one to a frame: leave out raw or batch")
    return Subscription(sessions, batch, raw, overview, happened)
