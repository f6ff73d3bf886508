"""How deep a value nests, found without recursion and before any decoder sees it.

The decoders recurse once per container: a few kilobytes of brackets would exhaust the stack, which no
``except`` clause survives on every supported Python.
"""

from __future__ import annotations

import re

from schemas.errors import InvalidRecord

# A whole JSON string, or one that the end of the value cuts short.
_JSON_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)', re.DOTALL)
_ARRAY_OPENER = ord("[")
_NOT_BRACKETS = bytes(byte for byte in range(256) if byte not in b"{}[]")

# fixmap and fixarray, array16, array32, map16, map32: every byte that can open a MessagePack container.
_MSGPACK_OPENERS = bytes([*range(0x80, 0xA0), 0xDC, 0xDD, 0xDE, 0xDF])

# Items of one byte each, skipped in runs: small integers, nil, false, true; and empty containers, where one
# more level is allowed.
_MSGPACK_SCALARS = re.compile(rb"[\x00-\x7f\xc0\xc2\xc3\xe0-\xff]+")
_MSGPACK_SCALARS_AND_EMPTY = re.compile(rb"[\x00-\x80\x90\xc0\xc2\xc3\xe0-\xff]+")

# Payload bytes after the type byte for the types of fixed size.
_FIXED_BYTES = {
    **dict.fromkeys((0xCC, 0xD0), 1),  # 8-bit integers
    **dict.fromkeys((0xCD, 0xD1, 0xD4), 2),  # 16-bit integers, fixext 1 with its type byte
    0xD5: 3,  # fixext 2
    **dict.fromkeys((0xCA, 0xCE, 0xD2), 4),  # float32, 32-bit integers
    0xD6: 5,  # fixext 4
    **dict.fromkeys((0xCB, 0xCF, 0xD3), 8),  # float64, 64-bit integers
    0xD7: 9,  # fixext 8
    0xD8: 17,  # fixext 16
}
# Width of the length field, and bytes to add to the announced length (an extension's type byte).
_SIZED_BYTES = {
    0xC4: (1, 0),  # binary
    0xC5: (2, 0),
    0xC6: (4, 0),
    0xC7: (1, 1),  # extension
    0xC8: (2, 1),
    0xC9: (4, 1),
    0xD9: (1, 0),  # string
    0xDA: (2, 0),
    0xDB: (4, 0),
}
# Width of the count field, and items per counted entry.
_CONTAINERS = {0xDC: (2, 1), 0xDD: (4, 1), 0xDE: (2, 2), 0xDF: (4, 2)}


def check_json_depth(value: bytes, max_depth: int) -> None:
    """Raise `InvalidRecord` ``too_deep`` where JSON text nests more than `max_depth` containers."""
    # Cheap and nearly always enough: no more openers than the limit. Most events have no array at all, and a
    # byte is found several times faster by its number than as bytes.
    if value.count(b"{") + (value.count(b"[") if _ARRAY_OPENER in value else 0) <= max_depth:
        return
    depth = 0
    for byte in _JSON_STRING.sub(b"", value).translate(None, _NOT_BRACKETS):
        if byte in b"{[":
            depth += 1
            if depth > max_depth:
                raise _too_deep(max_depth)
        else:
            depth -= 1


def check_msgpack_depth(value: bytes, max_depth: int) -> None:
    """Raise `InvalidRecord` where MessagePack nests more than `max_depth` containers.

    ``too_deep``; or ``not_decodable`` where a header announces more than the value holds, so that no
    decoder reserves memory for items that never come.
    """
    if len(value) - len(value.translate(None, _MSGPACK_OPENERS)) <= max_depth:
        return
    size = len(value)
    position = 0
    left = 1  # items still to come in the innermost open container; the outermost level is the value itself
    outer: list[int] = []
    while left or outer:
        if not left:
            left = outer.pop()
            continue
        byte_items = _MSGPACK_SCALARS_AND_EMPTY if len(outer) < max_depth else _MSGPACK_SCALARS
        run = byte_items.match(value, position, position + left)
        if run is not None:
            left -= run.end() - position
            position = run.end()
            continue
        if position >= size:
            raise _truncated()
        left -= 1
        head = value[position]
        position += 1
        if 0xA0 <= head <= 0xBF:
            position += head & 0x1F
        elif head in _FIXED_BYTES:
            position += _FIXED_BYTES[head]
        elif head in _SIZED_BYTES:
            width, extra = _SIZED_BYTES[head]
            position += width + extra + int.from_bytes(value[position : position + width], "big")
        elif head == 0xC1:
            raise InvalidRecord("not_decodable", "value is not MessagePack: the byte 0xc1 starts no item")
        else:
            if head <= 0x8F:
                items = 2 * (head & 0x0F)
            elif head <= 0x9F:
                items = head & 0x0F
            else:
                width, factor = _CONTAINERS[head]
                items = factor * int.from_bytes(value[position : position + width], "big")
                position += width
            if items > size - position:
                raise _truncated()
            outer.append(left)
            if len(outer) > max_depth:
                raise _too_deep(max_depth)
            left = items


def _too_deep(max_depth: int) -> InvalidRecord:
    return InvalidRecord("too_deep", f"value nests more than {max_depth} containers")


def _truncated() -> InvalidRecord:
    return InvalidRecord("not_decodable", "value is not MessagePack: it ends before what it announces")
