"""Between photos as bytes (N, H, W, 3) uint8 and as the networks see them (N, 3, H, W) float32 in [0, 1]."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def placed(host: Tensor, device: torch.device) -> Tensor:
    """A tensor of the host on `device`; nothing waits: the copy to a GPU starts from pinned memory."""
    return host if device.type == "cpu" else host.pin_memory().to(device, non_blocking=True)


def photos_from_bytes(photos: NDArray[Any], device: torch.device) -> Tensor:
    """Bring photos to `device` as bytes, a quarter of the traffic, and make them float there; channels last."""
    top = np.iinfo(photos.dtype).max  # 255; enhanced photos may have 16 bits
    return placed(torch.from_numpy(photos), device).permute(0, 3, 1, 2).float().div_(top)


def bytes_from_photos(photos: Tensor) -> NDArray[np.uint8]:
    """Clip to [0, 1] and round to the nearest of 256 levels: what a written photo holds."""
    levels = photos.float().clamp(0, 1).mul(255).round().to(torch.uint8)
    return levels.permute(0, 2, 3, 1).contiguous().cpu().numpy()
