"""The user study in a browser: scripted subjects of known taste, a killed server, two at once, changed minds, zoom."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from chromium import reload
from PIL import ExifTags, Image
from running_server import lasting_port, running_server
from selenium.webdriver.chrome.webdriver import WebDriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.actions.wheel_input import ScrollOrigin
from study_page import StudyPage
from study_photos import CLASSES, LEVELS, make_study

from dped_data.study.create import create_study
from dped_data.study.report import report_study
from dped_data.study.server import StudyServer
from dped_data.study.store import AnswerStore
from dped_data.study.study_file import read_study

pytestmark = pytest.mark.browser

ROOT = Path(__file__).parents[2]
LEFT, RIGHT, SHIFT = "\ue012", "\ue014", "\ue008"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_study(tmp_path, scenes=2)[0]


@pytest.fixture
def server(folder: Path) -> Iterator[StudyServer]:
    with running_server(StudyServer(folder, port=0)) as running:
        yield running


@pytest.fixture
def page(chromium: WebDriver, until: Callable[[Callable[[], object]], object]) -> Iterator[StudyPage]:
    chromium.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    page = StudyPage(chromium, until)
    page.faults()
    yield page
    for handle in chromium.window_handles[1:]:
        chromium.switch_to.window(handle)
        chromium.close()
    chromium.switch_to.window(chromium.window_handles[0])


def like(first: str, second: str, third: str) -> Callable[[float], float]:
    """A taste: rank a photo by the class that its level is nearest to, as somebody who looks at it."""
    order = (third, second, first)
    return lambda level: order.index(min(CLASSES, key=lambda name: abs(LEVELS[name] - level)))


def by_button(page: StudyPage, side: str) -> None:
    page.choose(side)


def by_key(page: StudyPage, side: str) -> None:
    place = page.question()
    page.press({"left": LEFT, "right": RIGHT}[side])
    page.moved_on(place)


def by_finger(page: StudyPage, side: str) -> None:
    place = page.question()
    page.touch("touchStart", [page.middle(f"#choose-{side}")])
    page.touch("touchEnd", [])
    page.moved_on(place)


def test_three_subjects_of_known_taste_by_button_key_and_finger(page: StudyPage, server: StudyServer) -> None:
    tastes = {
        "bright": (like("dslr", "enhanced", "original"), by_button),
        "dark": (like("original", "enhanced", "dslr"), by_key),
        "middle": (like("enhanced", "dslr", "original"), by_finger),
    }
    for rank, act in tastes.values():
        page.start(server.address)
        while page.screen() == "study":
            act(page, page.better(rank))
        assert "All 6 answers are saved" in page.find("#done").text
    assert page.faults() == []
    report = report_study(server.store.path.parent)
    assert [(s.answered, s.changed) for s in report.subjects] == [(6, 0)] * 3
    won = {(c.first, c.second): c.first_chosen for c in report.comparisons}
    # Of 2 scenes and three subjects: who of them prefers the first class of the pair.
    assert won == {("original", "enhanced"): 2 * 1, ("original", "dslr"): 2 * 1, ("enhanced", "dslr"): 2 * 2}
    assert all(c.answers == 6 for c in report.comparisons)


class Process:
    """`dped study serve` in a process that can be killed, always at the same port."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, lasting_port()
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "cli", "study", "serve", str(self.folder), "--port", str(self.port)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        self.process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.address = self.process.stdout.readline().split()[2]

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(20)
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture
def process(folder: Path) -> Iterator[Process]:
    process = Process(folder)
    yield process
    process.kill()


def test_a_killed_server_loses_nothing_and_the_subject_goes_on(page: StudyPage, process: Process) -> None:
    address, rank = process.address, like("dslr", "enhanced", "original")
    subject = page.start(address)
    for place in range(6):
        side = page.better(rank)
        process.kill()
        page.find(f"#choose-{side}").click()  # nobody listens
        page.until(lambda: "not saved yet" in page.find("#notice").text)
        assert page.question() == place
        assert page.find("#choose-left").get_property("disabled")
        process.start()
        assert process.address == address
        page.moved_on(place)  # by itself
        assert not page.find("#notice").is_displayed()
        if place in (1, 3):  # a reload, and a visit without the subject's own address
            page.open(page.driver.current_url if place == 1 else address)
            if place == 3:
                assert page.find("#continue").is_displayed()
                page.find("#continue").click()
            page.ready(place + 1)
            assert page.subject() == subject
    assert page.screen() == "done"
    report = report_study(process.folder)
    assert [(s.subject, s.answered, s.changed) for s in report.subjects] == [(subject, 6, 0)]
    assert {(c.first, c.second): c.first_chosen for c in report.comparisons} == {
        ("original", "enhanced"): 0,
        ("original", "dslr"): 0,
        ("enhanced", "dslr"): 0,
    }


