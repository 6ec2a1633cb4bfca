from __future__ import annotations

import multiprocessing
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from planted_scene import distorted, identity, nodes_of, photo
from threadpoolctl import threadpool_limits

from dped_data.align import pipeline
from dped_data.align.ncc import correlate_patches
from dped_data.align.pipeline import align_photos, match_photos
from dped_data.align.records import WINDOW_REASONS, AlignedCapture
from dped_data.align.resampling import sample_dslr
from dped_data.align.smooth_map import project
from dped_data.align.warped_photo import PhotoMap, map_from_bytes, map_to_bytes, warp_aligned
from dped_data.errors import CaptureRejected
from dped_data.photos.reading import read_photo
from dped_data.settings import BuildSettings

PHONE_WH, DSLR_WH = (840, 600), (1218, 870)
TRUE = distorted(1.4, 1.5, (18.3, 14.6), 0.012, ((840 - 1) / 2, (600 - 1) / 2))
SETTINGS = BuildSettings()


@pytest.fixture(scope="module")
def pair() -> tuple[np.ndarray, np.ndarray]:
    return photo(TRUE, PHONE_WH, noise=3), photo(identity, DSLR_WH, noise=1)


@pytest.fixture(scope="module")
def aligned(pair: tuple[np.ndarray, np.ndarray]) -> AlignedCapture:
    return align_photos(*pair, SETTINGS)


def errors_px(aligned: AlignedCapture, size: int = 100) -> np.ndarray:
    """Root mean square distance of each patch's nodes to the truth, phone pixels."""
    true = TRUE(nodes_of(aligned.patches.phone_xy, size))
    return np.sqrt((((aligned.patches.dslr_xy - true) / 1.4) ** 2).sum(axis=-1).mean(axis=(1, 2)))


def test_distorted_photos_are_aligned_to_a_fraction_of_a_pixel(aligned: AlignedCapture) -> None:
    error = errors_px(aligned)
    assert len(error) > 0.9 * len(aligned.patches.window_xy) > 30
    assert np.median(error) < 0.05 and error.max() < 0.3
    assert (error < 3 * aligned.patches.error_px).all()


def test_patches_are_what_the_format_says(aligned: AlignedCapture, pair: tuple[np.ndarray, np.ndarray]) -> None:
    phone, dslr = pair
    patches = aligned.patches
    for patch, (x, y) in zip(patches.phone, patches.phone_xy, strict=True):
        np.testing.assert_array_equal(patch, phone[y : y + 100, x : x + 100])
    np.testing.assert_array_equal(patches.dslr, sample_dslr(dslr, patches.dslr_xy, 100))
    np.testing.assert_array_equal(patches.ncc, correlate_patches(patches.phone, patches.dslr).ncc.astype(np.float32))
    assert (patches.ncc > 0.9).all() and (patches.error_px <= 0.3).all()
    assert not patches.flat.any()
    kept = patches.window_xy[patches.window_reason == 0]
    np.testing.assert_array_equal(kept, patches.phone_xy)
    order = patches.phone_xy[:, 1] * 10_000 + patches.phone_xy[:, 0]
    assert (np.diff(order) > 0).all()


def test_the_row_of_the_capture_is_filled(aligned: AlignedCapture) -> None:
    assert aligned.inliers >= 16 and aligned.matches >= aligned.inliers
    assert aligned.phone_size_wh == PHONE_WH and aligned.dslr_size_wh == DSLR_WH
    assert 0.9 < aligned.overlap <= 1
    assert aligned.residual_px < 3
    np.testing.assert_allclose(aligned.tones.gain_rgb, 1, atol=0.05)


@pytest.mark.parametrize(("size", "stride"), [(32, 0), (64, 48), (200, 0)])
def test_other_patch_sizes_and_strides(pair: tuple[np.ndarray, np.ndarray], size: int, stride: int) -> None:
    patches = replace(SETTINGS.patches, patch_size=size, stride=stride)
    aligned = align_photos(*pair, replace(SETTINGS, patches=patches))
    assert aligned.patches.phone.shape[1:] == (size, size, 3)
    assert len(aligned.patches.ncc) > 4
    assert np.median(errors_px(aligned, size)) < 0.08
    assert ((aligned.patches.window_xy - aligned.patches.window_xy[0]) % (stride or size) == 0).all()


@pytest.mark.parametrize(
    ("scene", "looks"),
    [("one surface", [0.0625]), ("near object", [0.0625, 0.25]), ("few matches", [0.0625, 0.25]), ("paper", [0.25])],
)
def test_fewer_pixels_are_enough_for_many_matches_on_one_surface(
    pair: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch, scene: str, looks: list[float]
) -> None:
    def true(xy: np.ndarray) -> np.ndarray:
        return TRUE(xy + np.where((xy[..., 0] > 500)[..., None], (14.0, 0.0), (0.0, 0.0)))

    phone, dslr = pair
    if scene == "near object":
        phone = photo(true, PHONE_WH, noise=3)
    if scene == "few matches":
        phone = np.full_like(phone, 120)
        phone[220:420, 280:520] = pair[0][220:420, 280:520]
    settings = replace(SETTINGS, alignment="paper" if scene == "paper" else "refined")
    greys = [cv2.cvtColor(side, cv2.COLOR_RGB2GRAY) for side in (phone, dslr)]
    once, seen = pipeline._match_once, []

    def watched(*args: object) -> object:
        seen.append(args[-1].features.detect_megapixels)
        return once(*args)

    monkeypatch.setattr(pipeline, "_match_once", watched)
    found = match_photos(*greys, settings)
    assert seen == looks
    last = once(*greys, pipeline._detecting(settings, looks[-1] / 0.25, settings.features.keypoints))
    np.testing.assert_array_equal(found.matches.phone_xy, last.matches.phone_xy)


