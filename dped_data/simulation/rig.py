"""Render the captures of a rig whose geometry is known exactly."""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dped_data.common.files import atomic_write_bytes, sha256_of_file
from dped_data.common.parallel import run_parallel
from dped_data.common.progress import progress
from dped_data.common.typed_settings import settings_dict
from dped_data.errors import UsageError
from dped_data.photos.exif import exif_with_time
from dped_data.photos.writing import write_photo
from dped_data.settings import Camera, Rig
from dped_data.simulation.description import finished_truth, rendering, write_description
from dped_data.simulation.geometry import draw_geometry
from dped_data.simulation.optics import CameraLook, develop, draw_phone, dslr_look
from dped_data.simulation.render import render_light
from dped_data.simulation.scenes import list_photos, make_scene
from dped_data.simulation.sensor import raw_photo
from dped_data.simulation.settings import SimulationSettings
from dped_data.simulation.truth import CAPTURES_FOLDER, Truth, write_truth

FIRST_SHOT_S = 1497258000.0  # 12 June 2017, 9:00 by the phone's clock
SESSION_GAP_S = 7200.0
SHOT_INTERVAL_S = (15.0, 60.0)
TRIGGER_JITTER_S = 0.25
"""Ours: both cameras are released together, by hand or by remote control."""


@dataclass(frozen=True)
class SimulationReport:
    """What `simulate_rig` wrote.

    Attributes:
        captures: captures rendered; photos: scene photos they were rendered from.
        phone, dslr: camera names; phone_wh, dslr_wh: sizes of the rendered photos.
        magnification: DSLR pixels covered by the side of one scene photo's pixel, (median, largest) over the captures;
            far above 1 the photos hold little texture, and a smaller `scale` is the cure.
        walls: captures whose scene is a wall of several photos, because one alone would be too coarse.
    """

    captures: int
    photos: int
    phone: str
    dslr: str
    phone_wh: tuple[int, int]
    dslr_wh: tuple[int, int]
    magnification: tuple[float, float]
    walls: int


@dataclass(frozen=True)
class _Shot:
    """One capture to render: number `place` of its session, from 0, and number `index` of all."""

    index: int
    session: int
    place: int
    phone_file: str
    dslr_file: str
    phone_time_s: float
    dslr_time_s: float


def simulate_rig(
    photos: Path, out: Path, rig: Rig, phone: str, settings: SimulationSettings, *, jobs: int = -1
) -> SimulationReport:
    """Render `settings.count` captures of the photos in a folder, as the rig's phone and DSLR would take them.

    Writes `out/captures/<phone>/*.jpg` (or *.dng), `out/captures/<dslr>/*.jpg`, `out/truth/*.json` with the exact map
    of each capture, and `out/simulation.json`: first what was asked for, at the end the report as well. The same
    settings, photos and library versions give the same bytes, for any `jobs` and after any interruption: captures that
    an earlier call with the same settings finished are kept.

    Args:
        photos: folder of scene photos, used in the order of their names, again and mirrored if there are too few.
        out: folder to write to; a rig in it must have been asked for with the same settings, cameras and photos.
        rig: gives the names and sizes of the cameras.
        phone: the phone to simulate.
        settings: see SimulationSettings.
        jobs: captures rendered at the same time; -1 means one per core.
    Raises:
        InputError: no photos, an unreadable one, or `out` holds something else; UsageError: unknown phone.
    """
    cameras = (rig.phone(phone), rig.camera(rig.dslr))
    if settings.min_view > settings.max_view:
        raise UsageError(f"--min-view {settings.min_view:g} is above --max-view {settings.max_view:g}; swap them")
    scene_photos = list_photos(photos)
    if settings.photos_apart and len(scene_photos) < settings.sessions:
        raise UsageError(
            f"--photos-apart: {photos} has {len(scene_photos)} photos, at least {settings.sessions} are needed, one "
            "for each session; add photos, or ask for fewer --sessions"
        )
    asked = _asked(cameras, settings, scene_photos)
    phone_wh, dslr_wh = ((round(c.width_px * settings.scale), round(c.height_px * settings.scale)) for c in cameras)
    count = settings.count or len(scene_photos)
    shots = _plan(count, cameras[0].name, cameras[1].name, settings)
    files = [file for shot in shots for file in (shot.phone_file, shot.dslr_file)]
    with rendering(out, asked, files):
        known = {shot.index: finished_truth(out, shot.phone_file, shot.dslr_file) for shot in shots}
        calls = [(shot, scene_photos, out, phone_wh, dslr_wh, settings) for shot in shots if known[shot.index] is None]
        rendered = progress(
            run_parallel(_render_shot, calls, jobs), total=len(calls), label="rendering", unit="capture"
        )
        truths = [truth for truth in known.values() if truth is not None] + list(rendered)
        magnifications = [t.magnification for t in truths]
        report = SimulationReport(
            captures=count,
            photos=len(scene_photos),
            phone=cameras[0].name,
            dslr=cameras[1].name,
            phone_wh=phone_wh,
            dslr_wh=dslr_wh,
            magnification=(float(np.median(magnifications)), max(magnifications)),
            walls=sum(len(t.scene_photos) > 1 for t in truths),
        )
        write_description(out, {"asked": asked, "report": dataclasses.asdict(report)})
    return report


