"""What shapes the output, as text and as a fingerprint, so that state and replay can tell a changed behaviour."""

from __future__ import annotations

import hashlib
import json
from importlib.metadata import version
from typing import Any, Final

import msgspec

from processor.config.keys import all_keys, value_of
from processor.config.load import settings_from
from processor.config.settings import Settings
from processor.errors import ConfigError

APPLICATION_VERSION: Final = version("creative-feedback")

_BEHAVIOUR_SECTIONS: Final = frozenset({"loop", "profiles", "quality", "experiment", "streaming"})
_BEHAVIOUR_KEYS: Final = frozenset({"engine.max_event_bytes", "engine.max_event_depth"})
_SESSION_TTL_MS: Final = "engine.session_ttl_ms"  # 7d and 168h are the same


def behaviour_fingerprint(settings: Settings) -> str:
    """32 hexadecimal digits; equal for settings that make the same output of the same input."""
    return hashlib.blake2b(behaviour_text(settings).encode(), digest_size=16).hexdigest()


def behaviour_text(settings: Settings) -> str:
    """What the fingerprint counts, as one JSON object by ``section.key``; `behaviour_settings` reads it back.

    Only values that differ from their default count, so that a version with a new key leaves it as it was.
    Of ``quality.pretrain_file`` the path counts, not the content.
    """
    shaped: dict[str, object] = {_SESSION_TTL_MS: settings.engine.session_ttl_ms}
    for name, key in all_keys().items():
        value = value_of(settings, name)
        if (name.partition(".")[0] in _BEHAVIOUR_SECTIONS or name in _BEHAVIOUR_KEYS) and value != key.default:
            shaped[name] = msgspec.to_builtins(value)
    return json.dumps(shaped, sort_keys=True, separators=(",", ":"))


def behaviour_settings(text: str) -> Settings:
    """Settings of the behaviour that `behaviour_text` told, all other keys at their defaults.

    Raises `ConfigError` where this version cannot behave like that, or would count it in other words.
    """
    sections: dict[str, dict[str, Any]] = {}
    try:
        recorded = json.loads(text)
        ttl_ms = recorded.pop(_SESSION_TTL_MS)
        recorded["engine.session_ttl"] = f"{ttl_ms}ms" if ttl_ms % 1000 else f"{ttl_ms // 1000}s"
        for name, value in recorded.items():
            section, _, field = name.partition(".")
            sections.setdefault(section, {})[field] = value
        settings = settings_from(sections)
    # Whoever may write the changelog may have written anything: text of no encoding, or brackets without end.
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError):
        raise ConfigError("the recorded settings are not what a behaviour is told in") from None
    if behaviour_text(settings) != text:
        raise ConfigError("the recorded settings mean something else to this version")
    return settings
