"""The study's page as a subject uses it, for the tests that drive it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from chromium import reload
from selenium.webdriver.chrome.webdriver import WebDriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

_LEVEL = """
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = 16;
    const context = canvas.getContext("2d");
    context.drawImage(document.querySelector(`#pane-${arguments[0]} img`), 0, 0, 16, 16);
    const data = context.getImageData(0, 0, 16, 16).data;
    return data.reduce((sum, value, i) => sum + (i % 4 === 3 ? 0 : value), 0) / (3 * 256);"""
_PLACES = """
    return ["left", "right"].map((side) => {
      const pane = document.querySelector(`#pane-${side}`).getBoundingClientRect();
      const box = document.querySelector(`#pane-${side} img`).getBoundingClientRect();
      return [box.width / pane.width, (pane.left + pane.width / 2 - box.left) / box.width,
              (pane.top + pane.height / 2 - box.top) / box.height];
    });"""


class StudyPage:
    """A study that is open in the browser."""

    def __init__(self, driver: WebDriver, until: Callable[[Callable[[], object]], object]) -> None:
        self.driver, self.until = driver, until

    def open(self, address: str) -> None:
        """Open the study's address and wait for its welcome page, or for the question where a subject left off."""
        # By way of an empty page, Chromium would deliver no touch to the second study it opens.
        self.driver.get(address)
        reload(self.driver)  # an address that differs in the subject only does not load the page again
        self.until(lambda: self.js("return document.body.dataset.screen !== 'loading'"))

    def start(self, address: str) -> str:
        """Begin as a new subject; return its id."""
        self.open(address)
        self.find("#start").click()
        self.ready(0)
        return self.subject()

    def subject(self) -> str:
        """The id in the page's address."""
        return self.driver.current_url.partition("#")[2]

    def js(self, script: str, *arguments: object) -> object:
        """Run a script in the page."""
        return self.driver.execute_script(script, *arguments)

    def find(self, selector: str) -> WebElement:
        """The first element that a CSS selector finds."""
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def screen(self) -> str:
        """welcome, study or done."""
        return str(self.js("return document.body.dataset.screen"))

    def question(self) -> int:
        """Place of the question that is shown, from 0."""
        return int(str(self.js("return document.body.dataset.question")))

    def ready(self, place: int | None = None) -> None:
        """Wait until a question can be answered."""
        script = "return document.body.dataset.ready === 'yes' && Number(document.body.dataset.question)"
        self.until(lambda: self._is_number(self.js(script), place))

    @staticmethod
    def _is_number(value: object, place: int | None) -> bool:
        return type(value) is int and (place is None or value == place)

    def level(self, side: str) -> float:
        """Mean level of a photo, as the browser has decoded it."""
        return float(str(self.js(_LEVEL, side)))

    def better(self, rank: Callable[[float], float]) -> str:
        """The side whose level a subject ranks higher."""
        return max(("left", "right"), key=lambda side: rank(self.level(side)))

    def press(self, keys: str) -> None:
        """Press keys as on the keyboard."""
        ActionChains(self.driver).send_keys(keys).perform()

    def choose(self, side: str) -> None:
        """Click the button of a side and wait for what follows: another question or the end."""
        place = self.question()
        self.find(f"#choose-{side}").click()
        self.moved_on(place)

    def moved_on(self, place: int) -> None:
        """Wait until another question than `place` can be answered, or all are."""
        self.until(lambda: self.screen() == "done" or self.question() != place)
        if self.screen() != "done":
            self.ready()

    def touch(self, kind: str, points: Sequence[tuple[float, float]]) -> None:
        """Send a touch event with fingers at these points of the window: touchStart, touchMove or touchEnd."""
        fingers = [{"x": x, "y": y, "id": k} for k, (x, y) in enumerate(points)]
        self.driver.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": kind, "touchPoints": fingers})

    def middle(self, selector: str) -> tuple[float, float]:
        """Centre of an element in the window."""
        box = self.find(selector).rect
        return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2

    def places(self) -> list[list[float]]:
        """For both panes: the photo's width in panes, and the point of the photo at the pane's centre, x and y."""
        found = self.js(_PLACES)
        assert isinstance(found, list)
        return found

    def faults(self) -> list[str]:
        """Errors that the browser has logged since the last call."""
        return [str(entry["message"]) for entry in self.driver.get_log("browser") if entry["level"] == "SEVERE"]
