"""Hook of the docs site (mkdocs.yml): README.md is its front page, and the tables of pages there are its navigation."""

from __future__ import annotations

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

README = Path(__file__).parents[1] / "README.md"


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Let the navigation follow the tables of README.md: the heading of each is a part of it."""
    parts: dict[str, list[str]] = {}
    for title, table in re.findall(r"^\| ([^|\n]+) \| about \|\n\| --- \| --- \|\n((?:\|.*\n)+)", _readme(), re.M):
        parts[title] = re.findall(r"^\| \[[^\]]*\]\(docs/([\w.-]+)\)", table, re.M)
    config.nav = [{"Home": "index.md"}, *({title: pages} for title, pages in parts.items())]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the front page; links into docs/ become links between pages, others below the root plain text."""
    text = _readme().replace("](docs/", "](")
    known = {file.src_uri for file in files}

    def link(match: re.Match[str]) -> str:
        target = match[2].split("#")[0]
        return match[0] if "://" in target or target in known or not target else match[1]

    text = re.sub(r"(?<!!)\[([^\]]*)\]\(([^)]*)\)", link, text)
    files.append(File.generated(config, "index.md", content=text))
    return files


def _readme() -> str:
    return README.read_text(encoding="utf-8")