def test_two_subjects_at_once(page: StudyPage, server: StudyServer) -> None:
    tastes = [like("dslr", "enhanced", "original"), like("original", "enhanced", "dslr")]
    subjects = [page.start(server.address)]
    page.driver.switch_to.new_window("tab")
    subjects.append(page.start(server.address))
    tabs = page.driver.window_handles
    for place in range(6):
        for tab, rank in zip(tabs, tastes, strict=True):
            page.driver.switch_to.window(tab)
            assert page.question() == place
            page.choose(page.better(rank))
    chosen = {subject: {a.chosen for a in server.store.answers() if a.subject == subject} for subject in subjects}
    assert chosen == {subjects[0]: {"dslr", "enhanced"}, subjects[1]: {"original", "enhanced"}}
    assert {(c.answers, c.first_chosen) for c in report_study(server.store.path.parent).comparisons} == {(4, 2)}


def test_a_subject_goes_back_and_thinks_again(page: StudyPage, server: StudyServer) -> None:
    page.start(server.address)
    assert page.find("#back").get_property("disabled") and page.find("#next").get_property("disabled")
    for _ in range(3):
        page.choose("left")
    page.press("p")
    page.ready(2)
    page.find("#back").click()
    page.ready(1)
    assert page.find("#choose-left").get_attribute("aria-pressed") == "true"
    page.choose("right")
    page.ready(2)
    page.press("n")
    page.ready(3)
    assert page.find("#next").get_property("disabled")  # not answered yet
    page.press("n")
    assert page.question() == 3
    answers = server.store.answers()
    assert [(a.chosen == a.left, a.given) for a in answers] == [(True, 1), (False, 2), (True, 1)]
    reload(page.driver)
    page.ready(3)
    for _ in range(3):
        page.choose("left")
    page.find("#review").click()
    page.ready(5)
    page.choose("right")
    assert page.screen() == "done"
    assert [a.given for a in server.store.answers()] == [1, 2, 1, 1, 1, 2]
    page.find("#another").click()
    page.until(lambda: page.screen() == "welcome")
    assert not page.find("#continue").is_displayed() and page.subject() == ""


def assert_together(page: StudyPage) -> list[float]:
    """Both panes show the same part of their photos; return it: width in panes, centre x and y."""
    left, right = page.places()
    assert left[1] == pytest.approx(right[1], abs=0.02) and left[2] == pytest.approx(right[2], abs=0.02)
    assert left[0] == pytest.approx(right[0], rel=0.1)  # the photos' shapes differ a little
    return left


