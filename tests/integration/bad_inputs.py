"""Input that nobody wants, by the code of the dead letter it must become."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

MIB = 1024 * 1024
GOOD_STATE = {"novelty": 0.4, "aesthetic_score": 0.6, "volatility": 0.1}
MSGPACK = ("content-type", b"application/msgpack")
OWN_HEADERS = (("traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"), ("own", b"\x00\xff"))


class BadInput(NamedTuple):
    """One record; ``answered``: an action with `error` tells the sender too."""

    name: str
    code: str
    value: bytes | None
    key: bytes | None = None
    headers: tuple[tuple[str, bytes], ...] = ()
    answered: bool = False


def event(session: str = "bad", state: Any = None, **fields: Any) -> bytes:
    """A good event with some fields that are not."""
    return json.dumps({"session_id": session, "state": GOOD_STATE if state is None else state, **fields}).encode()


def bad_inputs() -> Iterator[BadInput]:
    """One of every kind."""
    yield from _not_decodable()
    yield from _limits()
    yield from _envelope()
    yield from _states()


def _not_decodable() -> Iterator[BadInput]:
    good = event()
    dice = random.Random(5)

    def broken(name: str, value: bytes | None, *headers: tuple[str, bytes]) -> BadInput:
        return BadInput(name, "not_decodable", value, b"bad", headers)

    yield broken("null", None)
    yield broken("null with headers", None, *OWN_HEADERS)
    yield broken("empty", b"")
    for number in range(10):
        # The first byte is none that JSON may begin with.
        yield broken(f"random bytes {number}", b"\xc0" + dice.randbytes(dice.randrange(1, 200)))
    for size in range(1, len(good)):
        yield broken(f"cut after {size} bytes", good[:size])
    yield broken("trailing garbage", good + b"}")
    yield broken("two events in one", good + good)
    yield broken("byte order mark", b"\xef\xbb\xbf" + good)
    yield broken("UTF-16", good.decode().encode("utf-16"))
    yield broken("Latin-1", b'{"session_id": "bad", "state": {"note": "caf\xe9"}}')
    yield broken("compressed", gzip.compress(good, mtime=0))
    yield broken("lone surrogate", b'{"session_id": "bad\\ud800", "state": {}}')
    yield broken("encoded surrogate", b'{"session_id": "bad\xed\xa0\x80", "state": {}}')
    yield broken("an array", b"[1, 2]")
    yield broken("a number", b"12")
    yield broken("MessagePack said, JSON sent", good, MSGPACK)
    yield broken("MessagePack sent, not said", msgspec.msgpack.encode({"session_id": "bad", "state": GOOD_STATE}))
    yield broken("map of 2^32 items", b"\xdf\xff\xff\xff\xff", MSGPACK)
    yield broken("array of 2^32 items", b"\x82\xaasession_id\xa3bad\xa5state\xdd\xff\xff\xff\xff", MSGPACK)
    yield broken("text of 2^32 bytes", b"\x81\xaasession_id\xdb\xff\xff\xff\xffbad", MSGPACK)


def _limits() -> Iterator[BadInput]:
    deep = b'{"session_id": "bad", "state": {"deep": '
    yield BadInput("10^5 brackets", "too_deep", deep + b"[" * 100_000 + b"]" * 100_000 + b"}}", b"bad")
    yield BadInput("10^5 open brackets", "too_deep", b"[" * 100_000, b"bad")
    yield BadInput("10^5 nested maps", "too_deep", b"\x81\xa1a" * 100_000 + b"\xc0", b"bad", (MSGPACK,))
    yield BadInput("10^5 nested arrays", "too_deep", b"\x81\xa5state" + b"\x91" * 100_000 + b"\xc0", b"bad", (MSGPACK,))
    yield BadInput("a megabyte of value", "too_large", event(note="x" * MIB), b"bad")
    yield BadInput("a megabyte of nothing", "too_large", b" " * (MIB + 1), b"bad", OWN_HEADERS)
    yield BadInput("unknown content type", "content_type", event(), b"bad", (("content-type", b"text/xml"),))
    yield BadInput("content type no text", "content_type", event(), b"bad", (("content-type", b"\xff\xfe"),))


def _envelope() -> Iterator[BadInput]:
    yield BadInput("no session at all", "no_session", json.dumps({"state": GOOD_STATE}).encode())
    yield BadInput("empty session", "no_session", event(""))
    yield BadInput("session over-long", "no_session", event("x" * 257))
    yield BadInput("session of most of a megabyte", "no_session", event("x" * (MIB - 200)))
    yield BadInput("session a number", "no_session", json.dumps({"session_id": 7, "state": {}}).encode())
    yield BadInput("key over-long", "no_session", json.dumps({"state": GOOD_STATE}).encode(), b"k" * 300)
    yield BadInput("key no text", "no_session", json.dumps({"state": GOOD_STATE}).encode(), b"\xff\xfe")
    yield BadInput("key and session differ", "session_mismatch", event("bad"), b"other", OWN_HEADERS)
    for sequence in (-1, 1.5, 2**63, 10**30, "7", True, [1]):
        yield BadInput(f"sequence {sequence!r}", "bad_sequence", event(sequence=sequence), b"bad")
    timestamps: list[Any] = [12, 1.5, True, {}, "x" * 65]
    for timestamp in timestamps:
        yield BadInput(f"timestamp {timestamp!r:.10}", "bad_timestamp", event(timestamp=timestamp), b"bad")


def _states() -> Iterator[BadInput]:
    def refused(name: str, state: str) -> BadInput:
        value = b'{"session_id": "refused", "state": ' + state.encode() + b"}"
        return BadInput(name, "state_invalid", value, b"refused", answered=True)

    for number in ("NaN", "Infinity", "-Infinity", "1e999", "1" * 1000, "1" * 5000, '"0.4"', "true", "[0.4]", "{}"):
        for name in ("novelty", "aesthetic_score", "volatility", "lambda_max"):
            yield refused(f"{name} {number:.12} of {len(number)} characters", f'{{"{name}": {number}}}')
    for flag in ("0", "1", '"true"', "[]", "{}"):
        yield refused(f"emergency_override {flag}", f'{{"emergency_override": {flag}}}')
    for state in ("7", '"stable"', "[1]", "true"):
        yield refused(f"state {state}", state)
