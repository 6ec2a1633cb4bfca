"""Damage of a JPEG photo that no decoder notices: from a place of the scan on, its content breaks off."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dped_data.photos.jpeg_segments import is_frame, jpeg_segments

_SAMPLES = 2
"""Of a unit's edge."""
_LEAST_LEVELS = 8.0
_LEAST_ROW = _LEAST_LEVELS * 0.5 * 0.6
"""Half of the break's units lie in one row, and _ALIKE of them jump."""
_LEAST_UNITS = 3
"""Of each of the two rows that a break touches; where it is at the end of a row it looks like a horizontal edge."""
_ALIKE, _QUIET = 0.6, 0.75
"""Shares of units that jump by about the same, and of those before and behind that do not. Of 92 sound photos none has
more than 0.47 of the former, of displaced ones three in four more than 0.7."""
_LEAST_BAND = 0.01
_BLOCK = 8


def breaks_off(pixels: NDArray[np.uint8], data: bytes) -> bool:
    """Tell whether the content of a JPEG photo breaks off at a place of its scan.

    A code that is lost moves the mean colour of all blocks behind it, which are told by differences: exactly one row's
    worth of units, from the place on, jumps by one amount against those above, and none before or behind. Or all that
    follows is one flat colour. A picture's own edges do not begin in the middle of a row and go on in the next.

    Args:
        pixels: (H, W, C) as stored, not turned upright.
        data: the file.
    """
    width, height = _unit_wh(data)
    if _has_flat_end(pixels, width, height):
        return True
    for row, channel in zip(*_jumping_rows(pixels, height), strict=True):
        part = pixels[max(0, row - 3) * height : (row + 4) * height, :, channel]
        if _has_jump(part, width, height):
            return True
    return False


def _jumping_rows(pixels: NDArray[np.uint8], height: int) -> tuple[list[int], list[int]]:
    """Return the rows of units, and the channels, that differ from the row above on average: half of a break does."""
    import cv2

    def sums(first: int) -> NDArray[np.int32]:
        lines = pixels[first : pixels.shape[0] - height + 1 + first % height : height]
        return np.asarray(cv2.reduce(lines, 1, cv2.REDUCE_SUM, dtype=cv2.CV_32S)).reshape(len(lines), -1)

    if pixels.shape[0] < 4 * height:
        return [], []
    below, above = sums(height), sums(height - 1)
    means = np.abs(below - above[: len(below)]) / pixels.shape[1]
    rows, channels = np.nonzero(means >= _LEAST_ROW)
    return (rows + 1).tolist(), channels.tolist()


def _unit_wh(data: bytes) -> tuple[int, int]:
    """Return the size of what the codes of a scan stand for together (JPEG standard, annex A.2)."""
    for segment in jpeg_segments(data):
        if is_frame(segment.marker):
            parts = data[segment.start + 2 : segment.end]
            sampling = [parts[8 + 3 * index - 1] for index in range(parts[5])]
            if len(sampling) > 1:
                return _BLOCK * max(s >> 4 for s in sampling), _BLOCK * max(s & 15 for s in sampling)
            break
    return _BLOCK, _BLOCK


def _has_jump(pixels: NDArray[np.uint8], width: int, height: int) -> bool:
    """Look for one row's worth of units, in the order of the scan, that jump alike against the units above them."""
    units = pixels.shape[1] // width
    columns = slice(width // (2 * _SAMPLES), units * width, width // _SAMPLES)
    below, above = pixels[height::height, columns], pixels[height - 1 : -1 : height, columns]
    jumps = np.subtract(below, above[: len(below)], dtype=np.float32).ravel()
    jumps = (jumps[::2] + jumps[1::2]) / 2
    if units < 4 * _LEAST_UNITS or len(jumps) <= 3 * units:
        return False
    sums = np.cumsum(jumps.clip(-40, 40))  # exact: halves below 2**24
    means = np.abs(sums[units:] - sums[:-units]) / units  # of the units behind each
    contrast = means[units:-units] - np.maximum(means[: -2 * units], means[2 * units :])
    if contrast.max() < _LEAST_LEVELS / 2:
        return False
    start = int(contrast.argmax()) + units + 1
    inside, left = jumps[start : start + units], start % units
    if not _LEAST_UNITS <= left <= units - _LEAST_UNITS:
        return False
    jump = float(np.median(inside))
    alike = np.abs(inside - jump) < abs(jump) / 2
    quiet = np.abs(jumps[start - units : start + 2 * units]) < abs(jump) / 2
    return bool(
        abs(jump) >= _LEAST_LEVELS
        and min(alike[: units - left].mean(), alike[units - left :].mean()) >= _ALIKE
        and min(quiet[:units].mean(), quiet[2 * units :].mean()) >= _QUIET
    )


def _has_flat_end(pixels: NDArray[np.uint8], width: int, height: int) -> bool:
    """Look for one colour, neither black nor white, from the middle of a row of units to the end."""
    last = pixels[-1, -1]
    if np.isin(last, (0, 255)).any():
        return False
    if not (pixels[-1, -_LEAST_UNITS * width :] == last).all():
        return False
    rows = -(-pixels.shape[0] // height)
    whole = 0
    while whole < rows and _is_flat(pixels[(rows - 1 - whole) * height : (rows - whole) * height], last):
        whole += 1
    if whole == rows:
        return False
    top = (rows - 1 - whole) * height
    row = (pixels[top : top + height] == last).all(axis=(0, 2))
    flat = row[: row.size // width * width].reshape(-1, width).all(axis=1)
    tail = int(np.argmin(flat[::-1]))
    before = flat[: flat.size - tail]
    return bool(
        min(tail, before.size) >= _LEAST_UNITS
        and before.mean() < 0.5
        and whole * flat.size + tail >= _LEAST_BAND * rows * flat.size
    )


def _is_flat(part: NDArray[np.uint8], colour: NDArray[Any]) -> bool:
    return bool((part[0] == colour).all() and (part == colour).all())
