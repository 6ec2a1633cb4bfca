"""Alignment of photos that are seen again and again, for tests of what happens to its result."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache, wraps
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dped_data.align import pipeline
from dped_data.align.records import AlignedCapture

Align = Callable[..., AlignedCapture]


@cache
def remembered_align_photos() -> Align:
    """Return `align_photos` with a memory: the same pixels under the same settings are aligned once in a process."""
    align, known = pipeline.align_photos, dict[tuple[str, ...], AlignedCapture]()

    @wraps(align)
    def align_photos(phone: NDArray[np.uint8], dslr: NDArray[np.uint8], *how: Any) -> AlignedCapture:
        pixels = (hashlib.sha256(photo.tobytes()).hexdigest() + str(photo.shape) for photo in (phone, dslr))
        key = (*pixels, repr(how))
        if key not in known:
            known[key] = align(phone, dslr, *how)
        return known[key]

    return align_photos
