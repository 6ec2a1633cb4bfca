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
    page.until(lambda: page.shown() not in (SHIFTED, None))  # on to the next
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
