"""TOML that no settings can be read from."""

from __future__ import annotations

from pathlib import Path

import pytest

from processor.config import load_settings
from processor.errors import ConfigError


def test_a_whole_number_of_thousands_of_digits_is_an_error_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    path.write_text(f"[http]\nport = {'1' * 5000}\n")
    with pytest.raises(ConfigError, match="not valid TOML"):
        load_settings(path)