def _asked(cameras: tuple[Camera, Camera], settings: SimulationSettings, photos: list[Path]) -> dict[str, Any]:
    """Everything that decides the rendering, libraries apart, as plain JSON values."""
    content = hashlib.sha256("".join(f"{p.name} {sha256_of_file(p)}\n" for p in photos).encode()).hexdigest()
    return {
        "cameras": {camera.name: f"{camera.width_px}x{camera.height_px}" for camera in cameras},
        "photos": len(photos),
        "photos_sha256": content,
        **settings_dict(settings),
    }


def _plan(count: int, phone: str, dslr: str, settings: SimulationSettings) -> list[_Shot]:
    """Name and time every capture; each session is a run of consecutive captures."""
    rng = np.random.default_rng([settings.seed, 0])
    digits = max(4, len(str(count)))
    shots = []
    time_s, session, first = FIRST_SHOT_S, 0, 0
    for i in range(count):
        time_s += rng.uniform(*SHOT_INTERVAL_S)
        if i * settings.sessions // count > session:
            session, first = session + 1, i
            time_s += SESSION_GAP_S
        dslr_time_s = time_s + settings.clock_offset_s + rng.uniform(-TRIGGER_JITTER_S, TRIGGER_JITTER_S)
        names = (f"{i + 1:0{digits}d}",) * 2
        if settings.file_names == "camera":
            names = (f"IMG_{i + 1:0{digits}d}", f"DSC{i + 3001:0{digits + 1}d}")
        suffix = ".dng" if settings.phone_raw else ".jpg"
        shots.append(
            _Shot(i, session, i - first, f"{phone}/{names[0]}{suffix}", f"{dslr}/{names[1]}.jpg", time_s, dslr_time_s)
        )
    return shots


def _render_shot(
    shot: _Shot,
    photos: list[Path],
    out: Path,
    phone_wh: tuple[int, int],
    dslr_wh: tuple[int, int],
    settings: SimulationSettings,
) -> Truth:
    rng = np.random.default_rng([settings.seed, shot.index + 1])
    geometry = draw_geometry(rng, phone_wh, dslr_wh, settings)
    index = shot.index
    if settings.photos_apart:
        first, after = (len(photos) * number // settings.sessions for number in (shot.session, shot.session + 1))
        photos, index = photos[first:after], shot.place
    scene = make_scene(photos, index, geometry, rng)
    phone = draw_phone(rng, settings.full_well, settings.exposure, settings.white_balance)
    looks = (phone, dslr_look())
    for look, is_phone in zip(looks, (True, False), strict=True):
        light = render_light(geometry, scene, phone=is_phone, blur_px=look.blur_px)
        file, time_s = (shot.phone_file, shot.phone_time_s) if is_phone else (shot.dslr_file, shot.dslr_time_s)
        if is_phone and settings.phone_raw:
            atomic_write_bytes(out / CAPTURES_FOLDER / file, raw_photo(light, look, time_s, rng))
        else:
            _save(out / CAPTURES_FOLDER / file, develop(light, look, rng), look, time_s)
    truth = Truth(shot.phone_file, shot.dslr_file, scene.photos, scene.magnification, geometry, looks[0])
    write_truth(out, truth)
    return truth


def _save(path: Path, pixels: NDArray[np.uint8], look: CameraLook, time_s: float) -> None:
    write_photo(path, pixels, quality=look.quality, subsampling=look.subsampling, exif=exif_with_time(time_s))
