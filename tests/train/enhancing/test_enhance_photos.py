"""Enhancing files: every photo is enhanced, kept or fails by name; options, resuming, bad input."""

import errno
import json
import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from frozen_settings import check_frozen
from no_waiting import no_waiting
from numpy.typing import NDArray
from photo_files import lzw_tiff
from PIL import ExifTags, Image

import cli
from dped_data.common.files import sha256_of_file
from dped_data.common.typed_settings import digest_of, setting
from dped_data.errors import InputError, UsageError
from dped_data.photos.deep import read_deep_photo
from dped_data.photos.reading import read_photo
from dped_train import load_enhancer, save_enhancer
from dped_train.enhancing.photos import FORMAT_VERSION, EnhanceReport, _facts, enhance
from dped_train.enhancing.settings import EnhanceSettings
from dped_train.networks.dped import Enhancer, initialise

EXACT = EnhanceSettings(format="png", precision="fp32", device="cpu")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    enhancer = Enhancer()
    initialise(enhancer, 0)
    with torch.no_grad():
        for parameter in enhancer.parameters():
            if parameter.ndim == 4:
                parameter.mul_(3)
    path = tmp_path_factory.mktemp("models") / "small.safetensors"
    save_enhancer(enhancer, path)
    return path


def make_photos(folder: Path, count: int = 2) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{index}.png" for index in range(count)]
    for index, path in enumerate(paths):
        values = np.random.default_rng(index).integers(0, 256, (20, 30, 3), np.uint8)
        Image.fromarray(values).save(path)
    return paths


def wanted(model: Path, photo: NDArray[np.uint8]) -> NDArray[np.float32]:
    with torch.no_grad():
        enhanced = load_enhancer(model)(torch.from_numpy(photo).permute(2, 0, 1)[None].float() / 255)
    return np.asarray(enhanced[0].permute(1, 2, 0))


def statuses(report: EnhanceReport) -> list[str]:
    return [photo.status for photo in report.photos]


def test_several_photos_at_a_time_give_the_same_files(model: Path, tmp_path: Path) -> None:
    make_photos(tmp_path / "in", count=5)
    (tmp_path / "in" / "broken.png").write_bytes((tmp_path / "in" / "0.png").read_bytes()[:300])
    reports = [
        enhance(model, tmp_path / "in", tmp_path / str(at_once), replace(EXACT, at_once=at_once)) for at_once in (1, 3)
    ]
    assert statuses(reports[0]) == statuses(reports[1]) == [*["enhanced"] * 5, "failed"]
    for photo in reports[0].of("enhanced"):
        other = tmp_path / "3" / photo.output.name
        found, expected = (read_photo(path).astype(int) for path in (other, photo.output))
        assert abs(found - expected).max() <= 1  # another number of threads may round another way
    again = enhance(model, tmp_path / "in", tmp_path / "3", replace(EXACT, at_once=3))
    assert statuses(again) == [*["kept"] * 5, "failed"]


def test_a_folder_is_enhanced_with_its_subfolders(model: Path, tmp_path: Path) -> None:
    make_photos(tmp_path / "in")
    make_photos(tmp_path / "in" / "more", count=1)
    (tmp_path / "in" / "notes.txt").write_text("no photo, not looked at")
    report = enhance(model, [tmp_path / "in"], tmp_path / "out", EXACT)
    assert (statuses(report), report.exit_status, report.precision) == (["enhanced"] * 3, 0, "fp32")
    for source in ("0.png", "1.png", "more/0.png"):
        enhanced = read_photo(tmp_path / "out" / source) / 255
        exact = wanted(model, read_photo(tmp_path / "in" / source)).clip(0, 1)
        np.testing.assert_allclose(enhanced, exact, atol=0.5 / 255 + 1e-5)


def test_strength_depth_and_side_by_side(model: Path, tmp_path: Path) -> None:
    (source,) = make_photos(tmp_path, count=1)
    photo = read_photo(source)
    settings = EnhanceSettings(
        format="tiff", precision="fp32", device="cpu", bit_depth="16", strength=0.25, side_by_side=True
    )
    assert enhance(model, [source], tmp_path / "out", settings).exit_status == 0
    both = tifffile.imread(tmp_path / "out" / "0.tif")
    assert (both.shape, both.dtype) == ((20, 60, 3), np.uint16)
    np.testing.assert_array_equal(both[:, :30], photo.astype(np.uint16) * 257)
    mixed = 0.25 * wanted(model, photo) + 0.75 * photo / 255
    np.testing.assert_allclose(both[:, 30:] / 65535, mixed.clip(0, 1), atol=1e-4)


