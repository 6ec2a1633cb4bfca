"""The comparator and the list under a person's hands: wheel, drag, a place that stays, keys, many at once."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from report_page import ReportPage
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.actions.wheel_input import ScrollOrigin

pytestmark = pytest.mark.browser

ENTER, ESCAPE = "\ue007", "\ue00c"


def under(page: ReportPage, x: float, y: float) -> tuple[float, float]:
    """The picture's point, in fractions, that lies at (x, y) of the stage."""
    found = page.js(
        """
        const { viewer, stage } = dped.detail.compare(), [w, h] = viewer.photos[0], { x, y } = viewer.view;
        return [x + (arguments[0] - stage.clientWidth / 2) / (w * viewer.scale()),
                y + (arguments[1] - stage.clientHeight / 2) / (h * viewer.scale())];""",
        x,
        y,
    )
    assert isinstance(found, list)
    return found[0], found[1]


def wheel(page: ReportPage, x: int, y: int, by: int) -> None:
    """Turn the wheel at (x, y) from the stage's corner; negative zooms in."""
    stage = page.find(".stage")
    page.js("arguments[0].scrollIntoView({ block: 'center' })", stage)  # offsets count from the middle of what is seen
    origin = ScrollOrigin.from_element(stage, x - stage.size["width"] // 2, y - stage.size["height"] // 2)
    ActionChains(page.driver).scroll_from_origin(origin, 0, by).perform()


def test_the_wheel_zooms_to_the_pointer_and_a_drag_moves(page: ReportPage) -> None:
    page.show("c002")
    page.mode("overlay")
    page.press("0")
    assert page.view() == {"zoom": 1, "x": 0.5, "y": 0.5}
    stage = page.find(".stage").size
    x, y = stage["width"] // 3, stage["height"] // 2 + 40
    before = under(page, x, y)
    wheel(page, x, y, -500)
    page.until(lambda: page.view()["zoom"] > 1.9)
    assert under(page, x, y) == pytest.approx(before, abs=0.003)
    held = under(page, 200, 200)
    ActionChains(page.driver).move_to_element(page.find(".stage")).click_and_hold().move_by_offset(
        30, -20
    ).release().perform()
    assert under(page, 230, 180) == pytest.approx(held, abs=0.003)
    wheel(page, 10, 10, 3000)
    page.until(lambda: page.view()["zoom"] <= 1)
    assert under(page, stage["width"] / 2, stage["height"] / 2) == pytest.approx((0.5, 0.5))  # nothing is left lost
    ActionChains(page.driver).double_click(page.find(".stage")).perform()
    page.until(lambda: page.view()["zoom"] >= 2)
    assert page.faults() == []


def test_one_place_is_kept_through_all_ways_and_from_capture_to_capture(page: ReportPage) -> None:
    order = page.rows()
    page.show(order[0])
    page.press("0")
    stage = page.find(".stage").size
    wheel(page, stage["width"] // 4, stage["height"] // 4, -700)
    page.until(lambda: page.view()["zoom"] > 2)
    place = page.view()
    for mode in ("phone", "blink", "swipe", "checker", "overlay", "difference"):
        page.mode(mode)
        assert page.view() == place
    page.press("j")
    page.until(lambda: page.shown() == order[1])
    assert page.state("mode") == "difference"
    assert [page.view()[name] for name in "xy"] == pytest.approx([place[name] for name in "xy"], abs=1e-6)
    assert page.view()["zoom"] == pytest.approx(place["zoom"], rel=1e-6)
    page.press(ESCAPE)
    page.show(order[2])
    assert page.view()["zoom"] == pytest.approx(place["zoom"], rel=1e-6)


def test_the_worst_patch_is_outlined_where_it_lies(page: ReportPage) -> None:
    page.show("c002")
    drawn = """
        const { stage, mark, viewer } = dped.detail.compare();
        const s = stage.getBoundingClientRect(), m = mark.getBoundingClientRect();
        const place = { left: m.left - s.left, top: m.top - s.top, width: m.width };
        return { ...place, shown: !mark.hidden, scale: viewer.scale() };
        """
    wanted = page.js("""return dped.loadCapture(dped.detail.current().index).then((d) => {
        const { patch, shift, measured } = d.sample;
        const lengths = patch.map((_, n) => (measured[n] ? Math.hypot(shift[2 * n], shift[2 * n + 1]) : 0));
        const k = patch[lengths.indexOf(Math.max(...lengths))];
        return [d.patches.xy[2 * k], d.patches.xy[2 * k + 1], ...d.region, d.patch];
    });""")
    assert isinstance(wanted, list)
    x, y, left, top, width, height, size = wanted
    for key in ("0", "z", "+"):
        page.press(key)
        box = page.js(drawn)
        assert isinstance(box, dict)
        assert box["shown"]
        assert box["width"] == pytest.approx(size * box["scale"], abs=0.1)
        corner = under(page, box["left"], box["top"])
        assert corner == pytest.approx(((x - left) / width, (y - top) / height), abs=1e-3)
    page.press("o")
    assert page.js("return dped.detail.compare().mark.hidden")


def test_accept_and_reject_record_and_go_on(page: ReportPage) -> None:
    order = page.rows()
    page.show(order[0])
    for place, key in enumerate("ara"):
        page.press(key)
        page.until(lambda place=place: page.shown() == order[place + 1])  # type: ignore[misc]
    assert page.find("#review-state").text == "2 accepted, 1 rejected"
    page.press("k")
    page.until(lambda: page.shown() == order[2])
    page.press("c")
    page.until(lambda: page.find("#review-state").text == "1 accepted, 1 rejected")
    assert page.shown() == order[2]  # a decision that is taken back is not done with


def test_keys_go_through_the_list(page: ReportPage) -> None:
    order = page.rows()

    def here() -> str:
        return str(page.js("return document.querySelector('#rows tr.here td.name').innerText"))

    for key, expected in (("j", order[0]), ("j", order[1]), ("j", order[2]), ("k", order[1])):
        page.press(key)
        assert here() == expected
    page.press("r")
    page.until(lambda: here() == order[2])
    assert "rejected" in page.row_text(order[1])
    page.press(ENTER)
    page.until(lambda: page.shown() == order[2])
    page.press(ESCAPE)
    assert here() == order[2]


def test_several_captures_are_marked_and_decided_at_once(page: ReportPage) -> None:
    order = page.rows()
    assert not page.find("#marking").is_displayed()
    ticks = page.driver.find_elements("css selector", "#rows .tick input")
    ticks[1].click()
    ActionChains(page.driver).key_down("\ue008").click(ticks[4]).key_up("\ue008").perform()  # shift: all between
    assert page.find("#marked-count").text == "4 marked"
    ticks[2].click()
    assert page.find("#marked-count").text == "3 marked"
    page.press("r")
    page.until(lambda: page.find("#review-state").text == "0 accepted, 3 rejected")
    assert not page.find("#marking").is_displayed()
    rejected = [name for name in order if "✕ rejected" in page.row_text(name)]
    assert rejected == [order[1], order[3], order[4]]
    page.press("j")
    page.press("x")
    page.find("#marking .accept").click()
    page.until(lambda: page.find("#review-state").text == "1 accepted, 3 rejected")


def test_the_swipe_bar_moves_without_the_picture_and_by_keys(page: ReportPage) -> None:
    page.show("c000")
    page.mode("swipe")
    place = page.view()
    handle = page.find(".handle")
    ActionChains(page.driver).drag_and_drop_by_offset(handle, 120, 0).perform()
    after = int(str(handle.get_attribute("aria-valuenow")))
    assert after == pytest.approx(50 + 100 * 120 / page.find(".stage").size["width"], abs=1.5)
    assert page.view() == place
    shown = page.shown()
    handle.send_keys("\ue012")  # left
    assert int(str(handle.get_attribute("aria-valuenow"))) == pytest.approx(after - 2, abs=1)
    assert page.shown() == shown
    edges = page.js("""
        const handle = document.querySelector('.handle').getBoundingClientRect();
        const paper = document.querySelector('.paper');
        const swipe = parseFloat(getComputedStyle(paper).getPropertyValue('--swipe'));
        return [handle.left + handle.width / 2, paper.getBoundingClientRect().left + swipe];""")
    assert isinstance(edges, list)
    assert edges[0] == pytest.approx(edges[1], abs=0.6)  # the pictures meet under the bar


def test_every_way_of_comparing_shows_both_photos_in_place(page: ReportPage) -> None:
    page.show("c000")
    assert page.state("mode") == "blink"
    first = page.state("front")
    page.until(lambda: page.state("front") != first)  # it blinks by itself
    page.press("1")
    assert (page.state("mode"), page.state("front")) == ("phone", "phone")
    page.press(" ")
    assert page.state("front") == "dslr"
    for key, mode in zip("34567", ("blink", "swipe", "checker", "overlay", "difference"), strict=True):
        page.press(key)
        assert page.state("mode") == mode
    page.press("b")
    assert page.state("mode") == "blink"
    sources = str(page.js("return [...document.querySelectorAll('.layer')].map((e) => e.style.backgroundImage)"))
    assert "phone_region.jpg" in sources
    assert "dslr_region.jpg" in sources
    assert page.faults() == []


def test_shifted_patches_differ_in_the_picture_and_aligned_ones_do_not(page: ReportPage) -> None:
    """The difference view, as the browser paints it, is brighter for the capture that is off by 3 px."""

    def brightness(capture_id: str) -> float:
        page.show(capture_id)
        page.mode("difference")
        picture = cv2.imdecode(np.frombuffer(page.find(".paper").screenshot_as_png, np.uint8), cv2.IMREAD_COLOR)
        page.press("\ue00c")
        return float(picture.mean())

    assert brightness("c002") > 1.5 * brightness("c000")


def test_filters_search_and_sorting(page: ReportPage) -> None:
    assert len(page.rows()) == 13
    page.choose("flag", "shifted")
    assert page.rows() == ["c002"]
    page.find("#filter-clear").click()
    page.find("#search").send_keys("007")
    assert page.rows() == ["c007"]
    page.find("#filter-clear").click()
    page.find("th.name button").click()
    assert page.rows() == sorted(page.rows())
    page.find("th.name button").click()
    assert page.rows() == sorted(page.rows(), reverse=True)


def test_keys_go_through_the_captures_in_the_order_of_the_table(page: ReportPage) -> None:
    order = page.rows()
    page.show(order[0])
    for key, expected in (("j", order[1]), ("\ue014", order[2]), ("k", order[1]), ("\ue012", order[0])):
        page.press(key)
        page.until(lambda expected=expected: page.shown() == expected)  # type: ignore[misc]
    page.press("\ue00c")
    assert page.shown() is None
