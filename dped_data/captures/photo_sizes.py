"""How large a camera's photos are, by their headers, held against what a rig declares."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from dped_data.common.spread_rows import spread_rows
from dped_data.errors import PhotoError
from dped_data.photos.reading import read_header
from dped_data.settings import Camera

_MOST_LOOKED_AT = 20
"""Ours: photos of a camera, spread over all; cameras have one size or a few, and each header costs a disk access."""
_MOST_NAMED = 3


def sample_sizes(captures_dir: Path, files: Sequence[str]) -> Counter[str]:
    """Return "WIDTHxHEIGHT" of upright photos and how many have it, of up to 20 of `files` that can be read."""
    sizes = Counter[str]()
    for index in spread_rows(len(files), _MOST_LOOKED_AT):
        with suppress(PhotoError):  # whoever reads its pixels says so
            header = read_header(captures_dir / files[index])
            sizes[f"{header.width_px}x{header.height_px}"] += 1
    return sizes


def sizes_text(sizes: Mapping[str, int]) -> str:
    """Return sizes, most frequent first, as a few words: "840x600", or with how many photos have each."""
    ranked = sorted(sizes.items(), key=lambda item: (-item[1], item[0]))
    if len(ranked) == 1:
        return ranked[0][0]
    named = [f"{size} ({count:,})" for size, count in ranked[:_MOST_NAMED]]
    more = [f"{len(ranked) - _MOST_NAMED} other sizes"] if len(ranked) > _MOST_NAMED else []
    return ", ".join([*named, *more])


def size_warning(camera: Camera, sizes: Mapping[str, int]) -> str | None:
    """Return a line where photos, turned or not, have another size than is declared; None where they have not."""
    width, height = camera.width_px, camera.height_px
    others = {size: count for size, count in sizes.items() if size not in (f"{width}x{height}", f"{height}x{width}")}
    if not width or not others:
        return None
    return (
        f"{camera.name}: {sum(others.values())} of {sum(sizes.values())} photos looked at are {sizes_text(others)}, "
        f"the rig declares {width}x{height}; the photos' own sizes are used. Are these the photos you mean?"
    )
