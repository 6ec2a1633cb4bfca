"""The report opened from disk: without network, on small screens, in the dark, with a thousand captures."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from boxes import layout_faults, resize
from chromium import reload
from planted_dataset import PHONE
from report_page import ReportPage
from selenium.webdriver.remote.webelement import WebElement

from dped_data.dataset.review_file import read_decisions, read_review
from dped_data.inspection.dataset_reader import open_dataset
from dped_data.inspection.page import write_page
from dped_data.inspection.report import InspectReport
from dped_data.inspection.report_files import as_json

pytestmark = pytest.mark.browser


def test_planted_faults_are_in_the_first_rows(page: ReportPage) -> None:
    assert {*page.rows()[:3]} == {"c002", "c005", "c007"}
    assert "FAIL" in page.find("#verdict").text
    first = page.js("return document.querySelector('#checks .badge').textContent")
    assert "fail" in str(first)
    page.find("#checks .link").click()  # "show it" beside the first check that failed
    assert len(page.rows()) == 1


def test_nothing_is_asked_of_the_network(page: ReportPage) -> None:
    page.requests()
    reload(page.driver)
    page.until(lambda: page.js("return document.body.dataset.ready === 'yes'"))
    page.show("c002")
    addresses = page.requests()
    assert any("report.js" in address for address in addresses)
    assert any("phone_region.jpg" in address for address in addresses)
    assert not [address for address in addresses if not address.startswith(("file:", "data:"))]
    assert page.faults() == []


def test_every_chart_is_drawn(page: ReportPage) -> None:
    drawn = {"shift": 1, "error": 1, "ncc": 1, "field": 2, "drift": 1, "brightness": 1}
    for name, count in drawn.items():
        assert page.js(f"return document.querySelectorAll('#{name}-chart svg').length") == count, name
    for name in ("windows", "reasons", "contrast"):
        assert page.js(f"return document.querySelectorAll('#{name}-chart .bars li').length"), name
    page.show("c002")
    for name, count in {"windows": 1, "shifts": 2}.items():
        assert page.js(f"return document.querySelectorAll('#map-{name} svg').length") == count, name
    assert page.js("return document.querySelectorAll('#map-windows g[aria-label=rect] rect').length") == 20


def test_rejected_capture_without_pictures_says_why(page: ReportPage) -> None:
    page.show("r000")
    text = page.find("#detail").text
    assert "too few inliers: 7.0 against 16.0" in text
    assert "no picture" in text


def test_decisions_outlive_the_page_and_are_exported(page: ReportPage) -> None:
    page.show("c002")
    page.press("r")
    page.until(lambda: page.shown() != "c002")  # on to the next
    accepted = page.shown()
    page.find("#note").send_keys('fine, "really"\n')
    page.press("a")
    page.until(lambda: page.shown() != accepted)
    reload(page.driver)
    page.until(lambda: page.js("return document.body.dataset.ready === 'yes'"))
    page.until(lambda: page.find("#review-state").text == "1 accepted, 1 rejected")
    page.find("#export").click()
    target = page.driver.downloads / "review.csv"  # type: ignore[attr-defined]
    page.until(target.exists)
    assert read_review(target) == {"c002"}
    assert [(d.capture_id, d.verdict, d.note) for d in read_decisions(target)] == [
        ("c002", "reject", ""),
        (accepted, "accept", 'fine, "really"'),
    ]
    target.unlink()


@pytest.fixture
def long_names(inspected: tuple[InspectReport, Path], tmp_path: Path) -> Path:
    """The same report, its captures named as cameras and people name them."""
    report, folder = inspected
    named = tuple(
        replace(c, capture_id=f"walk {c.index % 3}/morning_session-b/IMG_20171224_{123456 + c.index}_HDR")
        for c in report.captures
    )
    shutil.copytree(folder / "report", tmp_path / "report")
    document = as_json(replace(report, captures=named))
    return write_page(tmp_path / "report", document, open_dataset(folder / "dataset" / PHONE, None))


@pytest.mark.parametrize("dark", [False, True])
def test_nothing_overlaps_or_is_cut_off_at_any_width(page: ReportPage, long_names: Path, dark: bool) -> None:
    worst = page.js("return dped.state.captures[0].index")
    for width in (380, 820, 1400, 1900):
        resize(page.driver, width, 900, dark=dark)
        page.open(long_names)
        page.until(lambda: page.js("return document.getElementById('worst-card').dataset.ready"))
        page.js("document.querySelector('#passed-fold').open = true")
        page.js("dped.table.mark(dped.state.captures[0])")
        assert layout_faults(page.driver) == [], (width, dark, "overview")
        for selector in (
            "body",
            ".quiet",
            ".chip.harm",
            ".card h2",
            "#checks .badge",
            ".badge.unknown",
            "#passed .badge",
            ".bar-figure",
        ):
            assert contrast(page, selector) >= 4.5, (width, dark, selector)
        page.js(f"location.hash = 'c={worst}'")
        page.until(lambda: page.js("return Boolean(document.querySelector('#map-shifts svg'))"))
        page.mode("swipe")
        assert layout_faults(page.driver) == [], (width, dark, "capture")
        for selector in (".card h3", "#back", ".decide.reject", ".facts dt"):
            assert contrast(page, selector) >= 4.5, (width, dark, selector)
    page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_names_break_at_their_separators_only(page: ReportPage, long_names: Path) -> None:
    resize(page.driver, 820, 900, dark=False)
    page.open(long_names)
    lines = page.js("""
        return [...document.querySelectorAll('#rows td.name a')].flatMap((link) => {
          const starts = [...link.childNodes].filter((node) => node.nodeType === Node.TEXT_NODE).map((node) => {
            const range = document.createRange();
            range.selectNodeContents(node);
            return new Set([...range.getClientRects()].map((box) => Math.round(box.top))).size;
          });
          return starts;
        });""")
    assert isinstance(lines, list)
    assert len(lines) > 12 * 5  # parts of names
    assert {*lines} == {1}  # each on one line


def test_the_first_screen_shows_the_worst_places_in_pictures(page: ReportPage) -> None:
    page.until(lambda: page.js("return document.getElementById('worst-card').dataset.ready"))
    shots = page.driver.find_elements("css selector", ".shot")
    assert [shot.find_element("css selector", "strong").text for shot in shots[:3]] == page.rows()[:3]
    shifted = next(shot for shot in shots if "c002" in shot.text)
    assert "shifted" in shifted.text
    off = float(shifted.text.split("outlined: ")[1].split(" px")[0])
    assert off == pytest.approx(3.0, abs=0.3)
    # The outlined patch lies inside what is seen, and the overlay is coloured where the photos differ.
    seen, outlined = (
        shifted.find_element("css selector", ".overlay").rect,
        page.js("return arguments[0].querySelector('.outlined').getBoundingClientRect().toJSON()", shifted),
    )
    assert isinstance(outlined, dict)
    assert outlined["width"] == pytest.approx(150, abs=0.01)  # 100 px, enlarged
    assert abs(outlined["x"] + 75 - (seen["x"] + seen["width"] / 2)) <= seen["width"] / 2

    def colourfulness(shot: WebElement) -> float:
        png = shot.find_element("css selector", ".overlay").screenshot_as_png
        picture = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR).astype(float)
        return float(np.abs(picture[..., 0] - picture[..., 2]).mean())

    assert colourfulness(shifted) > 2 * min(colourfulness(shot) for shot in shots)
    shifted.click()
    page.until(lambda: page.shown() == "c002")


def test_before_and_after_are_drawn_at_one_scale(page: ReportPage, inspected: tuple[InspectReport, Path]) -> None:
    """On the page's own arrows: twice the shift is twice as long, in both pictures, and one button enlarges both."""
    gain = inspected[0].summary.gain
    assert gain is not None
    assert page.find("#number").text.split() == [
        *(f"{gain.before_px:.2f}", "px", "before", "→", f"{gain.after_px:.2f}", "px", "after")
    ]
    index = page.js("return dped.state.captures.find((c) => c.capture_id === 'c000').index")
    page.show("c000")
    page.until(lambda: page.js("return Boolean(document.querySelector('#map-shifts svg'))"))

    def longest(panel: str) -> float:
        return float(
            str(
                page.js(f"""
            return Math.max(...[...document.querySelectorAll('#map-shifts .{panel} [aria-label=arrow] path')].map(
              (path) => Number(path.getAttribute('d').match(/^M([-0-9.]+),([-0-9.]+)L([-0-9.]+),([-0-9.]+)/).slice(1)
                .reduce((sum, v, k, all) => (k < 2 ? sum : sum + (v - all[k - 2]) ** 2), 0)) ** 0.5));""")
            )
        )

    def scales() -> list[float]:
        """Screen pixels per pixel of shift, as the bars say: of the picture before and of the one after."""
        found = page.js("""
            return [...document.querySelectorAll('#map-shifts svg')].map((svg) =>
              svg.querySelector('[aria-label=rule] line').getBoundingClientRect().width
              / Number([...svg.querySelectorAll('text')].at(-1).textContent.replace(' px', '')));""")
        assert isinstance(found, list)
        return found

    data = page.js(f"return dped.loadCapture({index}).then((d) => [d.patches.before, d.sample.shift])")
    assert isinstance(data, list)
    before, after = (np.hypot(*np.array(part, float).reshape(-1, 2).T).max() for part in data)
    plain = scales()
    for factor in (1, 10, 1):
        assert scales() == pytest.approx([factor * plain[0]] * 2)
        assert longest("before") == pytest.approx(before * scales()[0], rel=0.02)
        assert longest("after") == pytest.approx(after * scales()[1], rel=0.05, abs=0.5)
        page.find("#map-shifts button").click()  # enlarged, and back


