"""A fingerprint of what shapes the output, so that state and replay can tell a changed behaviour."""

from __future__ import annotations

import hashlib
import json
from typing import Final

import msgspec

from processor.config.keys import all_keys, value_of
from processor.config.settings import Settings

_BEHAVIOUR_SECTIONS: Final = frozenset({"loop", "profiles", "quality", "experiment", "streaming"})
_BEHAVIOUR_KEYS: Final = frozenset({"engine.max_event_bytes", "engine.max_event_depth"})


def behaviour_fingerprint(settings: Settings) -> str:
    """32 hexadecimal digits; equal for settings that make the same output of the same input.

    Only values that differ from their default count, so that a version with a new key leaves it as it was.
    Of ``quality.pretrain_file`` the path counts, not the content.
    """
    shaped: dict[str, object] = {"engine.session_ttl_ms": settings.engine.session_ttl_ms}
    for name, key in all_keys().items():
        value = value_of(settings, name)
        if (name.partition(".")[0] in _BEHAVIOUR_SECTIONS or name in _BEHAVIOUR_KEYS) and value != key.default:
            shaped[name] = msgspec.to_builtins(value)
    canonical = json.dumps(shaped, sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(canonical.encode(), digest_size=16).hexdigest()
