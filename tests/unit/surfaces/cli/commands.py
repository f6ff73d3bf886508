"""A command line run inside the test: exit code, stdout, stderr."""

from __future__ import annotations

from typing import NamedTuple, cast

import pytest

from processor.surfaces.cli import main
from processor.surfaces.ports import Kafka


class Ended(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


class NoKafka:
    """For commands that must not touch a cluster: any use fails the test."""

    def __getattr__(self, name: str) -> object:
        raise AssertionError(f"a cluster was used: {name}")


def run_command(capfd: pytest.CaptureFixture[str], *arguments: str, kafka: object | None = None) -> Ended:
    """Run ``creative-feedback`` with these arguments."""
    code = main(cast(Kafka, kafka or NoKafka()), arguments)
    out, err = capfd.readouterr()
    return Ended(code, out, err)
