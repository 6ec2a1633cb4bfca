"""The simulated rigs that the benchmark measures on, rendered with fixed seeds."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, replace
from pathlib import Path

from dped_data.settings import PAPER_RIG, Camera, Rig
from dped_data.simulation import SimulationSettings, Truth, read_truths, simulate_rig
from dped_data.simulation.truth import CAPTURES_FOLDER

PHONE = "sony"
SMALL_RIG = Rig("small photos", "canon", (Camera(PHONE, 840, 600), Camera("canon", 1218, 870)))
LARGE_RIG = Rig("20 megapixels", "canon", (Camera(PHONE, 2592, 1944), Camera("canon", 5472, 3648)))


@dataclass(frozen=True)
class Family:
    """A kind of rig: its name in the table, cameras, and settings (`count` and `scale` come from the command line)."""

    name: str
    rig: Rig
    settings: SimulationSettings


FAMILIES = (
    Family("homography", PAPER_RIG, SimulationSettings(seed=101, distortion=0.0, warp_px=0.0)),
    Family("distortion", PAPER_RIG, SimulationSettings(seed=102)),
    Family("parallax", PAPER_RIG, SimulationSettings(seed=103, parallax=15.0)),
    # A lens bends small photos by as many pixels less as they are smaller: 5 px of 2592 are 1.6 px of 840.
    Family("small", SMALL_RIG, SimulationSettings(seed=104, warp_px=1.6)),
)
LARGE = Family("20 MP", LARGE_RIG, SimulationSettings(seed=105, count=1))
CROSSED = Family("crossed", SMALL_RIG, SimulationSettings(seed=106, warp_px=1.6))


def render(family: Family, photos: Path, folder: Path, count: int, scale: float, jobs: int) -> Path:
    """Render a family's rig into `folder` unless an earlier run has; return the folder."""
    done = folder / "done"
    if not done.exists():
        settings = replace(family.settings, count=count, scale=1.0 if family.rig is SMALL_RIG else scale)
        simulate_rig(photos, folder, family.rig, PHONE, settings, jobs=jobs)
        done.touch()
    return folder


def cross(photos: Path, folder: Path, wanted: int, jobs: int) -> int:
    """Write captures that pair a phone photo with a DSLR photo of another scene, up to `wanted`; return how many.

    Scenes count as different when they share no photo. Photos too small for the cameras make walls that share photos;
    then the cameras are made smaller.
    """
    truths: list[Truth] = []
    pairs: list[tuple[int, int]] = []
    for scale in (1.0, 0.5):
        settings = replace(CROSSED.settings, count=math.isqrt(wanted) + 4, scale=scale)
        rig_dir = folder / f"rig-{scale:g}"
        if not (rig_dir / "done").exists():
            simulate_rig(photos, rig_dir, CROSSED.rig, PHONE, settings, jobs=jobs)
            (rig_dir / "done").touch()
        truths = read_truths(rig_dir)
        pairs = [
            (i, j)
            for i, a in enumerate(truths)
            for j, b in enumerate(truths)
            if not {*a.scene_photos} & {*b.scene_photos}
        ]
        if len(pairs) >= wanted:
            break
    step = max(1, len(pairs) // wanted)
    chosen = pairs[::step][:wanted]
    for number, (i, j) in enumerate(chosen):
        for camera, file in ((PHONE, truths[i].phone_file), ("canon", truths[j].dslr_file)):
            target = folder / CAPTURES_FOLDER / camera / f"{number:04d}.jpg"
            target.parent.mkdir(parents=True, exist_ok=True)
            if not target.exists():
                os.link(rig_dir / CAPTURES_FOLDER / file, target)
    return len(chosen)
