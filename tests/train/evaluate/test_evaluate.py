"""What `evaluate` finds of a model, of photos enhanced elsewhere and of the phone's own patches."""

from __future__ import annotations

import csv
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from make_shards import make_dataset
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from vgg16_files import seeded_linear, seeded_vgg16, write_linear, write_vgg16

from dped_data.common.spread_rows import spread_rows
from dped_data.dataset.store import PatchStore
from dped_data.errors import InputError, UsageError
from dped_data.photos.reading import read_photo
from dped_data.photos.writing import write_photo
from dped_train.evaluate.bootstrap import bootstrap
from dped_train.evaluate.comparison_sheet import HEADING_PX
from dped_train.evaluate.evaluate import evaluate, evaluation_text
from dped_train.evaluate.external_photos import ExternalPhotos
from dped_train.evaluate.lpips import Lpips
from dped_train.networks.dped import Enhancer, initialise
from dped_train.networks.file import save_enhancer
from dped_train.networks.tensorflow_checkpoint import import_checkpoint
from dped_train.photo_tensors import photos_from_bytes


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_dataset(tmp_path_factory.mktemp("data") / "toy", train=2, test=25).parent


@pytest.fixture(scope="module")
def store(data: Path) -> PatchStore:
    return PatchStore(data / "toy", "test")


def test_untouched_patches_score_as_scikit_image_says(data: Path, store: PatchStore) -> None:
    report = evaluate(data, None)
    phone, dslr = store.read(np.arange(25))
    psnr = [peak_signal_noise_ratio(d, p) for p, d in zip(phone, dslr, strict=True)]
    ssim = [structural_similarity(p, d, channel_axis=-1) for p, d in zip(phone, dslr, strict=True)]
    by_name = {row.metric: row for row in report.metrics}
    assert by_name["psnr"].patches.mean == pytest.approx(np.mean(psnr), rel=1e-5)
    assert by_name["ssim"].patches.mean == pytest.approx(np.mean(ssim), rel=1e-5)
    mse = ((phone.astype(float) - dslr) ** 2).mean()
    assert by_name["psnr_pooled"].patches.mean == pytest.approx(10 * np.log10(255**2 / mse), rel=1e-6)
    assert [*by_name] == ["psnr", "ssim", "ms_ssim", "ssim_gaussian", "psnr_y", "ssim_y", "psnr_pooled"]
    assert "psnr_pooled: of the patches' mean error" in evaluation_text(report)
    assert (report.patches, report.captures, report.subject) == (25, 4, "untouched phone")
    for row in report.metrics:
        assert row.patches == row.phone
        assert (row.gain.mean, row.gain.low, row.gain.high) == (0, 0, 0)
        assert row.patches.low < row.patches.mean < row.patches.high
    assert report.worst[0] == store.patch_id(int(np.argmin(psnr)))


def test_lpips_is_measured_when_its_weights_are_given(data: Path, tmp_path: Path, store: PatchStore) -> None:
    vgg, linear = seeded_vgg16(), seeded_linear()
    files = {"lpips": write_linear(tmp_path / "lin.pth", linear), "vgg": write_vgg16(tmp_path / "vgg.npz", vgg)}
    report = evaluate(data, None, most_patches=5, csv_file=tmp_path / "figures.csv", **files)
    assert "lpips: less is closer" in " ".join(evaluation_text(report).split())
    phone, dslr = (photos_from_bytes(p, torch.device("cpu")) for p in store.read(spread_rows(len(store), 5)))
    row = next(row for row in report.metrics if row.metric == "lpips")
    assert row.patches.mean == pytest.approx(Lpips(vgg, linear)(phone, dslr).mean().item(), rel=1e-5)
    with (tmp_path / "figures.csv").open(newline="") as file:
        assert all(float(line["lpips"]) > 0 for line in csv.DictReader(file))


def test_a_model_is_run_on_the_phone_patches(data: Path, tmp_path: Path, store: PatchStore) -> None:
    enhancer = Enhancer()
    initialise(enhancer, 0)
    with torch.no_grad():
        enhancer.tail.weight.zero_()
        enhancer.tail.bias.zero_()  # tanh(0) * 0.58 + 0.5: mid-gray everywhere
    save_enhancer(enhancer, tmp_path / "gray.safetensors")
    report = evaluate(data, "toy", model=tmp_path / "gray.safetensors", device="cpu")
    _, dslr = store.read(np.arange(25))
    psnr = [peak_signal_noise_ratio(d, np.full_like(d, 128)) for d in dslr]
    assert report.metrics[0].patches.mean == pytest.approx(np.mean(psnr), rel=1e-5)
    gain = report.metrics[0].patches.mean - report.metrics[0].phone.mean
    assert report.metrics[0].gain.mean == pytest.approx(gain)


