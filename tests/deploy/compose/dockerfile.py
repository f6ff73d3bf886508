"""The Dockerfile as a list of instructions."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import msgspec

from tests.deploy.compose.composition import ROOT

FILE = ROOT / "Dockerfile"


class Instruction(msgspec.Struct, frozen=True):
    """One instruction of a stage (from 0); ``flags`` are its options, such as ``--from=build``."""

    stage: int
    word: str
    flags: tuple[str, ...]
    text: str

    def exec_form(self) -> list[str]:
        """The command, which no shell reads. Raises `ValueError` where one would."""
        command = json.loads(self.text)
        if not isinstance(command, list):
            raise ValueError(self.text)
        return [str(word) for word in command]


def instructions() -> list[Instruction]:
    """All of the file, in order; what stands before the first stage is of stage -1."""
    return list(_read(FILE.read_text()))


def _read(text: str) -> Iterator[Instruction]:
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    stage = -1
    for line in re.sub(r"\\\n", " ", "\n".join(lines)).splitlines():
        word, _, rest = line.strip().partition(" ")
        if not word:
            continue
        stage += word == "FROM"
        parts = rest.split()
        flags = tuple(part for part in parts if part.startswith("--")) if word in ("COPY", "FROM", "ADD") else ()
        yield Instruction(stage, word, flags, " ".join(part for part in parts if part not in flags))
