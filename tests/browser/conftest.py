"""A headless Chromium for the tests of the report's page; they skip where there is none."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

selenium = pytest.importorskip("selenium", reason="the page's tests need selenium: pip install 'dped[dev]'")

from selenium import webdriver  # noqa: E402
from selenium.webdriver.chrome.service import Service  # noqa: E402
from selenium.webdriver.chrome.webdriver import WebDriver  # noqa: E402
from selenium.webdriver.support.wait import WebDriverWait  # noqa: E402

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--window-size=1400,1000",
)
PATIENCE_S = 30
"""How long the page may take on a machine that is busy with other tests."""


def start_chromium(profile: Path, downloads: Path | None = None) -> WebDriver:
    """Start Debian's Chromium with a profile of its own; skip the test where it is not installed."""
    browser, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if browser is None or driver is None:
        pytest.skip("no Chromium: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    if downloads is not None:
        options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    return webdriver.Chrome(options=options, service=Service(driver))


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebDriver]:
    """One browser for a test file; its downloads go to the folder `chromium.downloads`."""
    folder = tmp_path_factory.mktemp("downloads")
    driver = start_chromium(tmp_path_factory.mktemp("profile"), folder)
    driver.downloads = folder  # type: ignore[attr-defined]
    yield driver
    driver.quit()


@pytest.fixture
def until(chromium: WebDriver) -> Callable[[Callable[[], object]], object]:
    """Wait until a condition holds and return its value."""

    def wait(condition: Callable[[], object]) -> object:
        return WebDriverWait(chromium, PATIENCE_S, 0.05).until(lambda _: condition())

    return wait
