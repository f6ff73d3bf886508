"""What is fuzzed besides events, by name: each takes dice and a number of inputs, and gives its findings as text."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random
from typing import Final

from tests.fuzz.configuring import fuzz_configurations
from tests.fuzz.reading import fuzz_batches
from tests.fuzz.replaying import fuzz_files
from tests.fuzz.replying import fuzz_replies
from tests.fuzz.restoring import fuzz_changelogs

Target = Callable[[Random, int], list[str]]

TARGETS: Final[Mapping[str, Target]] = {
    "changelogs": fuzz_changelogs,
    "configurations": fuzz_configurations,
    "files": fuzz_files,
    "batches": fuzz_batches,
    "replies": fuzz_replies,
}
