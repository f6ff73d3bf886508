"""From a recorded era to the fold that behaves like it."""

from __future__ import annotations

from processor.config import APPLICATION_VERSION, Settings, behaviour_settings
from processor.errors import ConfigError
from processor.loop.partition import PartitionFold
from processor.loop.pretraining import Pretraining, parse_pretraining, pretraining_content, pretraining_digest
from processor.loop.rules import Rules
from processor.surfaces.audit.stored import NotAuditable
from schemas.state_records import EraRecord


def era_fold(era: EraRecord | None, given: Settings, partition: int) -> PartitionFold:
    """A new fold with the era's behaviour; without a recorded one, with the given settings.

    Raises `NotAuditable` where this program cannot behave like that.
    """
    topic = given.topics.state
    if era is None:
        return PartitionFold(given, topic, partition)
    try:
        settings = behaviour_settings(era.settings)
        return PartitionFold(settings, topic, partition, _pretraining(era, settings, given))
    except ConfigError as error:
        raise NotAuditable(
            f"the behaviour from input offset {era.first_offset} on, recorded by version {era.application_version}, "
            f"cannot be had: {error}"
        ) from None


def era_notes(era: EraRecord | None, until: int) -> list[str]:
    """What a verdict on the era rests on beyond the log; ``until``: where it ends (exclusive)."""
    if era is None:
        return [f"the settings before input offset {until} are not recorded: taken to be the given ones"]
    notes = []
    begin = f"from input offset {era.first_offset} on"
    if era.application_version != APPLICATION_VERSION:
        notes.append(f"{begin} version {era.application_version} wrote; re-derived with {APPLICATION_VERSION}")
    profiles = behaviour_settings(era.settings).profiles
    named = [*profiles.custom.values(), *([profiles.selector] if profiles.selector is not None else [])]
    if named:
        notes.append(f"{begin} functions take part whose version is not recorded: {', '.join(named)}")
    return notes


def _pretraining(era: EraRecord, settings: Settings, given: Settings) -> Pretraining:
    if not era.pretrain_digest:
        return Pretraining({})
    digest = era.pretrain_digest.hex()
    path = given.quality.pretrain_file
    if path is None:
        raise ConfigError(f"give the pretraining file with BLAKE2b-128 digest {digest} as quality.pretrain_file")
    content = pretraining_content(path)
    found = pretraining_digest(content)
    if found != era.pretrain_digest:
        raise ConfigError(f"{path} is not the pretraining file of that time: its digest is {found.hex()}, not {digest}")
    return parse_pretraining(Rules(settings), content, path)
