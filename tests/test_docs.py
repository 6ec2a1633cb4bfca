"""The docs say what is true: generated pages are current, links lead somewhere, commands and flags exist, code runs."""

from __future__ import annotations

import re
import runpy
import shlex
from pathlib import Path

import click
import pytest

import cli
from dped_data.dataset.capture_table import CaptureRow
from dped_data.dataset.shards import PATCH_COLUMNS

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])


def code_lines(page: Path) -> list[str]:
    """Lines of indented or fenced blocks, continuation lines joined."""
    text = page.read_text().replace("\\\n", " ")
    fenced = re.findall(r"^```[a-z]*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    indented = re.findall(r"^ {4}(\S.*)$", text, re.MULTILINE)
    return [line.strip() for block in fenced for line in block.splitlines()] + indented


def test_settings_page_is_current() -> None:
    generated = runpy.run_path(str(ROOT / "docs/generate_settings.py"))["page"]()
    assert (ROOT / "docs/settings.md").read_text() == generated, "run `make docs`"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_pictures_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_in_the_docs_exist(page: Path) -> None:
    inline = re.findall(r"`(dped [^`]+)`", page.read_text())
    for line in [*code_lines(page), *inline]:
        if not line.startswith(("dped ", "$ dped ")):
            continue
        words = shlex.split(line.removeprefix("$ "), comments=True)[1:]
        command = cli.dped.get_command(click.Context(cli.dped), words[0]) if words else None
        if words[0].startswith("-"):
            continue
        if isinstance(command, click.Group):
            command = command.get_command(click.Context(command), words[1])
        assert command is not None, f"{page.name}: no command '{words[0]}'"
        known = {flag for option in command.params for flag in (*option.opts, *option.secondary_opts)} | {"--help"}
        used = {word.split("=")[0] for word in words if word.startswith("--")}
        assert used <= known, f"{page.name}: {line}: {used - known}"


def test_format_page_names_every_field() -> None:
    text = (ROOT / "docs/format.md").read_text()
    for name in (*PATCH_COLUMNS, *CaptureRow.__dataclass_fields__):
        assert f"`{name}`" in text, name


def test_example_rigs_are_valid() -> None:
    from dped_data.settings import load_build_settings

    for path in sorted((ROOT / "examples").glob("*.toml")):
        load_build_settings(path, {})


def test_nothing_speaks_of_one_machine() -> None:
    for page in PAGES:
        assert not re.search(r"(?<!\w)/(home|root|work|Users)/", page.read_text()), page.name
