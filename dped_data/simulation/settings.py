"""Settings of a simulated rig."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from dped_data.common.typed_settings import FrozenDefaults, setting


@dataclass(frozen=True)
class SimulationSettings:
    """How hard the rendered captures are. Ranges that no setting names are constants of geometry.py and optics.py."""

    count: int = setting(0, "captures to render; 0 means one per scene photo", minimum=0)
    seed: int = setting(0, "seed of everything random in the rendering", minimum=0)
    scale: float = setting(1.0, "size of the rendered photos, share of the rig's photo sizes", minimum=0.05, maximum=1)
    parallax: float = setting(
        0.0,
        "displacement of the nearest objects between the two lenses, phone pixels at scale 1; 0 means a flat scene",
        minimum=0,
        maximum=100,
    )
    distortion: float = setting(
        1.0, "lens distortion, share of the usual; 0 means perfect lenses", minimum=0, maximum=2
    )
    warp_px: float = setting(
        5.0, "largest displacement that no lens model explains, smooth, phone pixels at scale 1", minimum=0, maximum=20
    )
    rotation_deg: float = setting(3.0, "largest rotation of the phone against the DSLR, degrees", minimum=0, maximum=20)
    perspective: float = setting(
        0.03, "change of scale from the phone photo's centre to its edge by the phone's tilt", minimum=0, maximum=0.2
    )
    min_view: float = setting(0.70, "narrowest view of the phone, share of the DSLR's width", minimum=0.2, maximum=2)
    max_view: float = setting(1.12, "widest view of the phone, share of the DSLR's width", minimum=0.2, maximum=2)
    full_well: int = setting(
        1200, "electrons that fill a phone pixel, the fewest (up to 2.5 times as many); fewer mean noise", minimum=50
    )
    exposure: float = setting(
        1.0,
        "the phone's exposure, drawn from 0.75-1.1 of the DSLR's, times this; the DPED set's iPhone is near 0.55",
        minimum=0.1,
        maximum=2,
    )
    white_balance: float = setting(
        0.15,
        "largest error of the phone's red and blue, drawn for each capture, share; no patch shows it, so that a "
        "trained enhancer keeps a cast",
        minimum=0,
        maximum=0.5,
    )
    sessions: int = setting(3, "shooting sessions that the captures are spread over, two hours apart", minimum=1)
    photos_apart: bool = setting(
        False, "give each session photos of its own, so that no scene is in two splits of a dataset; by turns otherwise"
    )
    clock_offset_s: float = setting(3637.0, "lead of the DSLR's clock over the phone's, seconds")
    file_names: Literal["equal", "camera"] = setting(
        "equal", "equal: one name for both photos of a capture; camera: each camera counts its own, only clocks pair"
    )
    phone_raw: bool = setting(
        False, "the phone stores its sensor's values (DNG), with shot and read noise and no processing, not JPEGs"
    )

    frozen_defaults: ClassVar[FrozenDefaults] = FrozenDefaults(
        format_version=1,
        first={
            "count": 0,
            "seed": 0,
            "scale": 1.0,
            "parallax": 0.0,
            "distortion": 1.0,
            "warp_px": 5.0,
            "rotation_deg": 3.0,
            "perspective": 0.03,
            "min_view": 0.7,
            "max_view": 1.12,
            "full_well": 1200,
            "exposure": 1.0,
            "sessions": 3,
            "clock_offset_s": 3637.0,
            "file_names": "equal",
        },
        added={"phone_raw": False, "photos_apart": False, "white_balance": 0.15},
    )
