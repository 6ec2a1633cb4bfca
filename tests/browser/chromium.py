"""Start a headless Chromium, for the tests of the report's page and for the pictures in the docs."""

from __future__ import annotations

import shutil
from pathlib import Path

from selenium import webdriver
from selenium.common.exceptions import TimeoutException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.chrome.webdriver import WebDriver

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


class NoChromiumError(Exception):
    """Chromium or its driver is not installed."""


def start_chromium(profile: Path, downloads: Path | None = None) -> WebDriver:
    """Start Debian's Chromium with a profile of its own; NoChromiumError where it is not installed."""
    browser, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if browser is None or driver is None:
        raise NoChromiumError("no Chromium: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    if downloads is not None:
        options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    return webdriver.Chrome(options=options, service=Service(driver))


def reload(driver: WebDriver) -> None:
    """Load the page again; once more where ChromeDriver lost its hold on the page while that happened."""
    try:
        driver.refresh()
    except TimeoutException as error:
        if "aborted by navigation" not in str(error):
            raise
        driver.refresh()