def test_strength_0_leaves_the_photo(model: Path, tmp_path: Path) -> None:
    (source,) = make_photos(tmp_path, count=1)
    settings = EnhanceSettings(format="png", strength=0.0, device="cpu")
    enhance(model, [source], tmp_path / "out", settings)
    np.testing.assert_array_equal(read_photo(tmp_path / "out" / "0.png"), read_photo(source))


def test_a_second_run_keeps_what_is_there(model: Path, tmp_path: Path) -> None:
    photos = make_photos(tmp_path / "in", count=3)
    enhance(model, photos[:2], tmp_path / "out", EXACT)
    before = (tmp_path / "out" / "0.png").stat().st_mtime_ns
    assert statuses(enhance(model, photos, tmp_path / "out", EXACT)) == ["kept", "kept", "enhanced"]
    assert (tmp_path / "out" / "0.png").stat().st_mtime_ns == before


def test_what_was_made_otherwise_needs_overwrite(model: Path, tmp_path: Path) -> None:
    photos = make_photos(tmp_path / "in")
    enhance(model, photos, tmp_path / "out", EXACT)
    weaker = EnhanceSettings(format="png", precision="fp32", device="cpu", strength=0.5)
    report = enhance(model, photos, tmp_path / "out", weaker)
    assert (statuses(report), report.exit_status) == (["failed"] * 2, 1)
    assert "0.png exists and was made otherwise; --overwrite" in report.photos[0].reason
    replacing = EnhanceSettings(format="png", precision="fp32", device="cpu", strength=0.5, overwrite=True)
    assert statuses(enhance(model, photos, tmp_path / "out", replacing)) == ["enhanced"] * 2
    Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save(photos[0])  # another photo under the same name
    assert statuses(enhance(model, photos, tmp_path / "out", replacing)) == ["enhanced", "kept"]


def test_a_record_cut_short_by_a_kill_is_no_obstacle(model: Path, tmp_path: Path) -> None:
    photos = make_photos(tmp_path / "in")
    enhance(model, photos, tmp_path / "out", EXACT)
    record = tmp_path / "out" / "enhanced.jsonl"
    record.write_text(record.read_text()[:-20])
    (tmp_path / "out" / "1.png").unlink()
    assert statuses(enhance(model, photos, tmp_path / "out", EXACT)) == ["kept", "enhanced"]
    assert statuses(enhance(model, photos, tmp_path / "out", EXACT)) == ["kept", "kept"]


def test_a_touched_photo_is_kept_and_a_replaced_one_noticed(model: Path, tmp_path: Path) -> None:
    photos = make_photos(tmp_path / "in")
    enhance(model, photos, tmp_path / "out", EXACT)
    record = tmp_path / "out" / "enhanced.jsonl"
    os.utime(photos[0], ns=(5, 5))
    assert statuses(enhance(model, photos, tmp_path / "out", EXACT)) == ["kept", "kept"]
    noted = record.read_text()
    assert statuses(enhance(model, photos, tmp_path / "out", EXACT)) == ["kept", "kept"]
    assert record.read_text() == noted  # the new time stands there already
    state, data = photos[1].stat(), bytearray(photos[1].read_bytes())
    data[-1] ^= 1  # as long as before
    (tmp_path / "other.png").write_bytes(data)
    os.utime(tmp_path / "other.png", ns=(state.st_mtime_ns, state.st_mtime_ns))
    (tmp_path / "other.png").replace(photos[1])
    report = enhance(model, photos, tmp_path / "out", EXACT)
    assert statuses(report) == ["kept", "failed"] and "was made otherwise" in report.photos[1].reason


def test_the_defaults_of_the_format_version_are_frozen() -> None:
    check_frozen(EnhanceSettings, FORMAT_VERSION)


def test_a_photo_made_before_a_setting_was_added_is_kept_at_its_default(model: Path, tmp_path: Path) -> None:
    @dataclass(frozen=True)
    class Grown(EnhanceSettings):
        grain: float = setting(0.0, "grain to add")

    photos = make_photos(tmp_path / "in")
    enhance(model, photos, tmp_path / "out", EXACT)
    assert statuses(enhance(model, photos, tmp_path / "out", Grown(**vars(EXACT)))) == ["kept", "kept"]
    grainy = enhance(model, photos, tmp_path / "out", Grown(**vars(EXACT), grain=0.5))
    assert statuses(grainy) == ["failed", "failed"] and "was made otherwise" in grainy.photos[0].reason


