"""A small dashboard, so that no test depends on the real one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.surfaces.http.rig import PAGE


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The dashboard's files, beside others that must not be served."""
    root = tmp_path / "dashboard"
    (root / "parts").mkdir(parents=True)
    (root / "index.html").write_text(PAGE)
    (root / "parts" / "chart.js").write_text("export {};\n")
    (root / "__init__.py").write_text("SECRET = 1\n")
    (tmp_path / "secret.js").write_text("outside\n")
    return root
