"""The report opened from disk: without network, on small screens, in the dark, with a thousand captures."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from planted_dataset import PHONE, Fault, make_dataset
from report_page import ReportPage
from selenium.webdriver.chrome.webdriver import WebDriver

from dped_data.dataset.review_file import read_decisions, read_review
from dped_data.inspection.dataset_reader import open_dataset
from dped_data.inspection.page import write_page
from dped_data.inspection.pipeline import as_json, inspect_pairs
from dped_data.inspection.report import InspectReport

pytestmark = pytest.mark.browser

FAULTS = {2: Fault(shift_px=(3.0, 0.0)), 5: Fault(scene=40), 7: Fault(exposure=2.5)}


@pytest.fixture(scope="module")
def inspected(tmp_path_factory: pytest.TempPathFactory) -> tuple[InspectReport, Path]:
    folder = tmp_path_factory.mktemp("inspected")
    make_dataset(folder / "dataset", count=12, faults=FAULTS, rejected=1)
    return inspect_pairs(folder / "dataset", PHONE, folder / "report", jobs=1), folder


@pytest.fixture
def page(
    chromium: WebDriver, until: Callable[[Callable[[], object]], object], inspected: tuple[InspectReport, Path]
) -> ReportPage:
    chromium.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    page = ReportPage(chromium, until)
    page.open(inspected[1] / "report" / "index.html")
    page.js("localStorage.clear()")
    page.open(inspected[1] / "report" / "index.html")
    return page


def test_planted_faults_are_in_the_first_rows(page: ReportPage) -> None:
    assert {*page.rows()[:3]} == {"c002", "c005", "c007"}
    assert "FAIL" in page.find("#verdict").text
    first = page.js("return document.querySelector('#checks .badge').textContent")
    assert "fail" in str(first)
    page.find("#checks .link").click()  # "show it" beside the first check that failed
    assert len(page.rows()) == 1


def test_nothing_is_asked_of_the_network(page: ReportPage) -> None:
    page.requests()
    page.driver.refresh()
    page.until(lambda: page.js("return document.body.dataset.ready === 'yes'"))
    page.show("c002")
    addresses = page.requests()
    assert any("report.js" in address for address in addresses)
    assert any("phone_region.jpg" in address for address in addresses)
    assert not [address for address in addresses if not address.startswith(("file:", "data:"))]
    assert page.faults() == []


def test_every_chart_is_drawn(page: ReportPage) -> None:
    for name in ("shift", "error", "ncc", "field", "drift", "brightness", "windows", "reasons", "contrast"):
        assert page.js(f"return document.querySelectorAll('#{name}-chart svg').length") == 1, name
    page.show("c002")
    for name in ("windows", "before", "after"):
        assert page.js(f"return document.querySelectorAll('#map-{name} svg').length") == 1, name
    assert page.js("return document.querySelectorAll('#map-windows g[aria-label=rect] rect').length") == 20


def test_rejected_capture_without_pictures_says_why(page: ReportPage) -> None:
    page.show("r000")
    text = page.find("#detail").text
    assert "too few inliers: 7.0 against 16.0" in text
    assert "no picture" in text


def test_decisions_outlive_the_page_and_are_exported(page: ReportPage) -> None:
    page.show("c002")
    page.press("r")
    page.press("j")
    page.until(lambda: page.shown() != "c002")
    page.find("#note").send_keys('fine, "really"\n')
    page.press("a")
    accepted = page.shown()
    page.driver.refresh()
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


@pytest.mark.parametrize("dark", [False, True])
def test_it_fits_a_phone_and_is_readable_in_light_and_dark(page: ReportPage, dark: bool) -> None:
    scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
    page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": scheme})
    metrics = {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}
    page.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    page.driver.refresh()
    page.until(lambda: page.js("return document.body.dataset.ready === 'yes'"))
    assert page.js("return document.documentElement.scrollWidth") == 390
    page.show("c002")
    for mode in ("swipe", "overlay"):
        page.mode(mode)
        assert page.js("return document.documentElement.scrollWidth") == 390
    for selector in ("body", ".quiet", ".chip.harm", ".card h3", ".badge", "#back", ".decide.reject"):
        assert contrast(page, selector) >= 4.5, selector
    page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


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