def test_a_near_object_is_aligned_by_itself_and_its_edges_are_left_out() -> None:
    def near(xy: np.ndarray) -> np.ndarray:
        return (xy[..., 0] > 330) & (xy[..., 0] < 640) & (xy[..., 1] > 190)

    def true(xy: np.ndarray) -> np.ndarray:
        return TRUE(xy + np.where(near(xy)[..., None], (9.0, 0.0), (0.0, 0.0)))

    aligned = align_photos(photo(true, PHONE_WH, noise=3), photo(identity, DSLR_WH, noise=1), SETTINGS)
    nodes = nodes_of(aligned.patches.phone_xy, 100)
    error = np.sqrt((((aligned.patches.dslr_xy - true(nodes)) / 1.4) ** 2).sum(axis=-1).mean(axis=(1, 2)))
    assert error.max() < 1
    assert near(nodes).all(axis=(1, 2)).sum() >= 4  # of eight that lie on the object
    assert np.median(error) < 0.05
    assert len(error) > 20


def test_windows_on_a_bent_surface_stand_by_themselves_and_know_their_error() -> None:
    def true(xy: np.ndarray) -> np.ndarray:
        along = np.clip(xy[..., 0] - 300, 0, None) / 60
        return TRUE(xy + np.stack((8 * (1 - np.cos(along)), 0 * along), axis=-1))

    settings = replace(SETTINGS, patches=replace(SETTINGS.patches, patch_size=48))
    patches = align_photos(photo(true, PHONE_WH, noise=3), photo(identity, DSLR_WH, noise=1), settings).patches
    bent = patches.phone_xy[:, 0] > 300
    assert bent.sum() > 0.9 * (patches.window_xy[:, 0] > 300).sum() > 100
    error = (((patches.dslr_xy - true(nodes_of(patches.phone_xy, 48))) / 1.4) ** 2).sum(axis=-1).mean(axis=(1, 2))[bent]
    assert 0.7 < np.sqrt(error.mean() / (patches.error_px[bent] ** 2).mean()) < 1.6
    assert np.sqrt(error.max()) < 0.5


@pytest.mark.parametrize("kind", ["flat", "noise", "other scene", "small"])
def test_photos_that_do_not_match_yield_nothing(pair: tuple[np.ndarray, np.ndarray], kind: str) -> None:
    phone, dslr = pair
    if kind == "flat":
        phone = np.full_like(phone, 120)
    elif kind == "noise":
        phone = np.random.default_rng(0).integers(0, 256, phone.shape, dtype=np.uint8)
    elif kind == "other scene":
        dslr = photo(identity, DSLR_WH, seed=99)
    else:
        phone = phone[:90]
    with pytest.raises(CaptureRejected):
        align_photos(phone, dslr, SETTINGS)


def test_sky_is_kept_only_on_request_and_marked(pair: tuple[np.ndarray, np.ndarray]) -> None:
    phone, dslr = (p.copy() for p in pair)
    rng = np.random.default_rng(0)
    x, y = np.meshgrid(np.arange(840.0), np.arange(600.0))
    sky = TRUE(np.stack((x, y), axis=-1))[..., 1] < 364
    phone[sky] = np.clip(150 + 2 * rng.standard_normal((int(sky.sum()), 3)), 0, 255)
    dslr[:364] = 170
    plain = align_photos(phone, dslr, SETTINGS)
    settings = replace(SETTINGS, patches=replace(SETTINGS.patches, keep_flat=True))
    kept = align_photos(phone, dslr, settings)
    assert kept.patches.flat.sum() > 3
    assert (kept.patches.ncc[kept.patches.flat] <= 0.9).all()
    assert (kept.patches.error_px[kept.patches.flat] <= 0.3).all()
    np.testing.assert_array_equal(kept.patches.phone_xy[~kept.patches.flat], plain.patches.phone_xy)


def test_texture_not_found_is_lost_and_plain_windows_lack_it(pair: tuple[np.ndarray, np.ndarray]) -> None:
    phone, dslr = pair[0].copy(), pair[1]
    phone[:300, 400:] = photo(TRUE, PHONE_WH, seed=99)[:300, 400:]
    phone[300:, 400:] = 120
    patches = align_photos(phone, dslr, replace(SETTINGS, patches=replace(SETTINGS.patches, max_error_px=0.1))).patches
    far = patches.window_xy[:, 0] > 600  # from all that is known
    above, below = (far & rows for rows in (patches.window_xy[:, 1] < 200, patches.window_xy[:, 1] > 300))
    assert {WINDOW_REASONS[r] for r in patches.window_reason[below]} == {"texture"}
    names = [WINDOW_REASONS[r] for r in patches.window_reason[above]]
    assert "lost" in names and "texture" not in names and "kept" not in names


