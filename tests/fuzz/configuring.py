"""Settings nobody meant: a `ConfigError` of one line, or settings that the fold works under."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from random import Random

from processor.config import ENVIRONMENT_PREFIX, Settings, all_keys, load_settings
from processor.errors import ConfigError
from processor.loop.partition import PartitionFold
from processor.loop.pretraining import parse_pretraining
from processor.loop.rules import Rules
from tests.fuzz.atoms import ODD
from tests.fuzz.configurations import settings_of
from tests.fuzz.damage import damaged
from tests.fuzz.grammar import Grammar
from tests.fuzz.inputs import placed
from tests.fuzz.outcome import PARTITION, TOPIC, Outputs

_SOME = placed(Grammar(Random(3), (), large=False).inputs(12))
_TEXTS = [
    *("", " ", "0", "1", "-1", "2", "0.5", "1e3", "1e999", "nan", "inf", "-inf", "true", "null", "none", "[]", "{}"),
    *('"', '"auto"', "[0.5, 0.5, 0.0]", "[1e308, 1e308, 1e308]", "7d", "36501d", "0s", "1", "9" * 400, "1" * 5000),
    *('{"pulse": {"frequency": 1e308}}', '{"pulse": 1}', '{"x": {}}', "pulse", "sinusoidal", "ab", "shared", "\x00"),
    *("[" * 2000, '{"a":' * 2000, "SASL_SSL", "SCRAM-SHA-512", "localhost:9092", ":::", "é", "\U0001d4b3", "a b", "\\"),
    *("[[[1]]]", "1.0", "1e400", "-0", "0x10", "1_000", "2026-01-01", "07:32:00", "'x'", '"""', "adaptive", "rollout"),
]
_HISTORY = json.dumps(
    [
        {
            "session_id": "s0",
            "records": [
                {
                    "initial_state": {"novelty": 0.5, "aesthetic_score": 0.4, "volatility": 0.1},
                    "entropy_factor": 0.4,
                    "duration": 20,
                    "final_performance": 0.7,
                    "creative_gain": 0.2,
                }
            ],
        }
    ]
).encode()


def fuzz_configurations(dice: Random, count: int) -> list[str]:
    """`count` files, environments, flags and histories."""
    findings = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "settings.toml"
        for _ in range(count):
            complaint = _history(dice) if dice.random() < 0.3 else _settings(dice, path)
            if complaint is not None:
                findings.append(complaint)
    return findings


def _settings(dice: Random, path: Path) -> str | None:
    names = list(all_keys())
    content = _toml(dice, names)
    environment, flags = {}, {}
    while dice.random() < 0.4:
        environment[all_keys()[dice.choice(names)].environment] = dice.choice(_TEXTS)
    while dice.random() < 0.4:
        flags[dice.choice(names)] = dice.choice(_TEXTS)
    if dice.random() < 0.05:
        environment[ENVIRONMENT_PREFIX + dice.choice(_TEXTS)] = "1"
    if dice.random() < 0.05:
        flags[dice.choice(_TEXTS)] = "1"
    given = f"settings from {content!r:.600}, {environment!r:.300}, {flags!r:.300}"
    path.write_bytes(content)
    try:
        settings = load_settings(path, environment, flags)
    except ConfigError as error:
        return None if "\n" not in str(error) else f"{given}: an error of several lines: {error}"
    except Exception as error:
        return f"{given}: the loader raised {error!r}"
    return _works(settings, given)


def _works(settings: Settings, given: str) -> str | None:
    if settings.profiles.custom or settings.profiles.selector or settings.quality.pretrain_file:
        return None  # these run code and read files by name
    try:
        fold = PartitionFold(settings, TOPIC, PARTITION)
    except ConfigError:
        return None
    except Exception as error:
        return f"{given}: the fold's start raised {error!r}"
    try:
        fold.process(_SOME, Outputs())  # type: ignore[arg-type]  # header values may be null
        list(fold.changes())
    except Exception as error:
        return f"{given}: the fold raised {error!r}"
    return None


def _toml(dice: Random, names: list[str]) -> bytes:
    lines: dict[str, list[str]] = {}
    for _ in range(int(dice.random() * 8)):
        name = dice.choice(names)
        section, _, key = name.partition(".")
        value = all_keys()[name].default_text if dice.random() < 0.5 else dice.choice(_TEXTS)
        lines.setdefault(section, []).append(f"{key} = {value}")
    text = "\n".join(f"[{section}]\n" + "\n".join(given) for section, given in lines.items())
    content = text.encode("utf-8", "surrogatepass")
    return damaged(dice, content, dice.choice(ODD).json) if dice.random() < 0.3 else content


def _history(dice: Random) -> str | None:
    content = _HISTORY
    if dice.random() < 0.7:
        # Another value in one place: a number, a text, or a name and what follows it.
        pieces = content.split(b": ")
        index = 1 + int(dice.random() * (len(pieces) - 1))
        tail = pieces[index].find(b",")
        pieces[index] = dice.choice(ODD).json + (pieces[index][tail:] if tail >= 0 else b"}]}]")
        content = b": ".join(pieces)
    if dice.random() < 0.5:
        content = damaged(dice, content, dice.choice(ODD).json)
    settings = settings_of("quick")
    try:
        pretraining = parse_pretraining(Rules(settings), content, "history.json")
    except ConfigError:
        return None
    except Exception as error:
        return f"history {content!r:.600}: the reader raised {error!r}"
    try:
        fold = PartitionFold(settings, TOPIC, PARTITION, pretraining)
        fold.process(_SOME, Outputs())  # type: ignore[arg-type]  # as above
        list(fold.changes())
    except Exception as error:
        return f"history {content!r:.600}: the fold raised {error!r}"
    return None
