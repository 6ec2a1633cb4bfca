"""Measure an enhancer on some patches of the val split while it is trained."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from dped_data.common.spread_rows import spread_rows
from dped_data.dataset.store import PatchStore
from dped_train.data import Mosaics
from dped_train.evaluate.comparison_sheet import phone_enhanced_dslr
from dped_train.evaluate.metrics import ms_ssim, psnr
from dped_train.networks.compared import PhotoNetwork
from dped_train.photo_tensors import bytes_from_photos, photos_from_bytes
from dped_train.run.health import border_levels, cast_levels

AT_ONCE = 10
PICTURE_ROWS = 4


class Validation:
    """A fixed choice of validation patches: at most `count`, spread evenly over the val split; masked pixels left out.

    Attributes:
        phone_psnr: mean PSNR of the untouched phone patches, dB; None where the split is empty.
    """

    def __init__(self, source: Path, count: int, device: torch.device, *, mosaics: bool = False) -> None:
        store = PatchStore(source, "val")
        rows = spread_rows(len(store), count)
        self.device = device
        self.phone, self.dslr = store.read(rows)
        self.seen = Mosaics(store).read(rows) if mosaics else self.phone
        self.valid = torch.from_numpy(store.read_valid(rows)).to(device) if store.masked else None
        self.phone_psnr = self._scores(self.phone).get("val_psnr")

    def measure(self, enhancer: PhotoNetwork) -> dict[str, float]:
        """Figures of the enhanced patches; nothing without patches.

        Mean PSNR (dB) and MS-SSIM as val_psnr and val_ms_ssim, colour cast and frame in levels as val_cast, val_border.
        """
        if not len(self.phone):
            return {}
        made = self._enhance(enhancer, np.arange(len(self.phone)))
        judged = made if self.valid is None else np.where(self.valid.cpu().numpy()[..., None], made, self.dslr)
        tones = {"val_cast": cast_levels(judged, self.dslr), "val_border": border_levels(judged, self.dslr)}
        return self._scores(made) | tones

    def sheet(self, enhancer: PhotoNetwork) -> NDArray[np.uint8] | None:
        """A picture of a few patches, phone | enhanced | DSLR; None without patches."""
        if not len(self.phone):
            return None
        rows = spread_rows(len(self.phone), PICTURE_ROWS)
        return phone_enhanced_dslr(self.phone[rows], self._enhance(enhancer, rows), self.dslr[rows])

    @torch.no_grad()
    def _enhance(self, enhancer: PhotoNetwork, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        seen = self.seen[rows]
        made = np.empty_like(self.phone[rows])
        for start in range(0, len(rows), AT_ONCE):
            part = slice(start, start + AT_ONCE)
            made[part] = bytes_from_photos(enhancer(photos_from_bytes(seen[part], self.device)))
        return made

    def _scores(self, photos: NDArray[np.uint8]) -> dict[str, float]:
        if not len(photos):
            return {}
        ours, dslr = photos_from_bytes(photos, self.device), photos_from_bytes(self.dslr, self.device)
        scores = {"val_psnr": psnr(ours, dslr, self.valid), "val_ms_ssim": ms_ssim(ours, dslr, self.valid)}
        return {name: float(values.mean()) for name, values in scores.items()}
