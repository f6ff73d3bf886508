"""Values in both formats, as bytes: what a sender could write where something else belongs.

Bytes and not objects, because most of what is wrong with an event no encoder would write: a key twice, half a
surrogate, a number of a thousand digits, a header that announces what never comes.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec


class Atom(NamedTuple):
    """One value as JSON text and as MessagePack."""

    json: bytes
    msgpack: bytes


def atom(value: Any) -> Atom:
    """The atom of a value that both formats can hold."""
    return Atom(json.dumps(value, ensure_ascii=False).encode(), msgspec.msgpack.encode(value))


def mapping(pairs: Sequence[tuple[Atom, Atom]]) -> Atom:
    """A map of these pairs in this order, names repeated or not."""
    count = len(pairs)
    head = bytes([0x80 | count]) if count < 16 else b"\xde" + count.to_bytes(2, "big")
    return Atom(
        b"{" + b",".join([name.json + b":" + value.json for name, value in pairs]) + b"}",
        head + b"".join([name.msgpack + value.msgpack for name, value in pairs]),
    )


def listing(items: Sequence[Atom]) -> Atom:
    """A list of these items."""
    count = len(items)
    head = bytes([0x90 | count]) if count < 16 else b"\xdc" + count.to_bytes(2, "big")
    return Atom(
        b"[" + b",".join([item.json for item in items]) + b"]", head + b"".join([item.msgpack for item in items])
    )


def _floats() -> list[Atom]:
    thresholds = [0.0, 0.04, 0.08, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 0.8, 0.9, 1.0]
    near = [threshold + sign * 2.0**-53 for threshold in thresholds for sign in (-1, 1)]
    edges = [-0.0, 5e-324, 2.2250738585072014e-308, 1.7976931348623157e308, -1e300, 1e16, 1e22, 123456789.125]
    return [atom(value) for value in [*thresholds, *near, *edges]]


def _numbers() -> list[Atom]:
    whole = [0, 1, -1, 2, 127, 128, 255, 256, 2**31, 2**32, 2**53 + 1, 2**63 - 1, 2**63, 2**64 - 1, -(2**63)]
    nan, infinite, minus = (msgspec.msgpack.encode(float(name)) for name in ("nan", "inf", "-inf"))
    return [
        *map(atom, whole),
        Atom(b"NaN", nan),
        Atom(b"Infinity", infinite),
        Atom(b"-Infinity", minus),
        Atom(b"1e999", b"\xca\x7f\x80\x00\x00"),
        Atom(b"-1e999", b"\xca\xff\xc0\x00\x01"),
        Atom(b"1" * 400, b"\xca\x3f\x00\x00\x00"),
        Atom(b"-" + b"9" * 4400, b"\xd3" + b"\x80" + bytes(7)),
        Atom(b"1e-999", b"\xca\x00\x00\x00\x01"),
        Atom(b"0.1" + b"0" * 50 + b"1", b"\xcf" + b"\xff" * 8),
        Atom(b"1E5", b"\xd0\xff"),
        Atom(b"01", b"\xcd\x00\x01"),
        Atom(b"+1", b"\xd2\x00\x00\x00\x01"),
        Atom(b".5", b"\xc1"),
        Atom(b"1.", b"\xce\x00\x00\x00"),
        Atom(b"0x10", b"\xe0"),
    ]


def _texts() -> list[Atom]:
    plain = ["", "a", "s0", "novelty", "NaN", "0.5", "true", "\x00", "\x7f", "é", "\u2028", "\U0001d4b3", "'\"\\/<b>"]
    return [
        *map(atom, plain),
        *(atom("x" * length) for length in (64, 65, 255, 256, 257, 3000)),
        atom("\U0001d4b3" * 256),
        Atom(b'"\\u0041\\n\\ud835\\udcb3"', b"\xd9\x01A"),
        Atom(b'"\\ud800"', b"\xa3\xed\xa0\x80"),
        Atom(b'"\\udc00\\ud800"', b"\xa1\xff"),
        Atom(b'"\xed\xa0\x80"', b"\xda\x00\x01"),
        Atom(b'"\xc3"', b"\xdb\xff\xff\xff\xff"),
        Atom(b'"\x00"', b"\xc4\x01\x00"),
        Atom(b'"\\x41"', b"\xc7\x00\x05"),
        Atom(b'"open', b"\xd4\x01\x00"),
        Atom(b'"\\u00', b"\xd6\xff\x00\x00\x00\x00"),
        Atom(b"'s0'", b"\xd7\xff" + bytes(8)),
    ]


def _containers() -> list[Atom]:
    return [
        atom([]),
        atom({}),
        atom([0.5]),
        atom({"novelty": 0.5}),
        atom([[], {}, [1, "a", None, True]]),
        atom({"a": {"b": {"c": [1, {"d": None}]}}}),
        *(atom(_nested(depth)) for depth in (3, 29, 30, 31, 32, 33, 60)),
        Atom(b"[" * 200, b"\x91" * 200),
        Atom(b'{"a":' * 100 + b"1" + b"}" * 100, b"\x81\xa1a" * 100 + b"\xc0"),
        Atom(b"[1,]", b"\xdc\xff\xff"),
        Atom(b'{"a":1,}', b"\xdd\xff\xff\xff\xff"),
        Atom(b"{1:2}", b"\x81\x01\x02"),
        Atom(b"[}", b"\xdf\xff\xff\xff\xff"),
        Atom(b"{}{}", b"\x81\x91\x01\x02"),
        Atom(b"[[[]]]]", b"\x81\x80\x01"),
        Atom(b"", b""),
    ]


def _nested(depth: int) -> Any:
    value: Any = 1
    for level in range(depth):
        value = [value] if level % 2 else {"n": value}
    return value


NULL, TRUE, FALSE = atom(None), atom(True), atom(False)
WORDS = [NULL, TRUE, FALSE, Atom(b"nul", b"\xc1"), Atom(b"True", b"\xc2")]
FLOATS = _floats()
NUMBERS = _numbers()
TEXTS = _texts()
CONTAINERS = _containers()
ODD = [*FLOATS, *NUMBERS, *TEXTS, *CONTAINERS, *WORDS]
