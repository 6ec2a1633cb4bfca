"""The layout of the Zurich RAW-to-RGB set, as PyNET and those after it read it, with a table of what it leaves unsaid.

    <split>/huawei_raw/N.png    mosaics, 16-bit grey, red at the top left
    <split>/canon/N.jpg         the DSLR's patches

Patches of one scene have the same number. The set has train and test; val is ours. mosaics.csv, ours, has the levels of
black and white and all else that a shard says of a mosaic, pair by pair.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from dped_data.captures.records import SPLITS
from dped_data.common.csv_tables import csv_text, read_table
from dped_data.common.foreign_files import MOST_LIST_BYTES, read_limited
from dped_data.dataset.shard_check import RAW_FACTS, fact_shape
from dped_data.errors import InputError
from dped_data.photos.colour import srgb_encode
from dped_data.photos.mosaic_facts import MosaicFacts

RAW_FOLDER, RGB_FOLDER = "huawei_raw", "canon"
FACTS_TABLE = "mosaics.csv"
_CELLS = tuple((cell // 2, cell % 2) for cell in range(4))
UNSAID = MosaicFacts(
    black=np.zeros(4, np.float32),
    white=1023.0,
    cfa=np.array([[0, 1], [1, 2]], np.uint8),
    orientation=1,
    margin_xy=(0, 0),
    white_balance=np.full(3, np.nan, np.float32),
    color_matrix=np.full((3, 3), np.nan, np.float32),
    iso=math.nan,
    exposure_s=math.nan,
)
"""Of a set without the table: values of 10 bits, of which the trainers of the Zurich set subtract no black."""


def is_zrr(root: Path) -> bool:
    """Whether a folder has this layout."""
    return any((root / split / RAW_FOLDER).is_dir() for split in SPLITS)


def unpacked(mosaic: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Return a packed mosaic (S/2, S/2, 4) as the sensor has it, (S, S), red at the top left."""
    cells = np.empty((2 * mosaic.shape[0], 2 * mosaic.shape[1]), np.uint16)
    for index, (row, column) in enumerate(_CELLS):
        cells[row::2, column::2] = mosaic[..., index]
    return cells


def packed(cells: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Return a mosaic (S, S) with red at the top left packed, (S/2, S/2, 4)."""
    return np.stack([cells[row::2, column::2] for row, column in _CELLS], axis=-1)


def facts_as_numbers(facts: Mapping[str, Any]) -> dict[str, float | None]:
    """Return what is said of a mosaic, by the names of RAW_FACTS, as numbers by column; None is unknown."""
    numbers: dict[str, float | None] = {}
    for name in RAW_FACTS:
        values = np.ravel(facts[name]).tolist()
        names = [name] if not fact_shape(name) else [f"{name}_{index}" for index in range(len(values))]
        numbers |= {key: None if math.isnan(value) else value for key, value in zip(names, values, strict=True)}
    return numbers


def facts_table(rows: Iterable[tuple[str, str, Mapping[str, float | None]]]) -> str:
    """Return mosaics.csv: split, name and `facts_as_numbers` of every pair."""
    known = [*rows]
    columns = [*known[0][2]] if known else []
    cells = (
        [split, name, *("" if numbers[key] is None else numbers[key] for key in columns)]
        for split, name, numbers in known
    )
    return csv_text(["split", "name", *columns], cells)


def read_facts(root: Path) -> dict[str, MosaicFacts] | None:
    """Return what mosaics.csv says, by "split/name"; None where there is none, InputError where it cannot be used."""
    path = root / FACTS_TABLE
    try:
        table = read_table(read_limited(path, MOST_LIST_BYTES).decode())
        return {f"{row['split']}/{row['name']}": _facts_of(row) for _, row in table.rows}
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: cannot be used ({error}); export the set again, or remove the table") from None


def _facts_of(row: Mapping[str, str | None]) -> MosaicFacts:
    facts: dict[str, Any] = {}
    for name, dtype in RAW_FACTS.items():
        shape = fact_shape(name)
        keys = [name] if not shape else [f"{name}_{index}" for index in range(math.prod(shape))]
        values = np.array([float(row[key] or "nan") for key in keys])
        if np.dtype(dtype).kind != "f" and np.isnan(values).any():
            raise ValueError(f"{name} is missing")
        facts[name.removeprefix("raw_")] = values.astype(dtype).reshape(shape)
    facts |= {name: facts[name].item() for name in ("white", "orientation", "iso", "exposure_s")}
    return MosaicFacts(**facts | {"margin_xy": tuple(facts["margin_xy"].tolist())})


def simple_development(cells: NDArray[np.uint16], facts: MosaicFacts) -> NDArray[np.uint8]:
    """Develop a mosaic (S, S) with red at the top left to (S, S, 3) sRGB, so that there is something to look at.

    Bilinear interpolation; the camera's white balance and colour matrix where they are known, else grey on average.
    """
    black = np.empty(cells.shape, np.float32)
    for (row, column), level in zip(_CELLS, facts.black, strict=True):
        black[row::2, column::2] = level
    light = ((cells - black) / (facts.white - black)).clip(0, 1)
    rgb = cv2.cvtColor(np.rint(light * 65535).astype(np.uint16), cv2.COLOR_BayerRGGB2RGB).astype(np.float32) / 65535
    gains = facts.white_balance
    if np.isnan(gains).any():
        mean = rgb.mean(axis=(0, 1)).clip(1e-4)
        gains = mean[1] / mean
    rgb = (rgb * gains).clip(0, 1)
    if not np.isnan(facts.color_matrix).any():
        rgb = (rgb @ facts.color_matrix.T).clip(0, 1)
    return np.rint(srgb_encode(rgb.astype(np.float32)) * 255).astype(np.uint8)
