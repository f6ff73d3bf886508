"""Inputs and cases: what is fuzzed, and how a corpus file holds it."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path

import msgspec
from msgspec import Struct

Headers = tuple[tuple[str, bytes | None], ...]

CORPUS = Path(__file__).parent / "corpus"
SUFFIX = ".case"
MAX_CORPUS_BYTES = 2048  # a larger input is not kept: the small ones teach the same


class Input(Struct, frozen=True, array_like=True, gc=False):
    """One input record without its place; `timestamp` in ms since the epoch, -1: none."""

    value: bytes | None
    key: bytes | None = None
    headers: Headers = ()
    timestamp: int = -1

    def size(self) -> int:
        """Bytes of key, value and headers."""
        headers = sum(len(name.encode()) + len(value or b"") for name, value in self.headers)
        return len(self.value or b"") + len(self.key or b"") + headers


class Case(Struct, frozen=True, array_like=True):
    """Inputs in order, under one of the configurations of `configurations`."""

    configuration: str
    inputs: list[Input]


class Placed(Struct, frozen=True, gc=False):
    """An input at its offset, as the fold reads it."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Headers


def placed(inputs: list[Input], first_offset: int = 0) -> list[Placed]:
    """The inputs as records at consecutive offsets."""
    return [
        Placed(offset, one.timestamp, one.key, one.value, one.headers)
        for offset, one in enumerate(inputs, first_offset)
    ]


def read_case(path: Path) -> Case:
    """The case in a file; raises ``ValueError`` where it holds none."""
    try:
        return msgspec.msgpack.decode(path.read_bytes(), type=Case)
    except msgspec.DecodeError as error:
        raise ValueError(f"{path}: no case of the fuzzer ({error}); name a file that a run wrote") from None


def write_case(folder: Path, case: Case) -> Path:
    """Write the case under a name that its content decides."""
    content = msgspec.msgpack.encode(case)
    path = folder / (blake2b(content, digest_size=8).hexdigest() + SUFFIX)
    folder.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def corpus_cases(folder: Path) -> Iterator[Case]:
    """All cases of a folder, in the order of their names; none where there is no folder."""
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        yield read_case(path)
