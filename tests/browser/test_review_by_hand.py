"""The whole way of a reviewer, in a browser: see three planted faults first, reject one, rebuild, see it gone."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest
from report_page import ReportPage
from running_server import running_server
from selenium.webdriver.chrome.webdriver import WebDriver
from selenium.webdriver.common.action_chains import ActionChains
from small_rig import write_rig

from dped_data.build import build_dataset
from dped_data.dataset.review_file import read_review
from dped_data.dataset.store import PatchStore
from dped_data.inspection.pipeline import inspect_pairs
from dped_data.inspection.review_server import ReviewServer
from dped_data.photos.reading import read_photo
from dped_data.photos.writing import write_photo
from dped_data.settings import load_build_settings

pytestmark = pytest.mark.browser

COUNT = 9
SHIFTED, OTHER_SCENE, OVEREXPOSED = "001", "003", "005"
PHONE = "pocket"


@dataclass(frozen=True)
class Rig:
    """A rig's folder: captures/, rig.toml, and what is built from them."""

    folder: Path

    def build(self, review: Path | None = None) -> None:
        settings = load_build_settings(self.folder / "rig.toml", {"patch_size": 40})
        build_dataset(self.folder / "captures", self.folder / "dataset", PHONE, settings, jobs=1, review=review)

    def inspect_and_serve(self, name: str = "report") -> ReviewServer:
        report = inspect_pairs(self.folder / "dataset", PHONE, self.folder / name, jobs=1)
        return ReviewServer(report, self.folder / name)


def shift_stored(dataset: Path, capture_id: str, pixels: int) -> None:
    """Move the stored DSLR patches of one capture to the right, as a builder with a fault would have cut them."""
    for path in sorted(dataset.glob("*/*.h5")):
        with h5py.File(path, "r+") as file:
            ids = [str(name) for name in file["captures"].asstr()[:]]
            if capture_id in ids:
                for row in np.flatnonzero(file["capture"][:] == ids.index(capture_id)):
                    file["dslr"][row] = np.roll(file["dslr"][row], pixels, axis=1)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Rig:
    """A built dataset with a shifted capture, one with another scene's DSLR photo, and an over-exposed one."""
    rig = Rig(tmp_path_factory.mktemp("rig"))
    captures, _ = write_rig(rig.folder, COUNT)
    slr = captures / "slr"
    other = (slr / "006.jpg").read_bytes()
    (slr / f"{OTHER_SCENE}.jpg").write_bytes(other)
    burnt = cv2.convertScaleAbs(read_photo(slr / f"{OVEREXPOSED}.jpg"), alpha=2.2)
    write_photo(slr / f"{OVEREXPOSED}.jpg", burnt, quality=95)
    rig.build()
    shift_stored(rig.folder / "dataset" / PHONE, SHIFTED, 3)
    return rig


@pytest.fixture
def rig(built: Rig, tmp_path: Path) -> Rig:
    """A copy, since rebuilding changes it."""
    return Rig(shutil.copytree(built.folder, tmp_path / "rig"))


@pytest.fixture
def served(rig: Rig) -> Iterator[ReviewServer]:
    server = rig.inspect_and_serve()
    with running_server(server):
        yield server


@pytest.fixture
def page(chromium: WebDriver, until: Callable[[Callable[[], object]], object], served: ReviewServer) -> ReportPage:
    page = ReportPage(chromium, until)
    page.open(served.address)
    return page


def test_a_reviewer_finds_rejects_and_gets_rid_of_a_fault(page: ReportPage, rig: Rig, served: ReviewServer) -> None:
    assert {SHIFTED, OTHER_SCENE, OVEREXPOSED} <= {*page.rows()[:5]}
    assert "shifted" in page.row_text(SHIFTED)
    assert "rejected" in page.row_text(OTHER_SCENE) or "no match" in page.row_text(OTHER_SCENE)
    page.show(SHIFTED)
    page.find("#note").send_keys("3 px off\n")
    page.press("r")
    page.until(lambda: served.review.exists() and read_review(served.review) == {SHIFTED})
    page.until(lambda: "1 rejected" in page.find("#review-state").text)
    page.press("\ue00c")  # Esc
    assert "rejected" in page.row_text(SHIFTED)
    assert page.faults() == []

    others = {name: stored(rig, name) for name in ("000", "002")}
    rig.build(review=served.review)
    assert stored(rig, SHIFTED) == b""
    assert {name: stored(rig, name) for name in others} == others  # and nothing else has changed

    again = rig.inspect_and_serve("again")  # the first one is being served still
    with running_server(again):
        page.open(again.address)
        assert SHIFTED not in page.rows()[:3]
        assert "rejected by a person" in page.row_text(SHIFTED)
        page.choose("status", "kept")
        assert SHIFTED not in page.rows()
        assert len(page.rows()) > 3


def stored(rig: Rig, capture_id: str) -> bytes:
    """All stored DSLR pixels of a capture."""
    parts = []
    for split in ("train", "val", "test"):
        store = PatchStore(rig.folder / "dataset" / PHONE, split)  # type: ignore[arg-type]
        rows = [index for index, name in enumerate(store.capture_ids()) if name == capture_id]
        parts.append(store.read(rows)[1].tobytes())
    return b"".join(parts)


def test_every_way_of_comparing_shows_both_photos_in_place(page: ReportPage) -> None:
    page.show("000")
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


def test_the_swipe_follows_the_pointer(page: ReportPage) -> None:
    page.show("000")
    page.mode("swipe")
    paper = page.find(".paper")
    quarter = paper.size["width"] // 4
    ActionChains(page.driver).move_to_element_with_offset(paper, -quarter, 0).click_and_hold().move_by_offset(
        2 * quarter, 0
    ).release().perform()
    position = float(str(page.js("return document.querySelector('input.swipe').value")))
    assert position == pytest.approx(75, abs=3)


def test_shifted_patches_differ_in_the_picture_and_aligned_ones_do_not(page: ReportPage) -> None:
    """The difference view, as the browser paints it, is brighter for the capture that is off by 3 px."""

    def brightness(capture_id: str) -> float:
        page.show(capture_id)
        page.mode("difference")
        picture = cv2.imdecode(np.frombuffer(page.find(".paper").screenshot_as_png, np.uint8), cv2.IMREAD_COLOR)
        page.press("\ue00c")
        return float(picture.mean())

    assert brightness(SHIFTED) > 1.5 * brightness("000")


def test_filters_search_and_sorting(page: ReportPage) -> None:
    total = len(page.rows())
    assert total == COUNT
    page.choose("flag", "shifted")
    assert page.rows() == [SHIFTED]
    page.find("#filter-clear").click()
    page.find("#search").send_keys("007")
    assert page.rows() == ["007"]
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