def test_photos_enhanced_elsewhere_are_cut_at_the_patches(data: Path, tmp_path: Path, store: PatchStore) -> None:
    """DSLR patches pasted into whole photos must come out as perfect patches."""
    _, dslr = store.read(np.arange(25))
    spread = PatchStore(make_dataset(tmp_path / "data" / "apart", train=2, test=25, spacing_px=32), "test")
    corners, captures = spread.column("phone_xy"), spread.capture_ids()
    for capture in set(captures):
        photo = np.zeros((64, 32 * 25, 3), np.uint8)
        for row in np.flatnonzero([c == capture for c in captures]):
            x, y = corners[row]
            photo[y : y + 32, x : x + 32] = dslr[row]
        write_photo(tmp_path / f"{capture}.png", photo)
    report = evaluate(tmp_path / "data", "apart", external=tmp_path)
    assert report.metrics[0].patches.mean == 100  # the largest PSNR there is
    assert report.metrics[1].patches.mean == pytest.approx(1)
    assert len(set(captures)) == 4
    (tmp_path / f"{captures[0]}.png").unlink()
    with pytest.raises(InputError, match=rf"1 of 4 photos are missing, the first is {captures[0]}"):
        evaluate(tmp_path / "data", "apart", external=tmp_path)
    write_photo(tmp_path / f"{captures[0]}.jpg", np.zeros((20, 20, 3), np.uint8))
    with pytest.raises(InputError, match=r"20x20 pixels do not reach the patch at x=0 y=0"):
        evaluate(tmp_path / "data", "apart", external=tmp_path)


