"""Sheets of patches with headings: figure 5, the patches of figure 19, and the artefacts of figure 12."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from dped_data.common.spread_rows import spread_rows
from dped_data.dataset.store import PatchStore
from dped_data.photos.writing import write_photo
from dped_train.devices import chosen_device
from dped_train.evaluate.comparison_sheet import Column, headed_sheet
from dped_train.evaluate.limitations import limitation_columns
from dped_train.losses import blur
from dped_train.networks.file import load_enhancer
from dped_train.photo_tensors import bytes_from_photos, photos_from_bytes
from dped_train.reproduction.measure import Row

Photos = NDArray[np.uint8]
CPU = torch.device("cpu")


def write_picture(path: Path, photo: Photos) -> Path:
    """Write a picture whole or not at all; return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_photo(path, photo)
    return path


def blurred_sheet(store: PatchStore, rows: int) -> Photos:
    """Figure 5: fragments of the phone and of the DSLR, each as it is and blurred as the colour loss sees it."""
    phone, dslr = store.read(spread_rows(len(store), rows))
    columns = (("phone", phone), ("phone, blurred", _blurred(phone)), ("DSLR", dslr), ("DSLR, blurred", _blurred(dslr)))
    return headed_sheet([Column(*column) for column in columns])


def method_sheet(store: PatchStore, rows: Sequence[Row], count: int, device: str) -> Photos:
    """Figure 19: test patches as the phone, each trained row and the DSLR show them."""
    phone, dslr = store.read(spread_rows(len(store), count))
    made = [Column(row.label, enhanced_patches(row.model, phone, device)) for row in rows if row.model is not None]
    return headed_sheet([Column("phone", phone), *made, Column("DSLR", dslr)])


def artefact_sheet(store: PatchStore, row: Row, count: int, device: str) -> Photos:
    """Figure 12: the test patches on which a model deviates most, one by colour, one by contrast, one by noise.

    Among at most `count` patches; a limitation that no patch shows is left out.
    """
    assert row.model is not None
    rows = spread_rows(len(store), count)
    phone, dslr = store.read(rows)
    enhanced = enhanced_patches(row.model, phone, device)
    valid = store.read_valid(rows) if store.masked else None
    columns = limitation_columns(enhanced, phone, dslr, valid)
    found = [columns[name] for name in ("colour_deviation_dslr", "contrast_dslr", "noise_phone")]
    worst = [int(np.nanargmax(values)) for values in found if np.isfinite(values).any()]
    headed = (("phone", phone), ("enhanced", enhanced), ("DSLR", dslr))
    return headed_sheet([Column(heading, photos[worst]) for heading, photos in headed])


@torch.no_grad()
def enhanced_patches(model: Path, phone: Photos, device: str) -> Photos:
    """The patches (n, S, S, 3) uint8 as the enhancer in the file `model` makes them."""
    place = chosen_device(device)
    network = load_enhancer(model, place)
    return np.concatenate([bytes_from_photos(network(photos_from_bytes(p[None], place))) for p in phone])


def _blurred(photos: Photos) -> Photos:
    """Blurred as in the released colour loss, but not darkened at the border."""
    tensors = photos_from_bytes(photos, CPU)
    return bytes_from_photos(blur(tensors, "released") / blur(torch.ones_like(tensors), "released"))
