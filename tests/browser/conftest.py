"""A headless Chromium for the tests of the report's page; they skip where there is none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("selenium", reason="the page's tests need selenium: pip install 'dped[dev]'")

from chromium import NoChromiumError, start_chromium
from planted_dataset import PHONE, Fault, make_dataset
from report_page import ReportPage
from selenium.webdriver.chrome.webdriver import WebDriver
from selenium.webdriver.support.wait import WebDriverWait

from dped_data.inspection.pipeline import inspect_pairs
from dped_data.inspection.report import InspectReport

FAULTS = {2: Fault(shift_px=(3.0, 0.0)), 5: Fault(scene=40), 7: Fault(exposure=2.5)}
PATIENCE_S = 30
"""How long the page may take on a machine that is busy with other tests."""


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebDriver]:
    """One browser for all tests; its downloads go to the folder `chromium.downloads`."""
    folder = tmp_path_factory.mktemp("downloads")
    try:
        driver = start_chromium(tmp_path_factory.mktemp("profile"), folder)
    except NoChromiumError as missing:
        pytest.skip(str(missing))
    driver.downloads = folder  # type: ignore[attr-defined]
    yield driver
    driver.quit()


@pytest.fixture
def until(chromium: WebDriver) -> Callable[[Callable[[], object]], object]:
    """Wait until a condition holds and return its value."""

    def wait(condition: Callable[[], object]) -> object:
        return WebDriverWait(chromium, PATIENCE_S, 0.05).until(lambda _: condition())

    return wait


@pytest.fixture(scope="session")
def inspected(tmp_path_factory: pytest.TempPathFactory) -> tuple[InspectReport, Path]:
    """A report of twelve captures, three with faults, and one that was rejected; below the folder: dataset, report."""
    folder = tmp_path_factory.mktemp("inspected")
    make_dataset(folder / "dataset", count=12, faults=FAULTS, rejected=1)
    return inspect_pairs(folder / "dataset", PHONE, folder / "report", jobs=1), folder


@pytest.fixture
def page(
    chromium: WebDriver, until: Callable[[Callable[[], object]], object], inspected: tuple[InspectReport, Path]
) -> ReportPage:
    """The report opened from disk, as at the first visit."""
    chromium.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    page = ReportPage(chromium, until)
    page.open(inspected[1] / "report" / "index.html")
    if page.js("const kept = localStorage.length; localStorage.clear(); return kept"):
        page.open(inspected[1] / "report" / "index.html")
    page.faults()
    return page