def test_the_papers_way(pair: tuple[np.ndarray, np.ndarray]) -> None:
    paper = align_photos(*pair, replace(SETTINGS, alignment="paper"))
    patches = paper.patches
    assert paper.alignment is None and len(patches.ncc) > 10
    assert np.abs(patches.shift_px).max() <= 5 and np.abs(patches.angle_deg).max() <= 1
    assert np.isnan(patches.error_px).all()
    assert (patches.ncc > 0.9).all()
    straight = patches.angle_deg == 0
    assert straight.any()
    for patch, (x, y) in zip(patches.phone[straight], patches.phone_xy[straight], strict=True):
        np.testing.assert_array_equal(patch, pair[0][y : y + 100, x : x + 100])


def test_the_whole_photo_is_warped_into_the_phones_frame(
    aligned: AlignedCapture, pair: tuple[np.ndarray, np.ndarray]
) -> None:
    whole = map_to_bytes(PhotoMap(aligned.alignment.dslr_from_phone, aligned.alignment.field))
    photo_map = map_from_bytes(whole)
    assert map_to_bytes(photo_map) == whole and photo_map.dslr_from_phone.covariance is not None
    warped = warp_aligned(pair[1], photo_map, PHONE_WH)
    assert warped.photo.shape == (600, 840, 3) and warped.valid.mean() > 0.9
    truth = photo(TRUE, PHONE_WH).astype(float)
    error = (warped.photo - truth)[warped.valid]
    assert np.sqrt((error**2).mean()) < 3  # noise of 1 and what the box of one phone pixel takes from the finest waves
    assert (warped.photo[~warped.valid] == 0).all() and np.isinf(warped.error_px[~warped.valid]).all()
    assert np.median(warped.error_px[warped.valid]) < 0.2
    for damaged in (
        b"",
        b"[]\n",
        whole[:-8],
        whole[:-3],
        whole.replace(b"[[", b"[[1", 1),
        b"{}" + whole,
        b"[1, 2, 3]\n",
    ):
        with pytest.raises(ValueError, match=r"."):
            map_from_bytes(damaged)


def fingerprint(aligned: AlignedCapture) -> bytes:
    patches = aligned.patches
    arrays = (patches.phone, patches.dslr, patches.dslr_xy, patches.ncc, patches.error_px, patches.window_reason)
    return b"".join(array.tobytes() for array in arrays)


def _aligned_elsewhere(pair: tuple[np.ndarray, np.ndarray], queue: multiprocessing.Queue) -> None:
    cv2.setNumThreads(3)
    with threadpool_limits(1):
        queue.put(fingerprint(align_photos(*pair, SETTINGS)))


def test_the_bits_are_the_same_in_another_process_with_other_threads(
    aligned: AlignedCapture, pair: tuple[np.ndarray, np.ndarray]
) -> None:
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=_aligned_elsewhere, args=(pair, queue))
    process.start()
    elsewhere = queue.get(timeout=240)
    process.join()
    assert elsewhere == fingerprint(aligned)
    assert fingerprint(align_photos(*pair, SETTINGS)) == elsewhere


@pytest.mark.realdata
@pytest.mark.parametrize("name", ["adam", "cat", "face", "girl"])
def test_extreme_views_are_rejected(shared_data: Path, name: str) -> None:
    phone, dslr = (read_photo(shared_data / "must_reject" / f"{name}{side}.jpg") for side in "AB")
    with pytest.raises(CaptureRejected):
        align_photos(phone, dslr, SETTINGS)


@pytest.mark.realdata
@pytest.mark.parametrize(("name", "solvable"), [("graf", True), ("LePoint1", False)])
def test_weak_pairs_are_looked_at_again_and_never_guessed(shared_data: Path, name: str, solvable: bool) -> None:
    folder = shared_data / "homographies"
    files = [folder / "oxford/graf/img1.jpg", folder / "oxford/graf/img4.jpg"]
    if not solvable:
        files = [folder / f"homogr/{name}{side}.jpg" for side in "AB"]
    greys = [cv2.cvtColor(read_photo(file), cv2.COLOR_RGB2GRAY) for file in files]
    if not solvable:
        with pytest.raises(CaptureRejected, match="homography"):
            match_photos(greys[0], greys[1], SETTINGS)
        return
    found = match_photos(greys[0], greys[1], SETTINGS)
    true = np.loadtxt(folder / "oxford/graf/H1to4p")
    grid = np.stack(np.meshgrid(np.linspace(0, 799, 9), np.linspace(0, 639, 9)), axis=-1).reshape(-1, 2)
    error = np.linalg.norm(project(found.homography.dslr_from_phone, grid) - project(true, grid), axis=1)
    assert np.median(error) < 3
