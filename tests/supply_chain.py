"""``python -m tests.supply_chain``: what the project is made of, and whether anybody knows something bad about it.

    advisories   every pinned package against the known vulnerabilities of PyPI's advisory service (pip-audit)
    withdrawn    every pinned version is still in the package index, and its authors have not withdrawn it (PEP 592)
    pins         every pinned package is installed in a pinned version, and every pin carries SHA-256 hashes
    files        every installed file is the one its wheel brought (the hashes of RECORD; not the wheels' own notes)
    sbom         build/sbom.cdx.json: what is delivered, in CycloneDX, with Kafka's jars of the extra ``broker``

Ends with 1 where something is wrong.  Where the advisory service or the index is out of reach, it says so and does the
rest: the last three need no network.  With ``--require-advisories`` a missing answer of the service is an error too.

No database of advisories is pinned instead.  The one that comes as a package, safety-db, ends in July 2021: it knows
13 of the 101 packages, none in a version of this decade's second half, and would say "ok" to anything.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from importlib.metadata import Distribution, distribution, distributions
from pathlib import Path
from typing import Any

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from processor.backends.embedded.jars import pinned_jars

ROOT = Path(__file__).resolve().parents[1]
LOCK = ROOT / "requirements.lock"
SBOM = ROOT / "build" / "sbom.cdx.json"
PRODUCT = "creative-feedback"
DELIVERED_EXTRAS = ("broker",)
# What `python -m venv` brings: not ours, and not pinned.
BROUGHT_BY_VENV = frozenset({"pip", "setuptools", PRODUCT})
ADVISORY_TIMEOUT_S = 300
INDEX_TIMEOUT_S = 600
_PIN = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^\s;\\]+)")


def advisories(report: dict[str, Any]) -> tuple[list[str], int]:
    """Known vulnerabilities in pip-audit's report, and how many packages it could compare at all."""
    found, compared = [], 0
    for package in report["dependencies"]:
        if "skip_reason" in package:
            continue
        compared += 1
        for flaw in package["vulns"]:
            fixed = ", ".join(flaw["fix_versions"]) or "none yet"
            found.append(f"{package['name']} {package['version']}: {flaw['id']}, fixed in {fixed}")
    return found, compared


def ask_advisories() -> dict[str, Any] | None:
    """pip-audit's report on the lock file; None where the service is out of reach."""
    command = ["-m", "pip_audit", "--requirement", str(LOCK), "--require-hashes", "--disable-pip", "--format", "json"]
    try:
        done = subprocess.run(
            [sys.executable, *command, "--progress-spinner", "off"],
            capture_output=True, text=True, timeout=ADVISORY_TIMEOUT_S, check=False,
        )  # fmt: skip
        report: dict[str, Any] = json.loads(done.stdout)
    except (subprocess.TimeoutExpired, json.JSONDecodeError):
        return None
    return report


def withdrawn(plan: dict[str, Any]) -> tuple[list[str], int]:
    """Withdrawn versions in pip's report on an installation, and how many packages it looked up."""
    packages = plan["install"]
    found = [
        f"{one['metadata']['name']} {one['metadata']['version']}: withdrawn by its authors; pin another version"
        for one in packages
        if one["is_yanked"]
    ]
    return found, len(packages)


def without_hashes(lock: str) -> str:
    """The same requirements; with hashes pip fetches whole packages only to say what it would install."""
    lines = (line.removesuffix("\\").rstrip() for line in lock.splitlines() if not line.startswith(("#", " ")))
    return "\n".join(lines) + "\n"


def ask_index() -> tuple[dict[str, Any] | None, str]:
    """pip's report on what it would install of the lock file on this platform, or None and why there is none."""
    with tempfile.TemporaryDirectory() as folder:
        requirements = Path(folder) / "requirements.txt"
        requirements.write_text(without_hashes(LOCK.read_text()))
        report = Path(folder) / "report.json"
        command = ["-m", "pip", "install", "--dry-run", "--ignore-installed", "--no-deps", "--only-binary", ":all:"]
        command += ["--quiet", "--disable-pip-version-check", "--requirement", str(requirements)]
        try:
            done = subprocess.run(
                [sys.executable, *command, "--report", str(report)],
                capture_output=True, text=True, timeout=INDEX_TIMEOUT_S, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return None, f"no answer within {INDEX_TIMEOUT_S} s"
        if done.returncode != 0:
            return None, (done.stderr.strip().splitlines() or ["pip gives no reason"])[-1].removeprefix("ERROR: ")
        plan: dict[str, Any] = json.loads(report.read_bytes())
        return plan, ""


def pins(lock: str) -> dict[str, dict[str, int]]:
    """Canonical name to version to number of hashes, from the text of a lock file.

    Several versions of one package are for several platforms or Pythons.
    """
    found: dict[str, dict[str, int]] = {}
    hashes: dict[str, int] = {}
    version = ""
    for line in lock.splitlines():
        if match := _PIN.match(line):
            version = match["version"]
            hashes = found.setdefault(canonicalize_name(match["name"]), {})
            hashes[version] = 0
        elif "--hash=sha256:" in line:
            hashes[version] += 1
    return found


def differences(pinned: Mapping[str, Mapping[str, int]], installed: Mapping[str, str]) -> list[str]:
    """Pins without a hash, and installed packages in another version than pinned."""
    found = [
        f"{name} {version}: pinned without a SHA-256"
        for name, versions in pinned.items()
        for version, hashes in versions.items()
        if not hashes
    ]
    for name, version in sorted(installed.items()):
        if name in pinned and version not in pinned[name] and name not in BROUGHT_BY_VENV:
            found.append(f"{name} {version}: pinned is {' or '.join(pinned[name])}; run make install")
    return found


def unpinned(pinned: Mapping[str, Mapping[str, int]], installed: Mapping[str, str]) -> list[str]:
    """Installed by somebody, beside what the lock file names: nothing that is delivered depends on it."""
    return sorted(name for name in installed if name not in pinned and name not in BROUGHT_BY_VENV)


def changed_files(package: Distribution) -> list[str]:
    """Files that are missing, or not as the package's RECORD says."""
    found = []
    for file in package.files or ():
        if file.hash is None or file.parts[0].endswith(".dist-info"):
            continue
        path = Path(str(package.locate_file(file)))
        try:
            digest = hashlib.new(file.hash.mode, path.read_bytes()).digest()
        except OSError:
            found.append(f"{package.name}: {file} is missing")
            continue
        if base64.urlsafe_b64encode(digest).decode().rstrip("=") != file.hash.value:
            found.append(f"{package.name}: {file} was changed after its installation")
    return found


def delivered() -> set[str]:
    """Canonical names of the product and all it needs, with its extras, on this platform."""
    names: set[str] = set()
    waiting: list[tuple[str, tuple[str, ...]]] = [(PRODUCT, DELIVERED_EXTRAS)]
    while waiting:
        name, extras = waiting.pop()
        names.add(canonicalize_name(name))
        for text in distribution(name).requires or ():
            needed = Requirement(text)
            applies = needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in ("", *extras))
            if applies and canonicalize_name(needed.name) not in names:
                waiting.append((needed.name, tuple(needed.extras)))
    return names