def test_records_of_earlier_versions_are_still_read(model: Path, tmp_path: Path) -> None:
    photos = make_photos(tmp_path / "in")
    enhance(model, photos, tmp_path / "out", EXACT)
    record = tmp_path / "out" / "enhanced.jsonl"
    facts = _facts(sha256_of_file(model), EXACT, torch.float32)
    lines = []
    for index, photo in enumerate(photos):  # as the version before wrote them
        state = photo.stat()
        key = digest_of(facts | {"bytes": state.st_size, "modified": state.st_mtime_ns}, FORMAT_VERSION)
        output = tmp_path / "out" / f"{index}.png"
        made = f"{key}:{output.stat().st_size}" if index else f"begun:{key}"
        lines.append(json.dumps({"photo": output.name, "made": made}) + "\n")
    record.write_text("".join(lines))
    assert statuses(enhance(model, photos, tmp_path / "out", EXACT)) == ["enhanced", "kept"]
    rows = [json.loads(line) for line in record.read_text().splitlines()]
    assert {row["photo"] for row in rows if "sha256" in row} == {"0.png", "1.png"}
    os.utime(photos[1], ns=(5, 5))  # what is kept is known by its content now
    assert statuses(enhance(model, photos, tmp_path / "out", EXACT)) == ["kept", "kept"]


def test_its_own_output_and_hidden_files_are_no_photos(model: Path, tmp_path: Path) -> None:
    photos = tmp_path / "in"
    make_photos(photos)
    make_photos(photos / ".thumbnails", count=1)
    (photos / "._0.png").write_bytes(b"what macOS leaves")
    for out in (photos / "out", photos / "deep" / "er"):
        for status in ("enhanced", "kept"):
            report = enhance(model, photos, out, EXACT)
            assert statuses(report)[-2:] == [status] * 2
        made = sorted(path.relative_to(out).as_posix() for path in out.rglob("*.png"))
        assert made == (["0.png", "1.png"] if out.name == "out" else ["0.png", "1.png", "out/0.png", "out/1.png"])


def test_a_folder_that_is_its_own_output_is_enhanced_once(model: Path, tmp_path: Path) -> None:
    make_photos(tmp_path)
    as_tiff = replace(EXACT, format="tiff")
    assert statuses(enhance(model, tmp_path, tmp_path, as_tiff)) == ["enhanced"] * 2
    assert statuses(enhance(model, tmp_path, tmp_path, as_tiff)) == ["kept"] * 2


def test_no_photo_is_written_over_by_anothers_enhanced_version(model: Path, tmp_path: Path) -> None:
    make_photos(tmp_path / "in", count=1)
    make_photos(tmp_path / "in" / "in", count=1)
    with pytest.raises(InputError, match=r"in/0\.png: would be written over by .*in/in/0\.png's enhanced version"):
        enhance(model, tmp_path / "in", tmp_path, replace(EXACT, overwrite=True))


def test_pipes_devices_and_misnamed_photos_fail_by_name(model: Path, tmp_path: Path) -> None:
    (good,) = make_photos(tmp_path / "in", count=1)
    os.mkfifo(tmp_path / "in" / "pipe.png")
    (tmp_path / "in" / "zero.png").symlink_to("/dev/zero")
    (tmp_path / "in" / os.fsdecode(b"caf\xe9.png")).write_bytes(good.read_bytes())
    given = [tmp_path / "in", tmp_path / "in" / "pipe.png", tmp_path / "in" / "zero.png"]
    with no_waiting():
        report = enhance(model, given, tmp_path / "out", EXACT)
    assert [(photo.source.name, photo.status, photo.reason) for photo in report.photos] == [
        ("0.png", "enhanced", ""),
        (r"caf\xe9.png", "failed", "its name is not UTF-8; rename it"),
        ("pipe.png", "failed", "not a regular file"),
        ("zero.png", "failed", "not a regular file"),
    ]


