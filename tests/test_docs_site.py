"""The docs site: every page is in it, links lead somewhere or the build fails, nothing is loaded from elsewhere."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def build(root: Path, site: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "-f", str(root / "mkdocs.yml")]
    return subprocess.run([*command, "-d", str(site)], capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    result = build(ROOT, folder)
    assert result.returncode == 0, result.stderr
    return folder


def test_every_page_is_there_and_in_the_navigation_of_the_front_page(site: Path) -> None:
    front = (site / "index.html").read_text()
    assert "<h1" in front and "report-overview.jpg" in front
    navigation = front[front.index("wy-menu") : front.index("wy-nav-content")]
    for page in sorted((ROOT / "docs").rglob("*.md")):
        address = page.relative_to(ROOT / "docs").with_suffix(".html").as_posix()
        assert (site / address).is_file(), address
        assert f'href="{address}"' in navigation, address
    assert not list(site.rglob("*.py"))


def test_the_site_works_without_a_network(site: Path) -> None:
    for page in sorted(site.rglob("*.html")):
        loaded = re.findall(r"<(?:script|img|iframe)[^>]*\ssrc=\"([^\"]*)\"", page.read_text())
        loaded += re.findall(r"<link[^>]*\shref=\"([^\"]*)\"", page.read_text())
        assert loaded
        assert not [address for address in loaded if address.startswith(("http:", "https:", "//"))], page.name
    for sheet in sorted(site.rglob("*.css")):
        assert not re.search(r"url\(\s*['\"]?(https?:)?//", sheet.read_text()), sheet.name


@pytest.mark.parametrize("link", ["[gone](gone.md)", "[gone](format.md#no-such-heading)"])
def test_a_link_that_leads_nowhere_fails_the_build(tmp_path: Path, link: str) -> None:
    root = tmp_path / "project"
    shutil.copytree(ROOT / "docs", root / "docs", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("mkdocs.yml", "README.md"):
        shutil.copy(ROOT / name, root)
    (root / "docs" / "new.md").write_text(f"# New\n\nSee {link}.\n")
    result = build(root, tmp_path / "site")
    assert result.returncode != 0 and "new.md" in result.stderr
