"""The report's page as a person uses it, for the tests that drive it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from selenium.webdriver.chrome.webdriver import WebDriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.select import Select


class ReportPage:
    """A report that is open in the browser."""

    def __init__(self, driver: WebDriver, until: Callable[[Callable[[], object]], object]) -> None:
        self.driver, self.until = driver, until

    def open(self, address: str | Path) -> None:
        """Open a report by its address or its file, and wait until it can be used."""
        self.driver.get("about:blank")  # a second visit with another fragment would not load the page again
        self.driver.get(address.as_uri() if isinstance(address, Path) else address)
        self.until(lambda: self.js("return document.body.dataset.ready === 'yes'"))

    def js(self, script: str, *arguments: object) -> object:
        """Run a script in the page."""
        return self.driver.execute_script(script, *arguments)

    def find(self, selector: str) -> WebElement:
        """The first element that a CSS selector finds."""
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def rows(self) -> list[str]:
        """Capture ids in the table, from the top."""
        found = self.js("return [...document.querySelectorAll('#rows td.name')].map((cell) => cell.innerText)")
        assert isinstance(found, list)
        return found

    def row_text(self, capture_id: str) -> str:
        """What the table says of a capture."""
        script = "return [...document.querySelectorAll('#rows tr')].map((row) => row.innerText)[arguments[0]]"
        return str(self.js(script, self.rows().index(capture_id)))

    def choose(self, name: str, value: str) -> None:
        """Set one of the filters: split, status, flag or review."""
        Select(self.find(f"#filter-{name}")).select_by_value(value)

    def show(self, capture_id: str) -> None:
        """Open a capture by its link in the table."""
        links = self.driver.find_elements(By.CSS_SELECTOR, "#rows td.name a")
        link = next(link for link in links if link.text == capture_id)
        self.js("arguments[0].scrollIntoView({block: 'center'})", link)
        link.click()
        self.until(lambda: self.shown() == capture_id)

    def shown(self) -> str | None:
        """Id of the capture that is open; asked for in one step, since the page may be moving on to the next."""
        found = self.js("return document.querySelector('#detail:not([hidden]) .detail-head h2')?.innerText ?? null")
        return None if found is None else str(found)

    def press(self, keys: str) -> None:
        """Press keys as on the keyboard."""
        ActionChains(self.driver).send_keys(keys).perform()

    def mode(self, name: str) -> None:
        """Choose a way of comparing."""
        self.find(f'[data-mode="{name}"]').click()

    def state(self, name: str) -> str:
        """A data attribute of the comparator: mode or front."""
        return str(self.js(f"return document.querySelector('.paper').dataset.{name}"))

    def view(self) -> dict[str, float]:
        """What the comparator shows: zoom (1: the whole picture) and the picture's point at the centre, x and y."""
        found = self.js("return dped.detail.compare().viewer.view")
        assert isinstance(found, dict)
        return found

    def requests(self) -> list[str]:
        """Addresses of everything the browser has asked for since the last call."""
        events = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        return [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]

    def faults(self) -> list[str]:
        """Errors that the browser has logged since the last call."""
        return [str(entry["message"]) for entry in self.driver.get_log("browser") if entry["level"] == "SEVERE"]