def test_bad_photos_fail_by_name_and_the_others_are_enhanced(model: Path, tmp_path: Path) -> None:
    good = make_photos(tmp_path / "in", count=3)
    truncated, nothing = tmp_path / "in" / "truncated.png", tmp_path / "in" / "text.jpg"
    truncated.write_bytes(good[0].read_bytes()[:900])
    nothing.write_text("this is no photo")
    given = [*good, truncated, nothing, tmp_path / "missing.jpg"]
    report = enhance(model, given, tmp_path / "out", EXACT)
    assert (statuses(report), report.exit_status) == (["enhanced"] * 3 + ["failed"] * 3, 1)
    reasons = {photo.source.name: photo.reason for photo in report.of("failed")}
    assert "truncated" in reasons["truncated.png"]
    assert "not a photo" in reasons["text.jpg"]
    assert reasons["missing.jpg"] == "no such file"
    assert sorted(p.name for p in (tmp_path / "out").glob("[!.]*")) == ["0.png", "1.png", "2.png", "enhanced.jsonl"]


def test_one_truncated_photo_among_twenty(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photos = make_photos(tmp_path / "in", count=20)
    photos[7].write_bytes(photos[7].read_bytes()[:900])
    command = ["enhance", str(model), str(tmp_path / "in"), "--out", str(tmp_path / "out"), "--format", "png"]
    assert cli.dped.main(command, standalone_mode=False) == 1
    printed = capsys.readouterr()
    assert "19 enhanced, 0 there already, 1 failed" in printed.out
    (line,) = printed.err.strip().splitlines()
    assert line.startswith(f"dped: {photos[7]}: ") and "truncated" in line
    assert len(list((tmp_path / "out").glob("*.png"))) == 19 and not (tmp_path / "out" / "7.png").exists()


def test_odd_photos_are_enhanced(model: Path, tmp_path: Path) -> None:
    Image.new("RGB", (1, 1), (200, 100, 50)).save(tmp_path / "one.png")
    Image.new("RGBA", (9, 7), (200, 100, 50, 128)).save(tmp_path / "alpha.png")
    tifffile.imwrite(tmp_path / "deep.tif", np.full((7, 9, 3), 40_000, np.uint16), photometric="rgb")
    photos = [tmp_path / name for name in ("one.png", "alpha.png", "deep.tif")]
    report = enhance(model, photos, tmp_path / "out", EXACT)
    assert statuses(report) == ["enhanced"] * 3, report
    assert read_photo(tmp_path / "out" / "one.png").shape == (1, 1, 3)


def test_a_full_disk_stops_the_run_and_says_how_to_go_on(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    photos = make_photos(tmp_path / "in")
    monkeypatch.setattr("dped_data.common.files.os.fsync", full)
    with pytest.raises(InputError, match=r"0\.png: no space left on the disk; free some and run the same again"):
        enhance(model, photos, tmp_path / "out", EXACT)
    assert [path.name for path in (tmp_path / "out").glob("[!.]*")] == []


def test_models_are_found_by_name_and_in_runs(model: Path, tmp_path: Path) -> None:
    (source,) = make_photos(tmp_path / "in", count=1)
    run = tmp_path / "run"
    run.mkdir()
    (run / "enhancer.safetensors").write_bytes(model.read_bytes())
    settings = EnhanceSettings(format="png", device="cpu", models=str(model.parent))
    assert enhance("small", [source], tmp_path / "a", settings).exit_status == 0
    assert enhance(run, [source], tmp_path / "b", settings).exit_status == 0
    with pytest.raises(InputError, match=r"huge: neither a model file nor the name of one in .* \(there: small\)"):
        enhance("huge", [source], tmp_path / "c", settings)
    with pytest.raises(InputError, match=r"gone\.safetensors: no such model file"):
        enhance(tmp_path / "gone.safetensors", [source], tmp_path / "c", settings)


def test_wrong_usage(model: Path, tmp_path: Path) -> None:
    (source,) = make_photos(tmp_path / "in", count=1)
    with pytest.raises(UsageError, match="--bit-depth 16 needs --format png or tiff"):
        enhance(model, [source], tmp_path / "out", EnhanceSettings(bit_depth="16"))
    with pytest.raises(UsageError, match="--device gpu9: no such device"):
        enhance(model, [source], tmp_path / "out", EnhanceSettings(device="gpu9"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="empty: no photos there; photos end in"):
        enhance(model, [tmp_path / "empty"], tmp_path / "out", EXACT)
    again = make_photos(tmp_path / "in") + make_photos(tmp_path / "other")
    with pytest.raises(InputError, match=r"would both become .*0\.png; enhance them into two folders"):
        enhance(model, again, tmp_path / "out", EXACT)
    with pytest.raises(InputError, match="would be written over by its enhanced version"):
        enhance(model, [again[0]], tmp_path / "in", EXACT)


def test_photos_of_16_bits_go_through_in_16_bits(model: Path, tmp_path: Path) -> None:
    """640 levels in, and all of them count: in PNG and TIFF whatever --bit-depth says."""
    photo = np.broadcast_to((30_000 + np.arange(640, dtype=np.uint16))[None, :, None], (4, 640, 3))
    tifffile.imwrite(tmp_path / "deep.tif", photo, photometric="rgb")
    settings = replace(EXACT, format="png", bit_depth="8")
    assert enhance(model, tmp_path / "deep.tif", tmp_path / "png", settings).exit_status == 0
    enhanced = read_deep_photo(tmp_path / "png" / "deep.png")
    with torch.no_grad():
        exact = load_enhancer(model)(torch.from_numpy(photo / 65535.0).permute(2, 0, 1)[None].float())[0]
    np.testing.assert_allclose(enhanced / 65535, exact.permute(1, 2, 0).clip(0, 1), atol=3e-5)
    assert statuses(enhance(model, tmp_path / "deep.tif", tmp_path / "png", settings)) == ["kept"]
    untouched = replace(EXACT, format="tiff", strength=0.0)
    assert enhance(model, tmp_path / "deep.tif", tmp_path / "tiff", untouched).exit_status == 0
    np.testing.assert_array_equal(read_deep_photo(tmp_path / "tiff" / "deep.tif"), photo)


def test_lost_transparency_is_said_once(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.new("RGBA", (9, 7), (200, 100, 50, 128)).save(tmp_path / "alpha.png")
    command = ["enhance", str(model), str(tmp_path / "alpha.png"), "--out", str(tmp_path / "out")]
    assert cli.dped.main(command, standalone_mode=False) == 0
    assert capsys.readouterr().err.strip() == f"dped: {tmp_path / 'alpha.png'}: its transparency is left out"


def test_levels_that_cannot_be_read_are_told(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Inks of 16 bits in LZW, which no library at hand gives in full."""
    inks = np.random.default_rng(0).integers(0, 65536, (20, 30, 4)).astype(np.uint16)
    (tmp_path / "inks.tif").write_bytes(lzw_tiff(inks, {262: 5}, "<"))
    told = {"jpeg": "", "png": f"dped: {tmp_path / 'inks.tif'}: its levels between those of 8 bits are left out"}
    for form, words in told.items():
        command = ["enhance", str(model), str(tmp_path / "inks.tif"), "--out", str(tmp_path / form), "--format", form]
        assert cli.dped.main(command, standalone_mode=False) == 0
        assert capsys.readouterr().err.strip() == words


def test_the_mark_of_adobe_rgb_does_not_stay_on_srgb_pixels(model: Path, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif.get_ifd(ExifTags.IFD.Exif).update({ExifTags.Base.ColorSpace: 65535, ExifTags.Base.ISOSpeedRatings: 200})
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.IFD.Interop] = {1: "R03", 2: b"0100"}
    pixels = np.random.default_rng(0).integers(60, 180, (20, 30, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "adobe.jpg", exif=exif.tobytes(), quality=95)
    with Image.open(tmp_path / "adobe.jpg") as photo:
        assert photo.getexif().get_ifd(ExifTags.IFD.Interop)[1] == "R03"
    for form in ("jpeg", "png", "tiff"):
        settings = replace(EXACT, format=form, strength=0.0)  # type: ignore[arg-type]
        enhance(model, tmp_path / "adobe.jpg", tmp_path / form, settings)
        output = next((tmp_path / form).glob("adobe.*"))
        with Image.open(output) as photo:
            written = photo.getexif()
            details = written.get_ifd(ExifTags.IFD.Exif)
            assert (details[ExifTags.Base.ColorSpace], details[ExifTags.Base.ISOSpeedRatings]) == (1, 200)
            assert written.get_ifd(ExifTags.IFD.Interop)[1] == "R98"
        expected = read_photo(tmp_path / "adobe.jpg").astype(int)
        assert np.abs(read_photo(output).astype(int) - expected).mean() < (6 if form == "jpeg" else 0.01)
