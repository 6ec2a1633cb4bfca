"""Whole photos in strips equal one pass over the photo, whatever the memory, the size and the normalisation."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from authors_reference import released_enhancer
from numpy.typing import NDArray

from dped_data.photos.reading import read_photo
from dped_train.enhancing.stored_maps import CompactMap, bytes_per_row
from dped_train.enhancing.streaming import STRIP_BYTES, WholePhotoEnhancer
from dped_train.networks.dped import CHANNELS, Enhancer, initialise

MANY_STRIPS = dict.fromkeys(STRIP_BYTES, 300_000)  # also on a small photo
EXACT = ["two maps", "no rows"]
COMPACT = ["two compact maps", "all rows", "some rows"]


def photo_of(height: int, width: int) -> NDArray[np.uint8]:
    """Something smooth with an uneven spread of brightness, so that tiles have other statistics than the whole."""
    y, x = np.mgrid[0:height, 0:width]
    noise = np.random.default_rng(0).normal(0, 0.05, (height, width, 3))
    ramp = np.stack([x / width, y / height, (x * y) / (width * height)], axis=2)
    return (255 * (0.8 * ramp + 0.1 + noise)).clip(0, 255).astype(np.uint8)


def lively_enhancer(normalisation: str = "instance") -> Enhancer:
    """Weights large enough that every layer matters."""
    enhancer = Enhancer("batch" if normalisation == "batch" else "instance")
    initialise(enhancer, 0)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, value in enhancer.state_dict().items():
            if value.ndim == 4:
                value.mul_(3)
            elif "norm" in name and value.is_floating_point():
                value.copy_(torch.rand(value.shape, generator=generator) + 0.5)
    return enhancer.eval()


def in_one_pass(enhancer: Enhancer, photo: NDArray[np.uint8]) -> NDArray[np.float32]:
    with torch.no_grad():
        enhanced = enhancer(torch.from_numpy(photo).permute(2, 0, 1)[None].float() / 255)
    return np.asarray(enhanced[0].permute(1, 2, 0))


def map_bytes(memory: str, photo: NDArray[np.uint8], dtype: torch.dtype) -> int:
    """Memory with which a photo is enhanced in the way named."""
    height, width = photo.shape[:2]
    exact, compact = (bytes_per_row(CHANNELS, width, dtype, compact=compact) for compact in (False, True))
    return {
        "two maps": 2 * height * exact,
        "two compact maps": 2 * height * compact,
        "all rows": height * compact,
        "some rows": height // 3 * compact,
        "no rows": 0,
    }[memory]


@pytest.mark.parametrize("memory", EXACT)
@pytest.mark.parametrize("size", [(150, 91), (1, 1), (5, 3), (1, 40), (40, 1)])
def test_strips_equal_the_whole_photo_pass(size: tuple[int, int], memory: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dped_train.enhancing.streaming.STRIP_BYTES", MANY_STRIPS)
    photo, enhancer = photo_of(*size), lively_enhancer()
    found = WholePhotoEnhancer(enhancer, torch.float32).enhance(photo, map_bytes(memory, photo, torch.float32))
    np.testing.assert_allclose(found, in_one_pass(enhancer, photo), rtol=0, atol=1e-5)


@pytest.mark.parametrize("memory", COMPACT)
@pytest.mark.parametrize("size", [(150, 91), (1, 1), (5, 3), (1, 40), (40, 1)])
def test_compact_maps_change_little(size: tuple[int, int], memory: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dped_train.enhancing.streaming.STRIP_BYTES", MANY_STRIPS)
    photo, enhancer = photo_of(*size), lively_enhancer()
    found = WholePhotoEnhancer(enhancer, torch.float32).enhance(photo, map_bytes(memory, photo, torch.float32))
    np.testing.assert_allclose(found, in_one_pass(enhancer, photo), rtol=0, atol=5e-3)  # random weights amplify


@pytest.mark.parametrize("memory", [*EXACT, *COMPACT])
def test_the_way_is_chosen_by_the_memory(memory: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of the compact maps that are made; none where exact maps are kept."""
    made = []

    class Recorded(CompactMap):
        def __init__(self, channels: int, rows: int, *rest: Any) -> None:
            made.append(rows)
            super().__init__(channels, rows, *rest)

    monkeypatch.setattr("dped_train.enhancing.streaming.CompactMap", Recorded)
    photo = photo_of(30, 20)
    WholePhotoEnhancer(lively_enhancer(), torch.float32).enhance(photo, map_bytes(memory, photo, torch.float32))
    wanted = {"two maps": [], "two compact maps": [30, 30], "all rows": [30], "some rows": [10], "no rows": [0]}
    assert made == wanted[memory]


