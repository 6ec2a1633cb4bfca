"""Make the pictures in docs/images: build a small rig, plant three faults, inspect, photograph the report's page; then
photograph a user study and the report of made-up answers to it.

Run from the repository's root: `python docs/make_screenshots.py`. Needs Chromium (apt-get install chromium
chromium-driver) and takes about two minutes.
"""

from __future__ import annotations

import contextlib
import io
import shlex
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import h5py
import numpy as np
import skimage
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "browser")]

from chromium import start_chromium  # noqa: E402

import cli  # noqa: E402
from dped_data.align.resampling import sample_dslr  # noqa: E402
from dped_data.photos.reading import read_photo  # noqa: E402
from dped_data.photos.writing import write_photo  # noqa: E402
from dped_data.simulation.demo_photos import copy_photos  # noqa: E402
from dped_data.study.create import create_study, study_sets  # noqa: E402
from dped_data.study.report import report_study  # noqa: E402
from dped_data.study.report_files import write_report  # noqa: E402
from dped_data.study.server import StudyServer  # noqa: E402

if TYPE_CHECKING:
    from selenium.webdriver.chrome.webdriver import WebDriver

IMAGES = ROOT / "docs" / "images"
SHIFTED, OTHER_SCENE, OVEREXPOSED = "0002", "0006", "0012"


def run(command: str) -> None:
    """Run a dped command."""
    cli.dped.main(shlex.split(command), standalone_mode=False)


def make_report(folder: Path) -> Path:
    """Render, spoil, build, spoil again, inspect; return the report's page."""
    copy_photos(folder / "photos")
    run(f"simulate-rig --photos {folder}/photos --out {folder}/rig --phone sony --scale 0.5 --count 16 --sessions 4")
    canon = folder / "rig" / "captures" / "canon"
    (canon / f"{OTHER_SCENE}.jpg").write_bytes((canon / "0010.jpg").read_bytes())
    burnt = cv2.convertScaleAbs(read_photo(canon / f"{OVEREXPOSED}.jpg"), alpha=2.6, beta=20)
    write_photo(canon / f"{OVEREXPOSED}.jpg", burnt)
    run(f"build-dataset --captures {folder}/rig/captures --out {folder}/dataset")
    shift_stored(folder / "dataset" / "sony", canon.parent, SHIFTED, 3)
    run(f"inspect-pairs --data {folder}/dataset --out {folder}/report")
    return folder / "report" / "index.html"


def shift_stored(dataset: Path, captures: Path, capture_id: str, pixels: float) -> None:
    """Store the DSLR patches of one capture as a faulty builder would have cut them: `pixels` beside the place."""
    for path in sorted(dataset.glob("*/*.h5")):
        with h5py.File(path, "r+") as file:
            ids = [str(name) for name in file["captures"].asstr()[:]]
            if capture_id in ids:
                number = ids.index(capture_id)
                rows = np.flatnonzero(file["capture"][:] == number)
                nodes, size = file["dslr_xy"][rows], file["phone"].shape[1]
                step = (nodes[:, :, -1] - nodes[:, :, 0]).mean((0, 1)) / (size - 1)
                photo = read_photo(captures / str(file["dslr_file"].asstr()[number]))
                file["dslr"][rows] = sample_dslr(photo, nodes - pixels * step, size)


def photograph(driver: WebDriver, page: str, name: str, size_wh: tuple[int, int], dark: bool, script: str) -> None:
    """Open the page at a size, run a script in it, and write docs/images/NAME.jpg."""
    scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": scheme})
    metrics = {"width": size_wh[0], "height": size_wh[1], "deviceScaleFactor": 1.5, "mobile": size_wh[0] < 700}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    driver.get("about:blank")
    driver.get(page)
    time.sleep(1.5)
    driver.execute_script(script)
    time.sleep(2.0)
    picture = Image.open(io.BytesIO(driver.get_screenshot_as_png())).convert("RGB")
    picture.save(IMAGES / f"{name}.jpg", quality=82, optimize=True)


def show(capture_id: str, then: str = "") -> str:
    """Script that opens a capture and then runs `then`."""
    index = f"dped.state.captures.find((c) => c.capture_id === '{capture_id}').index"
    hidden = "document.querySelector('.hint').hidden = true;"  # it names the folder of this run
    return f"location.hash = `c=${{{index}}}`; setTimeout(() => {{ {hidden} {then} }}, 900);"