def test_photos_enhanced_elsewhere_need_not_keep_their_folders(
    data: Path, tmp_path: Path, store: PatchStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = sorted(set(store.capture_ids()))
    for number in range(len(names)):
        write_photo(tmp_path / f"{number}.png", np.full((64, 96, 3), number, np.uint8))

    def cut(of: dict[str, str]) -> list[int]:
        monkeypatch.setattr(PatchStore, "capture_ids", lambda _: [of[name] for name in ids])
        monkeypatch.setattr(PatchStore, "column", lambda *_: np.zeros((len(ids), 2), np.int64))
        return [int(patch[0, 0, 0]) for patch in ExternalPhotos(tmp_path, store).patches(np.arange(len(ids)))]

    ids = store.capture_ids()
    assert cut({name: f"test/{number}" for number, name in enumerate(names)}) == [names.index(name) for name in ids]
    with pytest.raises(InputError, match=r"2 of 4 photos are missing, the first is day1/0 "):  # which of the two is it?
        cut(dict(zip(names, ("day1/0", "day2/0", "day1/2", "day1/3"), strict=True)))


def test_photos_enhanced_elsewhere_may_be_of_every_kind(
    tmp_path: Path, store: PatchStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    pillow_heif = pytest.importorskip("pillow_heif", reason="needs the extra dped[heif]")
    for number, name in enumerate(sorted(set(store.capture_ids()))):
        photo = np.full((64, 64, 3), 40 * number, np.uint8)
        heif = pillow_heif.from_bytes("RGB", (64, 64), photo.tobytes())
        heif.save(tmp_path / f"{name}.{('heic', 'HEIC', 'heif', 'HEIF')[number]}", quality=-1)
    monkeypatch.setattr(PatchStore, "column", lambda *_: np.zeros((25, 2), np.int64))
    photos = ExternalPhotos(tmp_path, store)
    found = photos.patches(np.arange(25)).astype(int)
    wanted = [40 * sorted(set(photos.capture_ids)).index(name) for name in photos.capture_ids]
    assert abs(found - np.array(wanted)[:, None, None, None]).max() <= 2


def test_a_lossless_photo_is_taken_first_and_a_raw_one_last(tmp_path: Path, store: PatchStore) -> None:
    names = sorted(set(store.capture_ids()))
    for name in names:
        for suffix in (".dng", ".jpg", ".png") if name == names[0] else (".dng", ".jpg"):
            (tmp_path / f"{name}{suffix}").touch()
    files = ExternalPhotos(tmp_path, store).files
    assert [files[name].suffix for name in names] == [".png", ".jpg", ".jpg", ".jpg"]


def test_tables_and_picture(data: Path, tmp_path: Path, store: PatchStore) -> None:
    report = evaluate(
        data, "toy", csv_file=tmp_path / "made" / "scores.csv", picture=tmp_path / "pictures" / "worst.png"
    )
    with (tmp_path / "made" / "scores.csv").open(newline="") as file:
        patches = list(csv.DictReader(file))
    with (tmp_path / "made" / "scores-captures.csv").open(newline="") as file:
        captures = list(csv.DictReader(file))
    assert [row["capture_id"] for row in patches] == store.capture_ids()
    assert np.mean([float(row["psnr"]) for row in patches]) == pytest.approx(report.metrics[0].patches.mean, rel=1e-5)
    assert np.mean([float(row["psnr"]) for row in captures]) == pytest.approx(report.metrics[0].captures.mean, rel=1e-5)
    assert sum(int(row["patches"]) for row in captures) == 25
    assert read_photo(tmp_path / "pictures" / "worst.png").shape == (
        HEADING_PX + 8 * (128 + 4) - 4,
        3 * (128 + 4) - 4,
        3,
    )
    text = evaluation_text(report)
    mean = report.metrics[0].patches
    assert f" {mean.mean:.2f} " in text and f" [{mean.low:.2f}, {mean.high:.2f}] " in text
    assert max(map(len, text.splitlines()[1:])) <= 80
    assert "25 patches, 4 captures" in text
    assert json.loads(json.dumps(asdict(report), default=str))["metrics"][0]["metric"] == "psnr"


def test_wrong_use_gets_one_clear_line(data: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--model, --external and --baseline exclude each other"):
        evaluate(data, "toy", model=tmp_path, external=tmp_path)
    with pytest.raises(InputError, match="no such folder; --external"):
        evaluate(data, "toy", external=tmp_path / "nothing")
    with pytest.raises(InputError, match="no such model file"):
        evaluate(data, "toy", model=tmp_path / "nothing.safetensors")
    make_dataset(tmp_path / "empty", test=0)
    with pytest.raises(InputError, match="split 'test' holds no patches"):
        evaluate(tmp_path, "empty")


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    """Captures with an offset of their own: 95 % intervals of 200 experiments, and the naive ones that would fail."""
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(30), 20)
    covered = naive = 0
    for _ in range(200):
        values = rng.normal(0, 1, 30)[group] + rng.normal(0, 0.3, group.size)
        figure = bootstrap(values, group)
        assert figure.mean == pytest.approx(values.mean())
        covered += figure.low <= 0 <= figure.high
        error = 1.96 * values.std() / np.sqrt(values.size)
        naive += abs(values.mean()) <= error
    assert covered >= 178  # 190 expected, 3 deviations of 4
    assert naive < 120


def test_captures_may_count_alike() -> None:
    values, group = np.array([1.0, 1.0, 1.0, 5.0]), np.array([0, 0, 0, 1])
    assert bootstrap(values, group).mean == 2
    assert bootstrap(values, group, equal=True).mean == 3


@pytest.mark.realdata
def test_the_released_enhancers_raise_psnr_on_genuine_patches(shared_data: Path, tmp_path: Path) -> None:
    """Dataset of the genuine patches of each phone, its imported enhancer, and the gain that `evaluate` prints."""
    for phone, at_least in (("iphone", 0.5), ("blackberry", 0.5), ("sony", 0.5)):
        files = sorted((shared_data / "dped_patches").glob(f"{phone}_*_phone.png"))
        photos = [
            np.stack([read_photo(Path(str(file).replace("_phone.png", suffix))) for file in files])
            for suffix in ("_phone.png", "_dslr.png")
        ]
        make_dataset(
            tmp_path / "data" / phone, train=0, val=0, test=len(files), size=100, test_pairs=(photos[0], photos[1])
        )
        model = tmp_path / f"{phone}.safetensors"
        import_checkpoint(shared_data / "reference" / "checkpoints" / f"{phone}_orig", model)
        report = evaluate(tmp_path / "data", phone, model=model, device="cpu")
        assert report.metrics[0].gain.mean > at_least, evaluation_text(report)


def test_limitations_are_in_report_table_text_and_json(data: Path, tmp_path: Path, store: PatchStore) -> None:
    report = evaluate(data, "toy", csv_file=tmp_path / "scores.csv")
    by_name = {row.limitation: row for row in report.limitations}
    assert list(by_name) == ["colour_deviation", "contrast", "noise", "sharpness"]
    deviation = by_name["colour_deviation"]
    assert deviation.against_phone is not None
    assert deviation.against_phone.mean == 0  # untouched patches do not deviate from themselves
    assert deviation.against_dslr == deviation.untouched
    with (tmp_path / "scores.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    with (tmp_path / "scores-captures.csv").open(newline="") as file:
        captures = list(csv.DictReader(file))
    column = [float(row["colour_deviation_dslr"]) for row in rows]
    assert deviation.untouched is not None
    assert np.mean(column) == pytest.approx(deviation.untouched.mean, rel=1e-5)
    mine = [value for value, row in zip(column, rows, strict=True) if row["capture_id"] == captures[0]["capture_id"]]
    assert float(captures[0]["colour_deviation_dslr"]) == pytest.approx(np.mean(mine), rel=1e-5)
    text = evaluation_text(report)
    assert "noise" in text and "CIEDE2000" in text
    assert len(json.loads(json.dumps(asdict(report), default=str))["limitations"]) == 4


def test_fewer_patches_are_spread_over_the_split(data: Path, tmp_path: Path) -> None:
    whole, part = (
        evaluate(data, "toy", most_patches=most, csv_file=tmp_path / f"{most}.csv", device="cpu") for most in (0, 5)
    )
    rows = [list(csv.reader((tmp_path / f"{most}.csv").open(newline=""))) for most in (0, 5)]
    assert rows[1][1:] == [rows[0][1 + row] for row in (0, 6, 12, 18, 24)]
    assert (whole.patches, part.patches) == (25, 5)
    assert set(part.worst) <= {PatchStore(data / "toy", "test").patch_id(row) for row in (0, 6, 12, 18, 24)}
