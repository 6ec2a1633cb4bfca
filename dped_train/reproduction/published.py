"""The figures that the paper printed: tables 2 and 3, PSNR in dB and SSIM on the DPED test patches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Published:
    """PSNR (dB) and SSIM of one method on one phone."""

    psnr: float
    ssim: float


PHONES = ("iphone", "blackberry", "sony")
TABLE_2: Mapping[str, Mapping[str, Published]] = {
    "APE": {
        "iphone": Published(17.28, 0.8631),
        "blackberry": Published(18.91, 0.8922),
        "sony": Published(19.45, 0.9168),
    },
    "Dong et al.": {
        "iphone": Published(19.27, 0.8992),
        "blackberry": Published(18.89, 0.9134),
        "sony": Published(21.21, 0.9382),
    },
    "Johnson et al.": {
        "iphone": Published(20.32, 0.9161),
        "blackberry": Published(20.11, 0.9298),
        "sony": Published(21.33, 0.9434),
    },
    "Ours": {
        "iphone": Published(20.08, 0.9201),
        "blackberry": Published(20.07, 0.9328),
        "sony": Published(21.81, 0.9437),
    },
}
TABLE_3: Mapping[str, Mapping[str, Published]] = {
    "Color + Content + Texture": TABLE_2["Ours"],
    "Content + Texture": {
        "iphone": Published(19.05, 0.9166),
        "blackberry": Published(19.64, 0.9312),
        "sony": Published(21.59, 0.9426),
    },
    "MSE + Texture": {
        "iphone": Published(20.11, 0.9125),
        "blackberry": Published(20.13, 0.9241),
        "sony": Published(21.72, 0.9416),
    },
    "MSE": {
        "iphone": Published(20.56, 0.9198),
        "blackberry": Published(20.15, 0.9292),
        "sony": Published(21.35, 0.9453),
    },
}
