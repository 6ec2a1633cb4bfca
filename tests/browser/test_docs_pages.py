"""The docs site in a browser: no page is wider than a phone, and what a table cannot show at once is scrolled to."""

from __future__ import annotations

from pathlib import Path

import pytest
from boxes import resize
from selenium.webdriver.chrome.webdriver import WebDriver

pytestmark = pytest.mark.browser

_CUT_OFF = """
const right = (element) => element.getBoundingClientRect().right;
const hidden = (element) => {
  for (let box = element.parentElement; box; box = box.parentElement) {
    const overflow = getComputedStyle(box).overflowX;
    if (overflow === "auto" || overflow === "scroll") return false;
    if (overflow === "hidden" && right(element) > right(box) + 1) return true;
  }
  return right(element) > innerWidth + 1;
};
return [...document.querySelectorAll(".md-content table, .md-content pre, .md-content img, .md-content h3")]
  .filter(hidden).map((element) => element.textContent.slice(0, 40));
"""
_HIDE = "document.querySelectorAll('.md-typeset__scrollwrap').forEach((box) => { box.style.overflowX = 'hidden'; });"


def test_no_table_is_cut_off(chromium: WebDriver, docs_site: Path) -> None:
    for width in (380, 1400):
        resize(chromium, width, 900, dark=False)
        tables = 0
        for name in ("index", "settings", "format", "decisions", "api"):
            chromium.get((docs_site / f"{name}.html").as_uri())
            assert chromium.execute_script(_CUT_OFF) == [], (width, name)
            assert chromium.execute_script("return document.documentElement.scrollWidth") == width, name
            if name == "settings" and width == 380:
                chromium.execute_script(_HIDE)
                assert chromium.execute_script(_CUT_OFF) != [], "this test sees what is cut off"
            tables += chromium.execute_script("return document.querySelectorAll('.md-content table').length")
        assert tables > 10
    chromium.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
