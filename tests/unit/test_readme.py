"""The README's generated blocks are what the code declares."""

from __future__ import annotations

import re
from pathlib import Path

import tests
from processor.config import Settings, settings_markdown
from processor.surfaces.prometheus import metrics_markdown
from topology import acls_markdown, declare, topology_markdown
from topology.blocks import replace_block

README = (Path(tests.__file__).parent.parent / "README.md").read_text(encoding="utf-8")


def test_the_picture_of_the_topology_is_current() -> None:
    current = replace_block(README, "topology", topology_markdown(declare()))
    assert current == README, "run: python -m topology README.md"


def test_the_list_of_acls_is_current() -> None:
    current = replace_block(README, "acls", acls_markdown(declare(), Settings().engine.application_id))
    assert current == README, "run: python -m topology README.md"


def test_the_reference_of_the_settings_is_current() -> None:
    current = replace_block(README, "settings", settings_markdown())
    assert current == README, "run: python -m processor.config README.md"


def test_the_list_of_metrics_is_current() -> None:
    current = replace_block(README, "metrics", metrics_markdown())
    assert current == README, "run: python -m processor.surfaces.prometheus README.md"


def test_every_test_that_it_names_exists() -> None:
    folder = Path(tests.__file__).parent
    files = [file for file in folder.rglob("*.py") if file.name.startswith("test_")]
    known = {file.name for file in files}
    known.update(name for file in files for name in re.findall(r"^(?:async )?def (test_\w+)", file.read_text(), re.M))
    named = set(re.findall(r"\btest_\w+(?:\.py)?", README))
    assert named - known == set()
