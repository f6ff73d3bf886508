"""The reference of all keys, rendered for a terminal and for the README."""

from __future__ import annotations

from processor.config.keys import all_keys


def settings_text() -> str:
    """Plain text: a line per key and one for its meaning, for ``--help``."""
    lines = []
    for key in all_keys().values():
        lines += [f"{key.name} = {key.default_text}", f"    {key.meaning} Expected: {key.expected}."]
    return "\n".join(lines) + "\n"


def settings_markdown() -> str:
    """One table per section of key, default, range and meaning."""
    lines: list[str] = []
    section = ""
    for key in all_keys().values():
        if key.name.partition(".")[0] != section:
            section = key.name.partition(".")[0]
            lines += ["", f"**[{section}]**", "", "| key | default | expected | meaning |", "|---|---|---|---|"]
        cells = (key.name, key.default_text, key.expected, key.meaning)
        name, default, expected, meaning = (cell.replace("|", "\\|") for cell in cells)
        lines.append(f"| `{name}` | `{default}` | {expected} | {meaning} |")
    return "\n".join(lines).strip() + "\n"