def make_study(photos: Path, folder: Path) -> Path:
    """Make a study of nine scenes and three classes from photos that ship with scikit-image; return its folder."""
    scenes = [path for path in sorted(photos.glob("[a-z]*")) if path.stem != "hubble_deep_field"]
    scenes += [Path(skimage.__file__).parent / "data" / name for name in ("brick.png", "grass.png")]
    for scene in scenes:
        pixels = read_photo(scene)
        dim = cv2.convertScaleAbs(cv2.GaussianBlur(pixels, (0, 0), 1.2), alpha=0.75)
        warm = cv2.subtract(cv2.convertScaleAbs(pixels, alpha=1.08), (0, 2, 10, 0))
        for name, shown in (("original", dim), ("enhanced", pixels), ("dslr", warm)):
            (folder / "photos" / "sony" / name).mkdir(parents=True, exist_ok=True)
            write_photo(folder / "photos" / "sony" / name / f"{scene.stem}.jpg", shown)
    sets = study_sets(folder / "photos", ())
    order = ("original", "enhanced", "dslr")
    create_study({("sony", name): sets["sony", name] for name in order}, folder / "study", scenes=9)
    return folder / "study"


def answer_by_chance(server: StudyServer, subjects: int) -> None:
    """Let subjects answer by chance, with odds that resemble those of the paper's Figure 10."""
    rng, worth = np.random.default_rng(0), {"original": -1.0, "enhanced": 0.5, "dslr": 0.6}
    for _ in range(subjects):
        subject = server.store.new_subject()
        for place, shown in enumerate(server.store.questions(subject) or ()):
            takes_left = rng.random() < 1 / (1 + np.exp(worth[shown.right] - worth[shown.left]))
            server.store.answer(subject, place, shown, shown.left if takes_left else shown.right)


def photograph_study(driver: WebDriver, folder: Path) -> None:
    """Answer some questions of a study, photograph the next one on a desktop and on a phone, and draw the bars."""
    server = StudyServer(make_study(folder / "demo" / "photos", folder), port=0)
    thread = threading.Thread(target=server.serve)
    thread.start()
    try:
        choose = "document.getElementById('choose-left').click()"
        for name, size_wh, scene in (("study-question", (1280, 760), "coffee"), ("study-phone", (390, 800), "chelsea")):
            subject, place = subject_who_meets(server, scene)
            answer = f"setInterval(() => {{ if (document.body.dataset.question < {place}) {choose}; }}, 50);"
            photograph(driver, f"{server.address}#{subject}", name, size_wh, True, answer)
        answer_by_chance(server, 42)
    finally:
        server.stop()
        thread.join()
    report = report_study(folder / "study", complete_only=True)
    written = write_report(report, folder / "report", folder / "study")
    photograph(driver, (written / "index.html").resolve().as_uri(), "study-report", (1080, 800), False, "")
    Image.open(written / "bars.png").convert("RGB").save(IMAGES / "study-bars.png", optimize=True)


def subject_who_meets(server: StudyServer, scene: str) -> tuple[str, int]:
    """A new subject whose third to ninth question is the scene's phone photo against another, and that place."""
    while True:
        subject = server.store.new_subject()
        for place, shown in enumerate((server.store.questions(subject) or ())[2:9], start=2):
            if shown.question.scene == scene and shown.left == "original":
                return subject, place


def main() -> None:
    """Make all pictures."""
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        page = make_report(Path("demo")).resolve().as_uri()
        driver = start_chromium(Path(folder) / "profile")
        try:
            choose = "document.querySelector('[data-mode={}]').click();"
            photograph(driver, page, "report-overview", (1280, 860), False, "")
            marked = "[1, 3].forEach((k) => dped.table.mark(dped.state.captures[k])); location.hash = 'captures';"
            photograph(driver, page, "report-captures", (1280, 760), False, marked)
            photograph(driver, page, "report-overlay", (1280, 860), True, show(SHIFTED, choose.format("overlay")))
            maps = "document.querySelector('.maps').scrollIntoView(); scrollBy(0, -70);"
            photograph(driver, page, "report-maps", (1280, 860), False, show("0001", maps))
            photograph(driver, page, "report-phone", (390, 800), False, show("0001", choose.format("swipe")))
            photograph_study(driver, Path(folder))
        finally:
            driver.quit()


if __name__ == "__main__":
    main()