def test_wheel_drag_buttons_and_keys_zoom_both_photos_together(page: StudyPage, server: StudyServer) -> None:
    page.start(server.address)
    width, x, y = assert_together(page)
    assert width <= 1 and (x, y) == pytest.approx((0.5, 0.5), abs=1e-3)
    pane = page.find("#pane-right")
    spot = ScrollOrigin.from_element(pane, pane.rect["width"] // 6, pane.rect["height"] // 6)
    ActionChains(page.driver).scroll_from_origin(spot, 0, -600).perform()
    page.until(lambda: page.places()[0][0] > 1.7 * width)
    zoomed = assert_together(page)
    assert zoomed[1] > 0.53 and zoomed[2] > 0.53  # towards the pointer
    ActionChains(page.driver).move_to_element(page.find("#pane-left")).click_and_hold().move_by_offset(
        80, 60
    ).release().perform()
    dragged = assert_together(page)
    assert dragged[1] < zoomed[1] - 0.01 and dragged[2] < zoomed[2] - 0.01
    ActionChains(page.driver).key_down(SHIFT).send_keys(RIGHT).key_up(SHIFT).perform()
    assert assert_together(page)[1] > dragged[1]
    assert page.question() == 0  # shift and arrow moves, it does not choose
    page.find("#zoom-fit").click()
    assert assert_together(page) == pytest.approx([width, 0.5, 0.5], abs=1e-3)
    page.find("#zoom-in").click()
    assert assert_together(page)[0] == pytest.approx(1.5 * width, rel=1e-3)
    page.press("-")
    assert assert_together(page)[0] == pytest.approx(width, rel=1e-3)
    ActionChains(page.driver).double_click(page.find("#pane-left")).perform()
    assert assert_together(page)[0] >= 2 * width * 0.999
    ActionChains(page.driver).double_click(page.find("#pane-left")).perform()
    assert assert_together(page)[0] == pytest.approx(width, rel=1e-3)
    assert page.faults() == []


def test_photos_come_whole_and_are_shown_pixel_by_pixel(page: StudyPage, tmp_path: Path) -> None:
    """Photos larger than the panes: all pixels arrive, fit shows all of the scene, 1:1 shows one pixel per pixel."""
    turned = Image.Exif()
    turned[ExifTags.Base.Orientation] = 6
    turned[ExifTags.Base.Model] = "a phone"
    sets = {}
    for name, size, exif in (("a", (2400, 1600), Image.Exif()), ("b", (1000, 1500), turned)):  # b is stored on its side
        (tmp_path / name).mkdir()
        Image.new("RGB", size, "teal").save(tmp_path / name / "scene.jpg", quality=95, exif=exif)
        sets["sony", name] = tmp_path / name
    create_study(sets, tmp_path / "large")
    running = StudyServer(tmp_path / "large", port=0)
    thread = threading.Thread(target=running.serve)
    thread.start()
    try:
        page.start(running.address)
        sizes = page.js(
            "return [...document.querySelectorAll('.pane img')].map((e) => [e.naturalWidth, e.naturalHeight])"
        )
        assert sorted(sizes) == [[1500, 1000], [2400, 1600]]  # type: ignore[arg-type]
        inside = """return [...document.querySelectorAll('.pane img')].every((e) => {
            const box = e.getBoundingClientRect(), pane = e.parentElement.getBoundingClientRect();
            return box.left >= pane.left - 1 && box.right <= pane.right + 1 && box.top >= pane.top - 1
                && box.bottom <= pane.bottom + 1 && box.width > 300; })"""
        assert page.js(inside)
        page.press("1")
        shown = page.js("return document.querySelector('.pane img').getBoundingClientRect().width * devicePixelRatio")
        assert float(str(shown)) == pytest.approx(2400, abs=1)
        assert assert_together(page)[0] > 2
    finally:
        running.stop()
        thread.join(10)


def test_photos_that_do_not_come_can_be_asked_for_again(page: StudyPage, server: StudyServer, folder: Path) -> None:
    away = folder / "away"
    (folder / "photos").rename(away)
    page.open(server.address)
    page.find("#start").click()
    page.until(lambda: "could not be loaded" in page.find("#notice").text)
    assert page.find("#choose-left").get_property("disabled")
    away.rename(folder / "photos")
    page.find("#retry").click()
    page.ready(0)


def test_an_address_of_nobody_leads_to_the_welcome_page(page: StudyPage, server: StudyServer, folder: Path) -> None:
    page.open(f"{server.address}#nobody")
    page.until(lambda: "not known here" in page.find("#welcome-fault").text)
    page.find("#start").click()
    page.ready(0)
    with closing(AnswerStore(folder, read_study(folder))) as store:
        assert store.subjects() == (page.subject(),)


def resize(page: StudyPage, width: int, height: int) -> None:
    metrics = {"width": width, "height": height, "deviceScaleFactor": 2, "mobile": True}
    page.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    page.until(lambda: page.js("return [innerWidth, innerHeight]") == [width, height])


@pytest.mark.parametrize(("width", "height"), [(390, 844), (844, 390), (320, 568), (768, 1024)])
def test_it_fits_phones_and_tablets(page: StudyPage, server: StudyServer, width: int, height: int) -> None:
    resize(page, width, height)
    page.start(server.address)
    assert page.js("return document.documentElement.scrollWidth") == width
    assert page.js("return document.documentElement.scrollHeight") == height
    for selector in ("#choose-left", "#choose-right", "#back", "#next", "#zoom-in", "#zoom-out", "#zoom-fit"):
        box = page.find(selector).rect
        assert box["height"] >= 44 and box["width"] >= 44, selector
        assert box["x"] >= 0 and box["x"] + box["width"] <= width and box["y"] + box["height"] <= height, selector
    for side in ("left", "right"):
        box = page.find(f"#pane-{side} img").rect
        assert box["x"] >= 0 and box["x"] + box["width"] <= width and box["y"] > 0, side
        assert box["width"] * box["height"] > 0.14 * width * height, side  # the room goes to the photos


def test_two_fingers_zoom_and_one_moves(page: StudyPage, server: StudyServer) -> None:
    resize(page, 390, 844)
    page.start(server.address)
    fitted = assert_together(page)
    x, y = page.middle("#pane-left")
    page.touch("touchStart", [(x - 20, y), (x + 20, y)])
    for spread in (30, 40, 50, 60):
        page.touch("touchMove", [(x - spread, y), (x + spread, y)])
    page.touch("touchEnd", [])
    before = assert_together(page)
    assert before[0] == pytest.approx(3 * fitted[0], rel=0.05)
    page.touch("touchStart", [(x, y)])
    for step in ((15, 15), (30, 20)):
        page.touch("touchMove", [(x + step[0], y + step[1])])
    page.touch("touchEnd", [])
    after = assert_together(page)
    assert after[1] < before[1] - 0.01 and after[0] == pytest.approx(before[0], rel=1e-3)
    resize(page, 844, 390)  # turned while zoomed: the same part stays in the middle
    page.until(lambda: page.places()[0][1] == pytest.approx(after[1], abs=0.02))
    assert page.question() == 0 and page.faults() == []
