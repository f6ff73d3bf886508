"""Byte-level damage: what a sender, a wire or a disk may do to something that was right."""

from __future__ import annotations

from random import Random

# What means something to one of the decoders, wherever it is put.
MAGIC = (
    *(b"{", b"}", b"[", b"]", b'"', b"\\", b",", b":", b"NaN", b"1e999", b"null", b"true", b"\\ud800", b"\\u0000"),
    *(b"\xef\xbb\xbf", b"\xff\xfe", b"\x00", b"\xc3", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\x1f\x8b\x08"),
    *(b"\xc0", b"\xc1", b"\xc4", b"\xc9", b"\xca", b"\xcb", b"\xcf", b"\xd3", b"\xd9", b"\xdc", b"\xdd", b"\xde"),
    *(b"\xdf\xff\xff\xff\xff", b"\xdb\x7f\xff\xff\xff", b"\x80", b"\x90", b"\xa0", b"\x7f\xff\xff\xff", b"-", b"e9"),
    *(b'"session_id":"s1",', b'"sequence":', b'"state":', b"\xa5state", b"\xaasession_id", b"\xa8sequence"),
)


def damaged(dice: Random, value: bytes, other: bytes) -> bytes:
    """`value` with one to three places changed; `other` is what may be spliced in."""
    data = bytearray(value)
    random = dice.random
    for _ in range(1 + int(random() * 3)):
        size = len(data)
        at = int(random() * (size + 1))
        kind = int(random() * 8)
        if kind <= 1 and size:
            data[at % size] ^= 1 << int(random() * 8)
        elif kind == 2:
            del data[at:]
        elif kind == 3:
            begin = int(random() * (len(other) + 1))
            data[at:] = other[begin:]
        elif kind == 4:
            data[at:at] = MAGIC[int(random() * len(MAGIC))]
        elif kind == 5:
            del data[at : at + 1 + int(random() * 8)]
        elif kind == 6:
            data[at:at] = data[at : at + 1 + int(random() * 16)]
        elif size:
            data[at % size] = int(random() * 256)
    return bytes(data)
