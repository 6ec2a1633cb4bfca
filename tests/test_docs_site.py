"""The docs site: every page is in it, links lead somewhere or the build fails, nothing is loaded from elsewhere."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from built_site import build_site

ROOT = Path(__file__).parents[1]


def test_every_page_is_there_and_in_the_navigation_of_the_front_page(docs_site: Path) -> None:
    front = (docs_site / "index.html").read_text()
    assert "<h1" in front and "report-overview.jpg" in front
    navigation = front[front.index("md-nav--primary") : front.index("md-content")]
    for page in sorted((ROOT / "docs").rglob("*.md")):
        address = page.relative_to(ROOT / "docs").with_suffix(".html").as_posix()
        assert (docs_site / address).is_file(), address
        assert f'href="{address}"' in navigation, address
    assert not list(docs_site.rglob("*.py"))


def test_the_site_works_without_a_network(docs_site: Path) -> None:
    for page in sorted(docs_site.rglob("*.html")):
        loaded = re.findall(r"<(?:script|img|iframe)[^>]*\ssrc=\"([^\"]*)\"", page.read_text())
        loaded += re.findall(r"<link[^>]*\shref=\"([^\"]*)\"", page.read_text())
        assert loaded
        assert not [address for address in loaded if address.startswith(("http:", "https:", "//"))], page.name
    for sheet in sorted(docs_site.rglob("*.css")):
        assert not re.search(r"url\(\s*['\"]?(https?:)?//", sheet.read_text()), sheet.name


def test_the_reference_says_what_the_code_says(docs_site: Path) -> None:
    page = (docs_site / "api.html").read_text()
    for name in (
        "dped_data.build.build_dataset",
        "dped_train.networks.file.load_enhancer",
        "dped_data.errors.InputError",
    ):
        assert f'id="{name}"' in page, name
    text = re.sub(r"<[^>]*>", "", page)
    assert "Build the dataset OUT/&lt;phone&gt; from the photos" in text.replace(">", "&gt;"), "a placeholder is no tag"
    assert "worker processes; -1 means one per core" in text and "Raises" in text


def test_links_that_lead_nowhere_fail_the_build(tmp_path: Path) -> None:
    root = tmp_path / "project"
    shutil.copytree(ROOT / "docs", root / "docs", ignore=shutil.ignore_patterns("__pycache__", "images"))
    shutil.copytree(ROOT / "docs/images", root / "docs/images")
    for name in ("mkdocs.yml", "README.md"):
        shutil.copy(ROOT / name, root)
    (root / "docs/api.md").write_text("# API\n\n[gone](gone.md) [away](format.md#no-such-heading)\n")
    (root / "docs/unlisted.md").write_text("# New\n")
    result = build_site(root, tmp_path / "site")
    assert result.returncode != 0
    for fault in ("'gone.md'", "#no-such-heading", "unlisted.md"):
        assert fault in result.stderr, result.stderr
