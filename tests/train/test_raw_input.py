"""An enhancer that sees mosaics: the same network on the sensor's cells, trained, stored, put to RAW files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from make_shards import make_dataset
from PIL import Image

from dped_data.dataset.store import PatchStore
from dped_data.errors import InputError, UsageError
from dped_data.photos.mosaic import decode_mosaic, whole_mosaic
from dped_data.photos.mosaic_facts import mosaic_codes
from dped_data.photos.reading import read_photo
from dped_data.settings import RawSettings
from dped_data.simulation.dng import SensorFacts, encode_dng
from dped_train.data import GENERATOR_BATCH, Mosaics, PatchPairs
from dped_train.enhancing import streaming
from dped_train.enhancing.photos import enhance
from dped_train.enhancing.settings import EnhanceSettings
from dped_train.enhancing.streaming import WholePhotoEnhancer
from dped_train.evaluate.evaluate import evaluate
from dped_train.export import export_enhancer
from dped_train.networks.dped import Enhancer, Normalisation, Padding, initialise
from dped_train.networks.file import enhancer_metadata, load_enhancer, save_enhancer
from dped_train.networks.identity_start import initialise_as_identity
from dped_train.photo_tensors import photos_from_bytes
from dped_train.settings import TrainSettings
from dped_train.train import train

CPU = torch.device("cpu")
SMALL = TrainSettings(
    steps=2, batch_size=2, content_weight=0.0, checkpoint_every=1, precision="fp32", device="cpu", input="raw"
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_dataset(tmp_path_factory.mktemp("data") / "toy", mosaics=True).parent


def network(seed: int = 0, normalisation: Normalisation = "instance", padding: Padding = "zeros") -> Enhancer:
    made = Enhancer(normalisation, padding, "raw")
    initialise(made, seed)
    return made.eval()


def dng(height: int, width: int, pattern: str, orientation: int = 1) -> bytes:
    light = np.kron(np.random.default_rng(2).uniform(0.05, 0.8, (height // 8 + 1, width // 8 + 1)), np.ones((8, 8)))
    facts = SensorFacts(
        pattern=pattern,
        black=(256, 256, 256, 256),
        white=4095,
        neutral=np.array([0.5, 1.0, 0.8]),
        camera_from_xyz=np.array([[0.8, -0.2, -0.1], [-0.4, 1.2, 0.2], [-0.1, 0.2, 0.6]]),
        active_ltrb=(0, 0, width, height),
        orientation=orientation,
        iso=100,
        exposure_s=0.01,
        time_s=1.5e9,
    )
    grey = np.array([{"R": 0.5, "G": 1.0, "B": 0.8}[colour] for colour in pattern]).reshape(2, 2)
    cells = light[:height, :width] * np.tile(grey, (height // 2 + 1, width // 2 + 1))[:height, :width]
    return encode_dng((256 + cells * 3800).astype(np.uint16), facts)


def test_the_first_weights_hand_the_mosaic_through() -> None:
    enhancer = network()
    initialise_as_identity(enhancer)
    seen = torch.rand((2, 4, 9, 7), generator=torch.Generator().manual_seed(0)) * 0.8 + 0.1
    seen = torch.nn.functional.interpolate(seen, scale_factor=6, mode="bicubic").clamp(0.1, 0.9)
    made = enhancer(seen).detach()
    assert made.shape == (2, 3, 108, 84)
    red, green_right, green_below, blue = seen.unbind(1)
    mean = (green_right + green_below) / 2
    for row, column, green in ((0, 0, mean), (0, 1, green_right), (1, 0, green_below), (1, 1, mean)):
        truth = torch.stack([red, green, blue], 1)
        assert (made[:, :, row::2, column::2] - truth).abs().mean() < 0.06


def test_batches_hold_what_the_enhancer_sees(data: Path) -> None:
    store = PatchStore(data / "toy", "train")
    batch = PatchPairs(store, batch_size=5, seed=1, crop_px=24, mosaics=True).read(GENERATOR_BATCH, 0)
    black, white = store.mosaic_levels()
    for k, row in enumerate(batch.indices):
        counts = store.read_mosaics([row])[0].astype(np.float64)
        light = (counts - black[row]) / (white[row] - black[row]) * [2.0, 1.0, 1.0, 1.6]
        whole = mosaic_codes(store.read_mosaics([row])[0], black[row], white[row], np.float32([2.0, 1.0, 1.6]))
        assert np.array_equal(batch.seen[k], whole[2:14, 2:14])  # the middle 24 pixels of 32 are 12 cells
        assert np.abs(whole / 65535 - np.clip(light, 0, 1) ** (1 / 2.2)).max() < 0.06  # near sRGB's curve
    assert batch.seen.shape == (5, 12, 12, 4) and batch.phone.shape == (5, 24, 24, 3)
    unknown = mosaic_codes(np.full((1, 4), 1023, np.uint16), np.zeros(4, np.float32), 1023.0, np.full(3, np.nan))
    assert (unknown == 65535).all()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"flips": True}, "--flips with --input raw"),
        ({"quarter_turns": True}, "--quarter-turns with --input raw"),
        ({"method": "srcnn"}, "--input raw: is for --method dped"),
        ({"exactly": True}, "--exactly is the authors' released training"),
        ({"crop_px": 18}, "--crop-px 18 with --input raw: .* by a multiple of 4"),
    ],
)
def test_what_mosaics_cannot_be_trained_with(data: Path, tmp_path: Path, change: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        train(data, None, tmp_path, replace(SMALL, **change))


def test_a_run_trains_and_is_measured(data: Path, tmp_path: Path) -> None:
    whole = train(data, None, tmp_path / "whole", SMALL)
    assert whole.val_psnr is not None and whole.phone_psnr is not None
    model = load_enhancer(whole.model)
    metadata = enhancer_metadata(whole.model)
    assert (metadata["input"], metadata["format_version"]) == ("raw", "3")
    report = evaluate(data, None, model=whole.model, split="test")
    store = PatchStore(data / "toy", "test")
    with torch.no_grad():
        made = model(photos_from_bytes(Mosaics(store).read(np.arange(len(store))), CPU)).clamp(0, 1)
    dslr = photos_from_bytes(store.read(np.arange(len(store)))[1], CPU)
    psnr = (-10 * ((made - dslr) ** 2).mean((1, 2, 3)).log10()).mean().item()
    found = next(row for row in report.metrics if row.metric == "psnr").patches.mean
    assert found == pytest.approx(psnr, abs=0.05)
    with pytest.raises(InputError, match="was trained with --input raw, not rgb"):
        train(data, None, tmp_path / "other", replace(SMALL, input="rgb", start=str(whole.model)))
    with pytest.raises(InputError, match="exports are for photos alone"):
        export_enhancer(whole.model, tmp_path / "a.onnx")


def test_a_dataset_without_mosaics_says_what_is_missing(tmp_path: Path) -> None:
    make_dataset(tmp_path / "toy", train=4)
    with pytest.raises(UsageError, match="holds no mosaics; build it with --phone-raw"):
        train(tmp_path, None, tmp_path / "runs", SMALL)


@pytest.mark.parametrize(
    ("normalisation", "padding"), [("instance", "zeros"), ("instance", "reflect"), ("batch", "zeros")]
)
def test_strips_give_what_one_pass_gives(
    monkeypatch: pytest.MonkeyPatch, normalisation: Normalisation, padding: Padding
) -> None:
    monkeypatch.setattr(streaming, "strip_rows", lambda *_: 8)
    enhancer = network(3, normalisation, padding)
    seen = np.random.default_rng(0).integers(0, 65536, (43, 21, 4)).astype(np.uint16)
    with torch.no_grad():
        truth = enhancer(photos_from_bytes(seen[None], CPU))[0].permute(1, 2, 0).numpy()
    for map_bytes in (10**9, 0):
        made = WholePhotoEnhancer(enhancer, torch.float32).enhance(seen, map_bytes)
        assert made.shape == (86, 42, 3)
        assert np.abs(made - truth).max() < 1e-4


@pytest.mark.parametrize(("pattern", "orientation"), [("RGGB", 1), ("GRBG", 6), ("GBRG", 3), ("BGGR", 1)])
def test_a_raw_file_is_enhanced_in_full_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pattern: str, orientation: int
) -> None:
    """Whatever its pattern, the whole photo comes out, each pixel where the developed photo has it."""
    monkeypatch.setattr(streaming, "strip_rows", lambda *_: 8)
    enhancer = network()
    initialise_as_identity(enhancer)
    save_enhancer(enhancer, tmp_path / "model.safetensors")
    (tmp_path / "a.dng").write_bytes(dng(95, 61, pattern, orientation))
    report = enhance(
        tmp_path / "model.safetensors", tmp_path / "a.dng", tmp_path, EnhanceSettings(format="png", precision="fp32")
    )
    assert report.exit_status == 0, report.photos
    made = np.asarray(Image.open(tmp_path / "a.png")).astype(float)
    made = made[..., :3]
    photo, mosaic = decode_mosaic((tmp_path / "a.dng").read_bytes(), "a.dng", RawSettings())
    assert made.shape == photo.shape
    with torch.no_grad():
        whole = enhancer(photos_from_bytes(whole_mosaic(mosaic).codes[None], CPU))[0].clamp(0, 1) * 255
    left, top = mosaic.red_xy
    truth = whole.permute(1, 2, 0).numpy()[top : top + photo.shape[0], left : left + photo.shape[1]]
    assert np.abs(made - truth).max() < 1.1, np.argwhere(np.abs(made - truth) >= 1.1)
    inner = [pixels[2:-2, 2:-2, 1] for pixels in (made, photo.astype(float))]
    agreement = np.corrcoef(*(pixels.ravel() for pixels in inner))[0, 1]
    assert agreement > 0.92
    for axis in (0, 1):
        for step in (-1, 1):  # moved by a pixel they agree less
            moved = np.roll(photo[..., 1], step, axis)[2:-2, 2:-2].ravel()
            assert np.corrcoef(inner[0].ravel(), moved)[0, 1] < agreement - 0.03
    left = enhance(
        tmp_path / "model.safetensors", tmp_path / "a.dng", tmp_path / "b", EnhanceSettings(format="png", strength=0)
    )
    assert left.exit_status == 0
    assert (
        np.abs(
            np.asarray(Image.open(tmp_path / "b" / "a.png")).astype(int)[..., :3] - read_photo(tmp_path / "a.dng")
        ).max()
        <= 1
    )


def test_a_photo_without_a_mosaic_fails_by_name(tmp_path: Path) -> None:
    save_enhancer(network(), tmp_path / "model.safetensors")
    Image.new("RGB", (40, 40), (90, 80, 70)).save(tmp_path / "a.jpg")
    report = enhance(tmp_path / "model.safetensors", tmp_path / "a.jpg", tmp_path / "out")
    assert [photo.reason for photo in report.photos] == ["is no camera RAW file, so that it has no mosaic"]
