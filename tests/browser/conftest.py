"""A headless Chromium for the tests of the report's page; they skip where there is none."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

pytest.importorskip("selenium", reason="the page's tests need selenium: pip install 'dped[dev]'")

from chromium import NoChromiumError, start_chromium
from selenium.webdriver.chrome.webdriver import WebDriver
from selenium.webdriver.support.wait import WebDriverWait

PATIENCE_S = 30
"""How long the page may take on a machine that is busy with other tests."""


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebDriver]:
    """One browser for a test file; its downloads go to the folder `chromium.downloads`."""
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