def jar_components() -> list[dict[str, Any]]:
    """Kafka's jars as CycloneDX components."""
    components = []
    for jar in pinned_jars():
        group, name, version = jar.coordinate.split(":")
        purl = f"pkg:maven/{group}/{name}@{version}"
        components.append(
            {
                "type": "library", "bom-ref": purl, "group": group, "name": name, "version": version, "purl": purl,
                "scope": "optional", "hashes": [{"alg": "SHA-256", "content": jar.sha256}],
            }
        )  # fmt: skip
    return components


def bill_of_materials() -> dict[str, Any]:
    """What is delivered: the environment as cyclonedx-py sees it, without what only the developers use."""
    command = ["-m", "cyclonedx_py", "environment", sys.executable, "--pyproject", str(ROOT / "pyproject.toml")]
    done = subprocess.run(
        # Validated once, when it is whole: that is most of the work.
        [sys.executable, *command, "--output-format", "JSON", "--output-reproducible", "--no-validate"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    bill: dict[str, Any] = json.loads(done.stdout)
    names = delivered()
    kept = [one for one in bill["components"] if canonicalize_name(one["name"]) in names]
    references = {one["bom-ref"] for one in kept} | {bill["metadata"]["component"]["bom-ref"]}
    bill["dependencies"] = [
        {**one, "dependsOn": [other for other in one.get("dependsOn", ()) if other in references]}
        for one in bill["dependencies"]
        if one["ref"] in references
    ]
    bill["components"] = [*kept, *jar_components()]
    return bill


def invalid(bill: str) -> str | None:
    """Why the text is no CycloneDX 1.6, None where it is."""
    error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(bill)
    return None if error is None else str(error)


def main(arguments: list[str]) -> int:
    """The program."""
    parser = argparse.ArgumentParser(prog="python -m tests.supply_chain")
    parser.add_argument("--require-advisories", action="store_true")
    wanted = parser.parse_args(arguments)

    report = ask_advisories()
    flaws, compared = advisories(report) if report is not None else ([], 0)
    if compared:
        wrong = _told(f"advisories: {compared} packages compared with known vulnerabilities", flaws)
    else:
        print("advisories: NOT COMPARED, PyPI's advisory service cannot be reached from here; ask it from elsewhere")
        wrong = int(wanted.require_advisories)

    plan, why = ask_index()
    if plan is None:
        print(f"withdrawn: NOT COMPARED, the package index does not tell: {why}")
    else:
        gone, looked_up = withdrawn(plan)
        wrong += _told(f"withdrawn: {looked_up} packages looked up in the package index", gone)

    pinned = pins(LOCK.read_text())
    installed: dict[str, str] = {canonicalize_name(package.name): package.version for package in distributions()}
    wrong += _told(f"pins: {len(pinned)} packages", differences(pinned, installed))
    if strangers := unpinned(pinned, installed):
        print(f"    note: installed beside the lock file: {', '.join(strangers)}")
    changed = [line for package in distributions() for line in changed_files(package)]
    wrong += _told(f"files: {len(installed)} packages", changed)

    bill = bill_of_materials()
    text = json.dumps(bill, indent=1, sort_keys=True) + "\n"
    SBOM.parent.mkdir(exist_ok=True)
    SBOM.write_text(text)
    error = invalid(text)
    told = f"sbom: {SBOM.relative_to(ROOT)} with {len(bill['components'])} components"
    wrong += _told(told, [] if error is None else [error])
    return min(wrong, 1)


def _told(what: str, found: Iterable[str]) -> int:
    lines = list(found)
    print(f"{what}: {'ok' if not lines else f'{len(lines)} wrong'}")
    for line in lines:
        print(f"    {line}")
    return len(lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
