"""What may stand in a log line: plain data, bounded, without secrets, and nothing that moves a terminal's cursor.

Session names, exceptions and the words of other systems come from outside: none of them may forge a line, hide one,
or grow it without bound.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, Final

MAX_TEXT_CHARACTERS: Final = 2_000
MAX_EXCEPTION_CHARACTERS: Final = 8_000  # its last words are the ones that matter
MAX_ITEMS: Final = 50
MAX_DEPTH: Final = 4

HIDDEN: Final = "***"

_HIDDEN_NAME = r"(?:password|passwd|passphrase|secret|token|authorization|api[_-]?key|auth_bytes|cookie|credentials?)"
# A name that ends so holds a secret; one that goes on, as in sasl_password_file, says where it is kept.
_SECRET_KEY: Final = re.compile(rf"{_HIDDEN_NAME}$", re.IGNORECASE)
# password=…, "password": "…" (the colon only behind a quoted name: prose has colons too), Authorization: Bearer …
_SECRET_HINT: Final = re.compile(r"[=:\"']|earer", re.IGNORECASE)  # most texts have none, and need no closer look
_SECRET_TEXT: Final = re.compile(
    rf"(?P<name>{_HIDDEN_NAME}\s*=\s*|{_HIDDEN_NAME}[\"']\s*[:=]\s*|authorization:\s*)"
    r"(?:(?:bearer|basic)\s+\S+|b?'[^']*'|b?\"[^\"]*\"|[^\s,;)}&]+)"
    r"|(?P<scheme>\bbearer\s+)[A-Za-z0-9._~+/=-]{16,}"
    r"|(?P<url>://)[^\s/@]+@",
    re.IGNORECASE,
)


def plain(value: Any, depth: int = 0) -> Any:
    """A value as what JSON knows, cut to a bearable size; texts without what looks like a secret."""
    match value:
        case None | bool() | int():
            return value
        case float():
            return value if math.isfinite(value) else str(value)
        case str():
            return _cut(without_secrets(value))
        case Mapping() if depth < MAX_DEPTH:
            items = list(value.items())[:MAX_ITEMS]
            return {_cut(str(key)): hidden(str(key), plain(item, depth + 1)) for key, item in items}
        case list() | tuple() | set() | frozenset() if depth < MAX_DEPTH:
            return [plain(item, depth + 1) for item in list(value)[:MAX_ITEMS]]
        case _:
            try:
                return _cut(without_secrets(str(value)))
            except Exception as error:  # somebody else's __str__
                return f"<{type(value).__name__}: {type(error).__name__}>"


def hidden(key: str, value: Any) -> Any:
    """The value, or stars where the key says that it is a secret."""
    return value if value is None or isinstance(value, bool) or not _SECRET_KEY.search(key) else HIDDEN


def without_secrets(text: str) -> str:
    """The text with stars in place of passwords, tokens and the users of URLs, as far as they can be told by form."""
    if not _SECRET_HINT.search(text):
        return text
    return _SECRET_TEXT.sub(
        lambda found: (found["name"] or found["scheme"] or found["url"]) + HIDDEN + ("@" if found["url"] else ""), text
    )


def exception_text(text: str) -> str:
    """A traceback without secrets; of a very long one the beginning and the end."""
    if len(text) > MAX_EXCEPTION_CHARACTERS:
        half = MAX_EXCEPTION_CHARACTERS // 2
        text = f"{text[:half]}\n… {len(text) - 2 * half} characters left out …\n{text[-half:]}"
    return without_secrets(text)


def visible(text: str) -> str:
    """The text with everything that is no visible character (controls, bidi marks, surrogates) as an escape."""
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
        for character in text
    )


def quoted(value: Any) -> str:
    """A value of a ``key=value`` pair: in quotes where it could be taken for more than one."""
    text = value if isinstance(value, str) else repr(value)
    shown = visible(text)
    if isinstance(value, str) and (not text or shown != text or set(text) & set(" =\"'")):
        return '"' + shown.replace('"', '\\"') + '"'
    return shown


def _cut(text: str) -> str:
    if len(text) <= MAX_TEXT_CHARACTERS:
        return text
    return f"{text[:MAX_TEXT_CHARACTERS]}… ({len(text) - MAX_TEXT_CHARACTERS} characters more)"
