"""The study's report in a browser: light and dark, from phones to wide screens, nothing overlaps or is cut off."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest
from boxes import layout_faults, resize
from selenium.webdriver.chrome.webdriver import WebDriver
from study_photos import answer_all, make_study, prefers

from dped_data.study.report import report_study
from dped_data.study.report_files import write_report
from dped_data.study.store import AnswerStore

pytestmark = pytest.mark.browser


def test_a_studys_report_fits_every_screen(chromium: WebDriver, tmp_path: Path) -> None:
    folder, study = make_study(tmp_path, ("blackberry", "sony with a long name"), scenes=3)
    with closing(AnswerStore(folder, study)) as store:
        for order in (("enhanced", "dslr", "original"), ("dslr", "original", "enhanced")):
            answer_all(store, prefers(*order))
    page = write_report(report_study(folder), tmp_path / "report", folder) / "index.html"
    for dark in (False, True):
        for width in (380, 820, 1400, 1900):
            resize(chromium, width, 900, dark=dark)
            chromium.get(page.as_uri())
            assert layout_faults(chromium) == [], (width, dark)
        shade = chromium.execute_script("return getComputedStyle(document.body).backgroundColor")
        assert (sum(map(int, shade.strip("rgb()").split(","))) < 200) == dark
    pictures = "return [...document.images].filter((image) => image.naturalWidth > 0).length"
    assert chromium.execute_script(pictures) == 2 * 3 * 3 * 2  # groups, comparisons, scenes, both photos
    chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    chromium.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
