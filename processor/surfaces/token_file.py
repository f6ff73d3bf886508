"""The file of the bearer token: what of the web server can be refused before there is one."""

from __future__ import annotations

from pathlib import Path

from processor.errors import Refused

MIN_LENGTH = 16
MAX_BYTES = 4096


def read_token(path: Path) -> bytes:
    """The token; raises `Refused` where the file says nothing usable."""
    try:
        with path.open("rb") as file:
            text = file.read(MAX_BYTES + 1).strip()
    except OSError as error:
        raise Refused(f"http.token_file = {str(path)!r}: {error.strerror}; write the token into it") from None
    if len(text) < MIN_LENGTH or len(text) > MAX_BYTES or not text.isascii() or not text.decode().isprintable():
        raise Refused(
            f"http.token_file = {str(path)!r}: expected one line of at least {MIN_LENGTH} printable ASCII characters;"
            " write a random token into it"
        )
    return text
