"""The README's generated blocks are what the code declares, and everything that it names exists."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]
from typer.main import get_command

import tests
from processor.config import Settings, all_keys, settings_markdown
from processor.surfaces.cli import cli
from processor.surfaces.prometheus import metrics_markdown
from tests.deploy.chart.rendering import CHART, helm, needs_helm
from topology import acls_markdown, declare, topology_markdown
from topology.blocks import replace_block

ROOT = Path(tests.__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PROSE = re.sub(r"^ *```.*?^ *```$", "", README, flags=re.S | re.M)
BLOCKS = re.findall(r"^ *```(\w+)\n(.*?)^ *```$", README, re.S | re.M)


def code() -> Iterator[str]:
    """What stands in code, on one line each: spans, and the lines of shell and unit files."""
    for span in re.findall(r"`([^`]+)`", PROSE):
        yield " ".join(span.split())
    for language, text in BLOCKS:
        if language in {"sh", "ini"}:
            yield from text.replace("\\\n", " ").splitlines()


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


def test_every_link_leads_somewhere() -> None:
    titles = re.findall(r"^#+ (.+)$", PROSE, re.M)
    anchors = [re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles]
    assert len(anchors) == len(set(anchors)), "two headings of one name: a link would find the first"
    for target in re.findall(r"\]\(([^)\s]+)\)", PROSE):
        file, _, anchor = target.partition("#")
        assert (ROOT / file).exists(), target
        assert not anchor or anchor in anchors, target


def test_every_file_that_it_names_exists() -> None:
    named = set(
        re.findall(r"\b(?:tests|helm|processor|schemas|topology)/[\w./-]*\w|\b[Dd]ocker\S*?file\b|\bMakefile\b", README)
    )
    assert {name for name in named if not (ROOT / name).exists() and not (ROOT / f"{name}.py").exists()} == set()


def test_every_command_that_it_shows_is_understood() -> None:
    """Names of commands, also where one is only named, and their options."""
    ours = re.compile(r"(?:^|[=/ ])(creative-feedback [a-z]+(?: .*)?)$")
    others = ("docker ", "helm ", "kubectl ", "kafka-")
    shown = {found[1] for line in code() if not line.strip().startswith(others) and (found := ours.search(line))}
    assert shown
    program: Any = get_command(cli)
    for line in shown:
        words = shlex.split(line, comments=True)[1:]
        command = program
        while words and (commands := getattr(command, "commands", None)):
            names = words.pop(0).split("|")
            assert set(names) <= set(commands), line
            command = commands[names[0]]
        known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
        options = {word.partition("=")[0] for word in words if word.startswith("-")}
        assert options <= {*known, "--help"}, line


def test_every_module_that_it_runs_exists_and_knows_the_options_shown() -> None:
    for line in code():
        shown = re.search(r"\bpython -m ((?:tests|processor|topology|schemas)[\w.]*)(.*)", line)
        if shown is None:
            continue
        found = find_spec(shown[1])
        assert found is not None, shown[1]
        assert found.origin is not None, shown[1]
        file = Path(found.origin)
        sources = "".join(
            each.read_text() for each in (file.parent.rglob("*.py") if file.stem == "__init__" else [file])
        )
        for option in re.findall(r" (--[\w-]+)", shown[2]):
            assert re.search(rf"\b{option.strip('-')}\b", sources), f"{shown[1]} {option}"


def test_every_setting_that_it_names_exists() -> None:
    sections = "|".join({key.partition(".")[0] for key in all_keys()})
    named = set(re.findall(rf"(?<![\w./-])(?:{sections})\.[a-z][a-z_]*(?![\w.*])", " ".join(code())))
    files = {"demo.log", "topics.state.v2"}
    assert named - set(all_keys()) - files == set()
    for language, text in BLOCKS:
        if language == "toml":
            shown: dict[str, Any] = tomllib.loads(text)
            assert {f"{section}.{key}" for section, keys in shown.items() for key in keys} <= set(all_keys())


@needs_helm
def test_the_values_that_it_shows_are_accepted_by_the_chart() -> None:
    values = [yaml.safe_load(text) for language, text in BLOCKS if language == "yaml"]
    assert values
    for each in values:
        rendered = helm("template", "creative-feedback", CHART, values=each)
        assert rendered.returncode == 0, rendered.stderr