def test_loose_patches_have_no_cards_for_what_they_cannot_have(
    page: ReportPage, inspected: tuple[InspectReport, Path], tmp_path: Path
) -> None:
    report, folder = inspected
    document = as_json(report) | {"kind": "patches"}
    document["summary"] |= {"windows_by_reason": {"kept": 0}, "field": [], "drift_px": None, "gain": None}
    document["summary"] |= {
        "reasons": {},
        "systematic_px": [0.1, 0.0],
        "patches_by_split": {"train": 90_000, "test": 10_000},
    }
    shutil.copytree(folder / "report", tmp_path / "loose")
    page.open(write_page(tmp_path / "loose", document, open_dataset(folder / "dataset" / PHONE, None)))
    titles = page.js(
        "return [...document.querySelectorAll('.charts .card')].filter((c) => !c.hidden).map((c) => c.innerText)"
    )
    assert isinstance(titles, list)
    names = " ".join(title.splitlines()[0] for title in titles)
    assert "Remaining shift" in names and "Brightness" in names
    assert "Windows" not in names and "Captures not kept" not in names and "Shift of each capture" not in names
    assert "captures" not in page.find("#tiles").text and "windows" not in page.find("#tiles").text
    assert "shared by all patches" in page.find("#tiles").text and "captures" not in page.find("#number-card").text
    assert " ".join(page.find("#head").text.split()) == "# ↑ patch what split ncc shift, px review"
    assert page.find("#captures-title").text == "Patches, the worst 13 of 100,000"
    assert page.faults() == []