@pytest.mark.parametrize("size", [(1, 1), (5, 3), (70, 33)])
@pytest.mark.parametrize("normalisation", ["instance", "batch"])
def test_reflected_borders_come_in_strips_too(
    size: tuple[int, int], normalisation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dped_train.enhancing.streaming.STRIP_BYTES", MANY_STRIPS)
    enhancer, photo = lively_enhancer(normalisation), photo_of(*size)
    enhancer.padding = "reflect"
    prepared = WholePhotoEnhancer(enhancer, torch.float32)
    rows = [(first, len(part)) for first, part in prepared.enhanced_rows(photo, 10**9)]
    assert [first for first, _ in rows] == [sum(count for _, count in rows[:i]) for i in range(len(rows))]
    np.testing.assert_allclose(prepared.enhance(photo, 10**9), in_one_pass(enhancer, photo), atol=2e-5)


def test_strips_are_wider_where_memory_suffices_and_the_photo_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dped_train.enhancing.streaming.STRIP_BYTES", MANY_STRIPS)
    photo, prepared = photo_of(150, 91), WholePhotoEnhancer(lively_enhancer(), torch.bfloat16)
    allowed = map_bytes("two maps", photo, torch.bfloat16)
    narrow, wide = (list(prepared.enhanced_rows(photo, allowed + spare)) for spare in (0, 10**9))
    assert len(wide[1][1]) == 3 * len(narrow[1][1])
    np.testing.assert_allclose(*(np.concatenate([rows for _, rows in strips]) for strips in (wide, narrow)), atol=0.01)


def test_independent_tiles_would_differ() -> None:
    """The test above can fail: cutting the photo in two changes the result a hundred times more than rounding."""
    photo, enhancer = photo_of(150, 91), lively_enhancer()
    whole = WholePhotoEnhancer(enhancer, torch.float32).enhance(photo, 0)
    upper = WholePhotoEnhancer(enhancer, torch.float32).enhance(photo[:75], 0)
    assert np.abs(whole[:60] - upper[:60]).max() > 1e-3


def test_batch_normalisation_needs_one_pass_only() -> None:
    photo, enhancer = photo_of(150, 91), lively_enhancer("batch")
    found = WholePhotoEnhancer(enhancer, torch.float32).enhance(photo, 0)
    np.testing.assert_allclose(found, in_one_pass(enhancer, photo), rtol=0, atol=1e-5)


@pytest.mark.parametrize("memory", ["two maps", "two compact maps", "some rows"])
def test_bfloat16_stays_within_45_db(memory: str) -> None:
    photo, enhancer = photo_of(150, 91), lively_enhancer()
    found = WholePhotoEnhancer(enhancer, torch.bfloat16).enhance(photo, map_bytes(memory, photo, torch.bfloat16))
    error = np.mean((found.clip(0, 1) - in_one_pass(enhancer, photo).clip(0, 1)) ** 2)
    assert -10 * np.log10(error) > 45


def test_rows_come_from_top_to_bottom() -> None:
    photo = photo_of(100, 64)
    expected = 0
    for first, rows in WholePhotoEnhancer(lively_enhancer(), torch.float32).enhanced_rows(photo, 0):
        assert first == expected
        assert rows.shape[1:] == (64, 3)
        assert rows.dtype == np.float32
        expected += len(rows)
    assert expected == 100


PEAK_SCRIPT = """
import sys, resource, numpy as np, torch
from dped_train.enhancing.stored_maps import CompactMap, bytes_per_row
from dped_train.networks.dped import Enhancer, initialise
from dped_train.enhancing.streaming import STRIP_BYTES, WholePhotoEnhancer
STRIP_BYTES[torch.float32] = 2_000_000  # so that the smaller photo has as many strips on their way as the larger
width, map_bytes, *heights = map(int, sys.argv[1:])
enhancer = Enhancer(); initialise(enhancer, 0)
for height in heights:
    photo = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    for first, rows in WholePhotoEnhancer(enhancer, torch.float32).enhanced_rows(photo, map_bytes):
        pass
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def test_memory_stays_within_what_was_allowed() -> None:
    """Two maps of the larger photo would take 143 MB more than those of the smaller; both get 5 MB for maps."""

    command = [sys.executable, "-c", PEAK_SCRIPT, "400", "5000000", "100", "800"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=Path(__file__).parents[3])
    unit = 1 if sys.platform == "darwin" else 1024
    smaller, larger = (int(peak) * unit / 1e6 for peak in done.stdout.split())
    assert larger - smaller < 80


@pytest.mark.realdata
@pytest.mark.parametrize("phone", ["iphone", "blackberry", "sony"])
def test_released_generators_on_a_part_of_a_real_photo(shared_data: Path, phone: str) -> None:
    photo = read_photo(sorted((shared_data / "dped_fullsize").glob("*.jpg"))[0])
    photo = np.ascontiguousarray(photo[500:600, 700:900])
    enhancer = released_enhancer(shared_data, phone)
    wanted = in_one_pass(enhancer, photo)
    for memory, tolerance in (("two maps", 1e-5), ("two compact maps", 2e-3), ("some rows", 2e-3)):
        found = WholePhotoEnhancer(enhancer, torch.float32).enhance(photo, map_bytes(memory, photo, torch.float32))
        np.testing.assert_allclose(found, wanted, rtol=0, atol=tolerance)
        half = WholePhotoEnhancer(enhancer, torch.bfloat16).enhance(photo, map_bytes(memory, photo, torch.bfloat16))
        assert -10 * np.log10(np.mean((half.clip(0, 1) - wanted.clip(0, 1)) ** 2)) > 50
