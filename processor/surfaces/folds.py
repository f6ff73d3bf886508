"""The fold that every surface runs: the loop over one partition of the input topic."""

from __future__ import annotations

from typing import cast

from processor.config import Settings
from processor.engine.ports import Fold
from processor.loop.partition import PartitionFold


def partition_fold(settings: Settings, partition: int, *, keeps_diary: bool = False) -> Fold:
    """A new fold, at the beginning of its partition. Raises `ConfigError` as `PartitionFold` does."""
    # The loop and the engine do not know each other; their views of a record differ in names only.
    return cast(Fold, PartitionFold(settings, settings.topics.state, partition, keeps_diary=keeps_diary))
