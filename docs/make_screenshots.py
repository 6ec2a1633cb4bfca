"""Make the pictures of the report in docs/images: build a small rig, plant three faults, inspect, photograph the page.

Run from the repository's root: `python docs/make_screenshots.py`. Needs Chromium (apt-get install chromium
chromium-driver) and takes about two minutes.
"""

from __future__ import annotations

import contextlib
import io
import shlex
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import h5py
import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "browser")]

from chromium import start_chromium  # noqa: E402

import cli  # noqa: E402
from dped_data.demo_photos import prepare_demo  # noqa: E402
from dped_data.photos import read_photo, write_photo  # noqa: E402
from dped_data.resampling import sample_dslr  # noqa: E402

if TYPE_CHECKING:
    from selenium.webdriver.chrome.webdriver import WebDriver

IMAGES = ROOT / "docs" / "images"
SHIFTED, OTHER_SCENE, OVEREXPOSED = "0002", "0006", "0012"


def run(command: str) -> None:
    """Run a dped command."""
    cli.dped.main(shlex.split(command), standalone_mode=False)


def make_report(folder: Path) -> Path:
    """Render, spoil, build, spoil again, inspect; return the report's page."""
    prepare_demo(folder)
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


def photograph(driver: WebDriver, page: Path, name: str, size_wh: tuple[int, int], dark: bool, script: str) -> None:
    """Open the page at a size, run a script in it, and write docs/images/NAME.jpg."""
    scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": scheme})
    metrics = {"width": size_wh[0], "height": size_wh[1], "deviceScaleFactor": 1.5, "mobile": size_wh[0] < 700}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    driver.get("about:blank")
    driver.get(page.as_uri())
    time.sleep(1.5)
    driver.execute_script(script)
    time.sleep(2.0)
    picture = Image.open(io.BytesIO(driver.get_screenshot_as_png())).convert("RGB")
    picture.save(IMAGES / f"{name}.jpg", quality=82, optimize=True)


def show(capture_id: str, then: str = "") -> str:
    """Script that opens a capture and then runs `then`."""
    index = f"dped.state.captures.find((c) => c.capture_id === '{capture_id}').index"
    return f"location.hash = `c=${{{index}}}`; setTimeout(() => {{ {then} }}, 900);"


def main() -> None:
    """Make all pictures."""
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        page = make_report(Path("demo")).resolve()
        driver = start_chromium(Path(folder) / "profile")
        try:
            choose = "document.querySelector('[data-mode={}]').click();"
            photograph(driver, page, "report-overview", (1280, 860), False, "")
            photograph(driver, page, "report-captures", (1280, 760), False, "location.hash = 'captures';")
            photograph(driver, page, "report-overlay", (1280, 860), True, show(SHIFTED, choose.format("overlay")))
            maps = "document.querySelector('.maps').scrollIntoView(); scrollBy(0, -70);"
            photograph(driver, page, "report-maps", (1280, 860), False, show("0001", maps))
            photograph(driver, page, "report-phone", (390, 800), False, show("0001", choose.format("swipe")))
        finally:
            driver.quit()


if __name__ == "__main__":
    main()
