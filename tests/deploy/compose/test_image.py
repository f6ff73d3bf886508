"""The Dockerfile and what it installs: no more than what runs, as nobody in particular."""

from __future__ import annotations

import fnmatch
import re
import tomllib
from importlib.metadata import distribution

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from processor.surfaces.cli import cli
from tests.deploy.compose.composition import OURS, ROOT, compose, variables
from tests.deploy.compose.dockerfile import Instruction, instructions

ALL = instructions()
FINAL = [each for each in ALL if each.stage == max(each.stage for each in ALL)]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
RUN, BUILD, EVERYTHING = (f"requirements{which}.lock" for which in ("-run", "-build", ""))

Pins = dict[tuple[str, str], tuple[str, frozenset[str]]]


def _one(word: str, of: list[Instruction] = FINAL) -> Instruction:
    (found,) = (each for each in of if each.word == word)
    return found


def test_what_builds_stays_behind() -> None:
    bases = [each for each in ALL if each.word == "FROM"]
    assert [each.text for each in bases] == ["${PYTHON_IMAGE} AS build", "${PYTHON_IMAGE}"]
    assert [each.flags for each in FINAL if each.word == "COPY"] == [("--from=build",)]
    assert not any(each.word == "ADD" for each in ALL), "it fetches and unpacks"


def test_the_base_is_chosen_once_and_compose_offers_the_same() -> None:
    name, _, image = _one("ARG", [each for each in ALL if each.stage == -1]).text.partition("=")
    assert re.fullmatch(r"python:3\.11-slim-[a-z]+", image)
    assert variables()[name] == image
    assert set(compose().services["topics"].declared["build"]["args"]) == {name}


def test_it_runs_as_nobody_in_particular_without_a_shell() -> None:
    words = [each.word for each in FINAL]
    assert _one("USER").text == "10001:10001", "numbers: Kubernetes looks no names up"
    assert "RUN" not in words[words.index("USER") :]
    assert _one("ENTRYPOINT").exec_form() == [OURS]
    (command,) = _one("CMD").exec_form()
    assert command in {each.name or each.callback.__name__ for each in cli.registered_commands if each.callback}
    assert _one("STOPSIGNAL").text == "SIGTERM"
    assert [_one("EXPOSE").text] == [str(port) for port in compose().services["processor-1"].ports]


def test_labels_tell_the_version() -> None:
    arguments = dict(each.text.split("=") for each in FINAL if each.word == "ARG")
    assert arguments["VERSION"] == PROJECT["project"]["version"]
    labels = dict(re.findall(r'org\.opencontainers\.image\.(\w+)="([^"]*)"', _one("LABEL").text))
    assert labels == {
        "title": PROJECT["project"]["name"],
        "description": PROJECT["project"]["description"],
        "licenses": PROJECT["project"]["license"],
        "version": "${VERSION}",
        "revision": "${REVISION}",
    }


COMMANDS = [command for each in ALL if each.word == "RUN" for command in each.text.split("&&")]


def test_compiled_code_has_no_time_in_it() -> None:
    """What pip compiles names the time of its source, and would not be compiled again."""
    compiling = [command for command in COMMANDS if "compileall" in command]
    assert len(compiling) == 2, "the library of Python, and what is installed"
    assert all("--invalidation-mode unchecked-hash" in command for command in compiling)
    delivered = [command for command in COMMANDS if "--python /opt/creative-feedback/bin/python install" in command]
    assert len(delivered) == 2
    assert all("--no-compile" in command for command in delivered)


def test_every_package_comes_by_its_hash_or_from_here() -> None:
    installing = [command for command in COMMANDS if re.search(r" (install|wheel) --", command)]
    assert len(installing) == 4
    for command in installing:
        hashed = "--require-hashes --requirement" in command
        local = "--no-deps" in command and ("--no-index" in command or "--no-build-isolation" in command)
        assert hashed != local, command


def test_what_is_copied_is_there_and_nothing_else_gets_into_the_build() -> None:
    ignored, *allowed = [
        line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")
    ]
    assert ignored == "*"
    entries = {line.removeprefix("!") for line in allowed if line.startswith("!")}
    assert all((ROOT / entry).exists() for entry in entries)
    copied = {name for each in ALL if each.word == "COPY" and not each.flags for name in each.text.split()[:-1]}
    assert copied - {"."} <= entries
    tool = PROJECT["tool"]["setuptools"]
    top = [path.name for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith(".")]
    packages = {
        name for name in top for pattern in tool["packages"]["find"]["include"] if fnmatch.fnmatch(name, pattern)
    }
    needed = packages | {f"{module}.py" for module in tool["py-modules"]} | {PROJECT["project"]["readme"]}
    assert entries == needed | {"LICENSE", "pyproject.toml", RUN, BUILD}


@pytest.mark.parametrize("lock", [RUN, BUILD])
def test_it_installs_what_was_tested(lock: str) -> None:
    """Every pin is one of the lock file that everything else here is installed from: version, platform and hashes."""
    tested = _pins(EVERYTHING)
    pins = _pins(lock)
    assert pins
    assert {name: pin for name, pin in pins.items() if tested.get(name) != pin} == {}


def test_it_installs_what_runs_and_no_more() -> None:
    """The dependencies of our dependencies, as their own metadata name them, without extras and tools."""
    needed: set[str] = set()
    waiting = [Requirement(text) for text in PROJECT["project"]["dependencies"]]
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        if name in needed or (requirement.marker is not None and not requirement.marker.evaluate({"extra": ""})):
            continue
        needed.add(name)
        extras = ["", *requirement.extras]
        for text in distribution(name).requires or []:
            further = Requirement(text)
            if further.marker is None or any(further.marker.evaluate({"extra": extra}) for extra in extras):
                waiting.append(Requirement(text.partition(";")[0]))
    pinned = {name for name, marker in _pins(RUN) if not marker or Requirement(f"x; {marker}").marker.evaluate()}  # type: ignore[union-attr]
    assert pinned == needed


def test_the_build_has_what_it_demands() -> None:
    pins = {name: version for (name, _), (version, _) in _pins(BUILD).items()}
    for text in PROJECT["build-system"]["requires"]:
        requirement = Requirement(text)
        assert requirement.specifier.contains(pins[canonicalize_name(requirement.name)])


def _pins(lock: str) -> Pins:
    """Version and hashes by name and marker."""
    found: Pins = {}
    for entry in re.split(r"\n(?=[\w-])", (ROOT / lock).read_text().replace("\\\n", " ")):
        head = re.match(r"(?P<name>[\w.-]+)==(?P<version>[^\s;]+)(?: ; (?P<marker>.+?))?\s+--hash", entry)
        assert head is not None, entry
        hashes = frozenset(re.findall(r"--hash=sha256:([0-9a-f]{64})", entry))
        assert hashes
        found[canonicalize_name(head["name"]), head["marker"] or ""] = (head["version"], hashes)
    return found
