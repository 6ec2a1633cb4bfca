"""One pass over a strip of a photo's maps: scale and shift, ReLU, and the addition of a residual block.

Instead of it: torch.addcmul, relu_ and add_, three passes, which round a bfloat16 result after each. They cost 1.03
times the processor time of an enhanced photo (bfloat16, AMD EPYC with AVX-512; `python benchmarks/cpu_parts.py --work
enhancing --precision bf16 --only strip`). Off: DPED_PLAIN_TORCH=1. Delete it when that benchmark shows less than 1.01.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dped_data.common.jit import FAST_MATH, njit
from dped_train.cpu.switch import by_hand
from dped_train.cpu.threads import share

ZERO, HALF_WAY, ONE, SIXTEEN = np.float32(0), np.uint32(0x7FFF), np.uint32(1), np.uint32(16)


def scaled_relu(x: Tensor, scale: Tensor, shift: Tensor, out: Tensor, skip: Tensor | None = None) -> None:
    """Write relu(x * scale + shift), plus `skip` where there is one, into `out`; computed in float32, rounded once.

    Scale and shift are rounded to x's type before, as torch does it: with two released generators bfloat16 comes
    1 and 2 dB closer to float32 so than with their 24 bits.

    Args:
        x, skip, out: (1, C, h, W) of one type; by hand where that is float32 or bfloat16, channels last, on a CPU.
        scale, shift: (1, C, 1, 1) float32.
    """
    tensors = (x, out) if skip is None else (x, out, skip)
    if not (by_hand() and all(map(_fits, tensors))):
        torch.addcmul(shift.to(x.dtype), x, scale.to(x.dtype), out=out).relu_()
        if skip is not None:
            out.add_(skip)
        return
    pixels, written = _rows(x), _rows(out)
    added = written if skip is None else _rows(skip)
    factors, terms = (value.to(x.dtype).float().flatten().numpy() for value in (scale, shift))
    one_pass = rows_of_float32 if x.dtype == torch.float32 else rows_of_bfloat16

    def work(rows: range) -> None:
        part = slice(rows.start, rows.stop)
        one_pass(pixels[part], factors, terms, added[part], skip is not None, written[part])

    share(work, len(pixels), 1)


def _fits(x: Tensor) -> bool:
    rows = x.permute(0, 2, 3, 1)
    return x.device.type == "cpu" and x.dtype in (torch.float32, torch.bfloat16) and rows.is_contiguous()


def _rows(x: Tensor) -> NDArray[np.float32] | NDArray[np.uint16]:
    """(1, C, h, W) as (h, W, C); bfloat16 as the numbers that its bits are, since numpy does not know it."""
    rows = x.permute(0, 2, 3, 1)[0]
    return rows.numpy() if x.dtype == torch.float32 else rows.view(torch.int16).numpy().view(np.uint16)


@njit(cache=True, nogil=True, fastmath=FAST_MATH)
def rows_of_float32(x, scale, shift, skip, plus, out):  # type: ignore[no-untyped-def]
    """All (h, W, C) float32 but scale and shift, (C,); `skip` is added if `plus`."""
    for row in range(x.shape[0]):
        for column in range(x.shape[1]):
            a, s, o = x[row, column], skip[row, column], out[row, column]
            for c in range(a.size):
                value = max(a[c] * scale[c] + shift[c], ZERO)
                o[c] = value + s[c] if plus else value


@njit(cache=True, nogil=True, fastmath=FAST_MATH)
def rows_of_bfloat16(x, scale, shift, skip, plus, out):  # type: ignore[no-untyped-def]
    """The same with bfloat16 as uint16: the upper half of a float32, rounded to the nearest, to even between two."""
    for row in range(x.shape[0]):
        for column in range(x.shape[1]):
            a, s, o = x[row, column], skip[row, column], out[row, column]
            for c in range(a.size):
                wide = np.uint32(np.uint32(a[c]) << SIXTEEN).view(np.float32)
                value = max(wide * scale[c] + shift[c], ZERO)
                if plus:
                    value += np.uint32(np.uint32(s[c]) << SIXTEEN).view(np.float32)
                bits = np.float32(value).view(np.uint32)
                o[c] = np.uint16((bits + HALF_WAY + ((bits >> SIXTEEN) & ONE)) >> SIXTEEN)