def test_passed_checks_are_folded_away(page: ReportPage, inspected: tuple[InspectReport, Path]) -> None:
    checks = inspected[0].checks
    passed = sum(check.status == "pass" for check in checks)
    assert page.find("#passed-count").text == f"{passed} of {len(checks)} checks passed"
    assert not page.find("#passed li").is_displayed()
    shown = page.driver.find_elements("css selector", "#checks .badge")
    assert len(shown) == len(checks) - passed
    page.find("#passed-count").click()
    assert page.find("#passed li").is_displayed()


def contrast(page: ReportPage, selector: str) -> float:
    """Contrast of an element's text with what lies behind it, as WCAG 2 defines it (1 to 21)."""
    script = """
        const parse = (text) => text.match(/[0-9.]+/g).map(Number);
        let node = document.querySelector(arguments[0]);
        const text = parse(getComputedStyle(node).color);
        while (node && (parse(getComputedStyle(node).backgroundColor)[3] ?? 1) === 0) node = node.parentElement;
        return [text, parse(getComputedStyle(node ?? document.body).backgroundColor)];"""
    colours = page.js(script, selector)
    assert isinstance(colours, list)

    def luminance(rgb: list[float]) -> float:
        parts = [v / 255 for v in rgb[:3]]
        linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in parts]
        return float(sum(w * v for w, v in zip((0.2126, 0.7152, 0.0722), linear, strict=True)))

    darker, lighter = sorted(luminance(rgb) for rgb in colours)
    return (lighter + 0.05) / (darker + 0.05)


def test_a_thousand_captures_are_usable_after_two_processor_seconds(
    page: ReportPage, inspected: tuple[InspectReport, Path], tmp_path: Path
) -> None:
    report, folder = inspected
    many = tuple(
        replace(report.captures[k % 12], capture_id=f"day{k % 9}/{k:05d}", index=k, pictured=False) for k in range(1000)
    )
    document = json.loads(json.dumps(as_json(replace(report, captures=many))))
    target = tmp_path / "report"
    index = write_page(target, document, open_dataset(folder / "dataset" / PHONE, None))
    size = sum(path.stat().st_size for path in target.rglob("*") if path.is_file())
    assert size < 4e6
    page.driver.execute_cdp_cmd("Performance.enable", {"timeDomain": "threadTicks"})  # other tests may be at work
    page.open(index)
    metrics = page.driver.execute_cdp_cmd("Performance.getMetrics", {})["metrics"]
    page.driver.execute_cdp_cmd("Performance.disable", {})
    seconds = {metric["name"]: metric["value"] for metric in metrics}["TaskDuration"]
    assert 0 < seconds < 2
    assert "1,000 captures" in page.find("#count").text
    page.find("#search").send_keys("00777")
    assert page.rows() == ["day3/00777"]
