"""What is fuzzed: every kind of file that a person may be given by somebody else, with sound examples of it."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable, Collection
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import tifffile
import torch
from made_profiles import ADOBE_D50, curve, lut_profile, matrix_profile
from mutate import mutate_bytes, mutate_text
from numpy.typing import NDArray
from photo_files import profile_named, write_dng
from PIL import ExifTags, Image
from tensorflow_files import released_variables, write_bundle

import dped_train.networks.tensorflow_checkpoint
import dped_train.run.checkpoint
from dped_data.align.records import Patches
from dped_data.captures.records import SPLITS
from dped_data.common.files import sha256_of_file
from dped_data.common.typed_settings import digest_of, settings_dict
from dped_data.dataset.capture_table import CaptureRow, read_captures, write_captures
from dped_data.dataset.manifest import Manifest, ShardEntry, SplitEntry, write_manifest
from dped_data.dataset.places import MANIFEST_NAME
from dped_data.dataset.review_file import read_review
from dped_data.dataset.shards import ShardCapture, open_shard, read_shard, write_shard
from dped_data.dataset.store import PatchStore
from dped_data.errors import CaptureRejected, InputError
from dped_data.inspection.dataset_reader import open_dataset, stored_captures
from dped_data.inspection.verify import verify_dataset
from dped_data.photos.deep import read_deep_photo
from dped_data.photos.exif import exif_with_time
from dped_data.photos.preview import read_preview
from dped_data.photos.reading import read_header
from dped_data.photos.writing import carried_exif
from dped_data.settings import FORMAT_VERSION, BuildSettings, load_build_settings
from dped_data.study.clean_copy import clean_copy
from dped_data.study.order import shown_questions
from dped_data.study.records import Study, StudyGroup, StudyPhoto
from dped_data.study.study_file import PHOTOS_FOLDER, STUDY_NAME, read_study, study_digest, study_text
from dped_data.work.crash_log import read_watch
from dped_data.work.folder import built_origin, locked, prepare
from dped_data.work.units import UnitRecord, read_record, write_record
from dped_train.enhancing.done_list import EnhanceRecord
from dped_train.networks.dped import Enhancer
from dped_train.networks.file import load_enhancer, save_enhancer
from dped_train.networks.tensorflow_checkpoint import enhancer_from_arrays, read_bundle
from dped_train.run.checkpoint import Checkpoint, load_checkpoint, save_checkpoint, unpack_module

ALLOWED = (InputError, CaptureRejected)
"""What reading a damaged file may raise: one clear line."""
Mutate = Callable[[bytes, Random], bytes]


@dataclass(frozen=True)
class Target:
    """A kind of file under test.

    Attributes:
        name: of the target.
        file: the file that is damaged, below the target's folder.
        examples: its sound contents.
        read: reads the file in the folder, as the program would.
        mutate: the damage.
        in_order: whether the examples are damaged one after another, not by chance.
    """

    name: str
    file: str
    examples: tuple[bytes, ...]
    read: Callable[[Path], object]
    mutate: Mutate
    in_order: bool = False


def all_targets(folder: Path) -> list[Target]:
    """Make all targets; each gets a folder below `folder` with what its file belongs to."""
    from made_up_targets import made_up_targets  # which imports this module

    targets = [*_photos(folder), *_tables(folder), *_dataset(folder), *_models(folder)]
    return [*targets, *made_up_targets(folder, targets)]


_PIXELS = np.stack(
    [np.mgrid[:24, :32][1] * 8, np.mgrid[:24, :32][0] * 10, np.mgrid[:24, :32].sum(0) * 4], axis=-1
).astype(np.uint8)


def _encoded(kind: str, **options: Any) -> bytes:
    data = io.BytesIO()
    Image.fromarray(_PIXELS).save(data, kind, **options)
    return data.getvalue()


def _photos(folder: Path) -> list[Target]:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    exif[ExifTags.Base.Make] = "maker"
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = "2024:05:01 10:00:00"
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.IFD.Interop] = {ExifTags.Interop.InteropIndex: "R03"}
    blocks = (exif.tobytes(), exif_with_time(1.5e9))
    jpegs = tuple(_encoded("JPEG", exif=block, progressive=p) for block, p in zip(blocks, (False, True), strict=True))
    pngs = (_encoded("PNG"), _encoded("PNG", exif=blocks[0]))
    tiffs = (_encoded("TIFF"), _encoded("TIFF", compression="tiff_deflate"), _encoded("TIFF", compression="tiff_lzw"))

    def mutate_exif(data: bytes, rng: Random) -> bytes:
        start = data.index(b"Exif\0\0") + 6
        length = int.from_bytes(data[start - 8 : start - 6], "big") - 8
        block = mutate_bytes(data[start : start + length], rng)[:60000]
        return data[: start - 8] + (len(block) + 8).to_bytes(2, "big") + b"Exif\0\0" + block + data[start + length :]

    return [
        Target("jpeg", "photo.jpg", jpegs, _read_photo(".jpg"), mutate_bytes),
        Target("exif", "photo.jpg", jpegs, _read_photo(".jpg"), mutate_exif),
        Target("png", "photo.png", pngs, _read_photo(".png"), mutate_bytes),
        Target("tiff", "photo.tif", tiffs, _read_photo(".tif"), mutate_bytes),
        *_odd_photos(blocks[0]),
        *_photos_with_extras(folder, blocks[0]),
    ]


def _odd_photos(exif: bytes) -> list[Target]:
    """Kinds of photos that other code reads: two pictures in one file, colour profiles, tiles, 16 bits."""
    profiles = [profile_named(name) for name in (b"Adobe RGB (1998)", b"\xe9cran")]
    profiled = [_encoded(kind, icc_profile=profile) for kind, profile in zip(("JPEG", "PNG"), profiles, strict=True)]
    second = Image.fromarray(_PIXELS[::2, ::2])
    mpos = (_encoded("MPO", save_all=True, append_images=[second], exif=exif),)
    tiled = tuple(_tiff(_PIXELS, tile=(16, 16), compression=kind, photometric="rgb") for kind in (None, "zlib"))
    deep = _PIXELS.astype(np.uint16) * 257
    deeps = (_tiff(deep, photometric="rgb"), _tiff(deep[..., 0], compression="zlib", photometric="minisblack"))

    def mutate_profile(data: bytes, rng: Random) -> bytes:
        with Image.open(io.BytesIO(data)) as image:
            profile = mutate_bytes(image.info["icc_profile"], rng)[:60000]
            return _encoded(str(image.format), icc_profile=profile or b"\0")

    def mutate_deep_profile(data: bytes, rng: Random) -> bytes:
        with Image.open(io.BytesIO(data)) as image:
            profile = mutate_bytes(image.info["icc_profile"], rng)
        return _tiff(deep, photometric="rgb", iccprofile=profile)

    profiled_deep = tuple(
        _tiff(deep, photometric="rgb", iccprofile=profile)
        for profile in (matrix_profile(ADOBE_D50, curve(563)), lut_profile("mft2 XYZ", ADOBE_D50, 2.2))
    )
    return [
        Target("icc", "photo.jpg", tuple(profiled), _read_photo(".jpg"), mutate_profile),
        Target("mpo", "photo.jpg", mpos, _read_photo(".jpg"), mutate_bytes),
        Target("tiled", "photo.tif", tiled, _read_photo(".tif"), mutate_bytes),
        Target("deep", "photo.tif", deeps, _read_photo(".tif"), mutate_bytes),
        Target("deep icc", "photo.tif", profiled_deep, _read_photo(".tif"), mutate_deep_profile),
    ]


def _photos_with_extras(folder: Path, exif: bytes) -> list[Target]:
    """Kinds of photos that need an extra of the project; none where it is not installed."""
    targets = []
    if find_spec("pillow_heif"):
        import pillow_heif

        pillow_heif.register_heif_opener()
        heics = (_encoded("HEIF", quality=90, exif=exif),)
        targets.append(Target("heic", "photo.heic", heics, _read_photo(".heic"), mutate_bytes))
    if find_spec("rawpy"):
        path = folder / "sound.dng"
        write_dng(path, 24, 32)
        targets.append(Target("dng", "photo.dng", (path.read_bytes(),), _read_photo(".dng"), mutate_bytes))
    return targets


def _read_photo(suffix: str) -> Callable[[Path], object]:
    """Read a photo in every way in which the program reads one."""

    def reader(place: Path) -> object:
        path = place / f"photo{suffix}"
        read_preview(path, 16)
        carried_exif(path, (16, 12))
        try:
            read_header(path)
        finally:
            try:
                clean_copy(path)
            finally:
                read_deep_photo(path)
        return None

    return reader


def _tiff(pixels: NDArray[np.generic], **options: Any) -> bytes:
    data = io.BytesIO()
    tifffile.imwrite(data, pixels, **options)
    return data.getvalue()


_TOML = b"""seed = 3
alignment = "refined"
[rig]
name = "mine"
dslr = "slr"
[rig.cameras]
pocket = "320x240"
slr = "448x336"
[patches]
patch_size = 64
min_ncc = 0.9
keep_flat = true
[pairing]
pairing = "time"
"""


def _tables(folder: Path) -> list[Target]:
    review = b'time,capture_id,verdict,note\n2024-05-01T09:30:00Z,001,reject,blurred\n,002,accept,\n,001,clear,"a, b"\n'
    row = CaptureRow(
        "001", "p/1.jpg", "d/1.jpg", "train", "kept", patches=3, median_ncc=0.9, keypoints=10, measured=1.5
    )
    place = folder / "make"
    place.mkdir(parents=True)
    write_captures(place, [row, CaptureRow("002", "p/2.jpg", "d/2.jpg", "val", "failed", "read", "phone photo: x")])
    (place / ".build").mkdir()
    record = UnitRecord("k", 3, 100, "ab", {"p/1.jpg": "cd"}, (row,), {"p/1.jpg": 5}, {"p/1.jpg": (9, 5, 1, 6)})
    write_record(place, record)
    text = (place / ".build/k.json").read_bytes()
    settings = json.dumps(settings_dict(BuildSettings())).encode()
    log = b'begin "a"\nend\nbegin "b"\nTimeout (0:00:01)!\nThread 0x01\nbegin "b"\n'
    lines = (
        b'{"photo": "a.jpg", "made": "0123:45"}\n'
        b'{"photo": "b.jpg", "made": "begun:0123", "sha256": "ab", "state": [9, 5, 1, 6]}\n'
    )

    def overwritten(place: Path) -> object:
        new = settings_dict(BuildSettings(seed=1))
        with locked(place):
            return prepare(place, place / "captures", new, overwrite=True)

    return [
        Target("toml", "rig.toml", (_TOML,), lambda p: load_build_settings(p / "rig.toml", {}), mutate_text),
        Target("review", "review.csv", (review,), lambda p: read_review(p / "review.csv"), mutate_text),
        Target("captures", "captures.csv", ((place / "captures.csv").read_bytes(),), read_captures, mutate_text),
        Target(
            "record",
            ".build/k.json",
            (text,),
            lambda p: read_record(p, "k"),
            mutate_text,
        ),
        Target("settings", ".build/settings.json", (settings,), overwritten, mutate_text),
        Target("study", STUDY_NAME, (_write_study(folder / "study"),), _read_study, mutate_text),
        Target("log", "k.log", (log,), lambda p: read_watch(p / "k.log"), mutate_text),
        Target("enhanced", "enhanced.jsonl", (lines,), EnhanceRecord, mutate_text),
    ]


def _write_study(folder: Path) -> bytes:
    """Write the photos of a study and return its description."""
    (folder / PHOTOS_FOLDER).mkdir(parents=True)
    photos = [StudyPhoto("sony", kind, "a", f"{kind}.jpg", 32, 24, f"a-{kind}.jpg") for kind in ("original", "dslr")]
    for photo in photos:
        (folder / PHOTOS_FOLDER / photo.file).write_bytes(_encoded("JPEG"))
    study = Study("which?", 3, (StudyGroup("sony", ("original", "dslr"), ("a",)),), tuple(photos))
    return study_text(study).encode()


def _read_study(folder: Path) -> object:
    study = read_study(folder)
    shown_questions(study, "subject")
    assert all((folder / PHOTOS_FOLDER / photo.file).parent == folder / PHOTOS_FOLDER for photo in study.photos)
    return study_digest(study)


def _capture(name: str, count: int) -> ShardCapture:
    rng = np.random.default_rng(count)
    phone = rng.integers(0, 256, (count, 16, 16, 3), np.uint8)
    flat = np.zeros(count, np.float32)
    patches = Patches(
        phone=phone,
        dslr=phone,
        phone_xy=np.zeros((count, 2), np.int32),
        dslr_xy=np.zeros((count, 5, 5, 2)),
        shift_px=np.zeros((count, 2), np.float32),
        angle_deg=flat,
        ncc=flat + 1,
        error_px=flat,
        window_xy=np.zeros((count, 2), np.int32),
        window_reason=np.zeros(count, np.uint8),
        flat=flat > 0,
    )
    return ShardCapture(name, f"{name}.jpg", f"{name}.jpg", "", "", (64, 64), (64, 64), np.eye(3), patches)


def write_dataset(folder: Path, filled: Collection[str] = SPLITS) -> None:
    """A dataset of one shard in each of the splits that are `filled`."""
    settings = settings_dict(BuildSettings())
    digest = digest_of(settings, FORMAT_VERSION)
    splits = {}
    for split in SPLITS:
        if split not in filled:
            splits[split] = SplitEntry(0, 0, ())
            continue
        path = folder / split / "00000.h5"
        path.parent.mkdir(parents=True)
        write_shard(path, [_capture(f"{split}/a", 2), _capture(f"{split}/b", 1)], {"digest": digest, "unit": split})
        entry = ShardEntry(f"{split}/00000.h5", 3, path.stat().st_size, sha256_of_file(path))
        splits[split] = SplitEntry(2, 3, (entry,))
    origin = built_origin("pocket", BuildSettings())
    write_manifest(
        folder,
        Manifest(
            "pocket",
            origin.dslr,
            16,
            "built",
            "refined",
            digest,
            settings,
            {},
            splits,
            {"captures": 2 * len(filled)},
            {},
        ),
    )
    names = [f"{split}/{name}" for split in sorted(filled) for name in "ab"]
    write_captures(folder, [CaptureRow(name, f"{name}.jpg", f"{name}.jpg", "train", "kept") for name in names])


def _read_geometry(folder: Path) -> object:
    """As the inspection's workers do, shard by shard."""
    captures = open_dataset(folder, None).captures
    for shard in {listed.shard for listed in captures if listed.shard}:
        with open_shard(folder / shard) as file:
            list(stored_captures(file, [listed for listed in captures if listed.shard == shard]))
    return None


def read_dataset(folder: Path) -> object:
    """Read a dataset in every way that the program does."""
    faults = []
    for reader in (
        lambda: PatchStore(folder, "train").read(np.arange(len(PatchStore(folder, "train")))),
        lambda: PatchStore(folder, "train").column("dslr_xy"),
        lambda: PatchStore(folder, "train").capture_ids(),
        lambda: [store.patch_id(0) for store in [PatchStore(folder, "train")] if len(store)],
        lambda: _read_geometry(folder),
        lambda: verify_dataset(folder.parent, folder.name, jobs=1),
        lambda: read_shard(folder / "train/00000.h5"),
    ):
        try:
            reader()
        except ALLOWED as error:
            faults.append(error)
    if faults:
        raise faults[0]
    return None


def _dataset(folder: Path) -> list[Target]:
    targets = []
    for name, file, mutate in (
        ("shard", "train/00000.h5", mutate_bytes),
        ("manifest", MANIFEST_NAME, mutate_text),
        ("table", "captures.csv", mutate_text),
    ):
        place = folder / name
        write_dataset(place)
        targets.append(Target(name, file, ((place / file).read_bytes(),), read_dataset, mutate))
    return targets


def _models(folder: Path) -> list[Target]:
    torch.manual_seed(0)
    layer = torch.nn.Linear(3, 2)
    place = folder / "make-models"
    place.mkdir()
    tensors = {f"enhancer/{name}": value for name, value in layer.state_dict().items()}
    facts = {"settings": {"steps": 3}, "dataset": {"digest": "ab"}}
    checkpoint = save_checkpoint(place, Checkpoint(7, tensors, facts))
    enhancer = Enhancer("instance")
    save_enhancer(enhancer, place / "enhancer.safetensors")

    def load(folder: Path) -> object:
        path = folder / "step-0000007.safetensors"
        loaded = load_checkpoint(path)
        unpack_module(loaded, "enhancer", torch.nn.Linear(3, 2), path)
        return None

    def load_forged(folder: Path) -> object:
        dped_train.run.checkpoint._digest = lambda *_: _Anything()  # type: ignore[assignment]
        return load(folder)

    def mutate_head(data: bytes, rng: Random) -> bytes:
        size = int.from_bytes(data[:8], "little")
        if rng.random() < 0.2:
            return mutate_bytes(data, rng)
        head = mutate_text(data[8 : 8 + size], rng)
        return len(head).to_bytes(8, "little") + head + data[8 + size :]

    return [
        Target("checkpoint", checkpoint.name, (checkpoint.read_bytes(),), load, mutate_head),
        Target("forged checkpoint", checkpoint.name, (checkpoint.read_bytes(),), load_forged, mutate_head),
        Target(
            "enhancer",
            "enhancer.safetensors",
            ((place / "enhancer.safetensors").read_bytes(),),
            lambda p: load_enhancer(p / "enhancer.safetensors"),
            mutate_head,
        ),
        *_bundles(folder, enhancer),
    ]


class _Anything:
    """Equal to everything: a checksum that somebody has forged."""

    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = None  # type: ignore[assignment]


def _bundles(folder: Path, enhancer: Enhancer) -> list[Target]:
    def read(place: Path) -> object:
        if place.name.startswith("forged"):
            dped_train.networks.tensorflow_checkpoint.masked_crc32c = lambda data: _Anything()  # type: ignore[assignment]
        return enhancer_from_arrays(read_bundle(place / "model"), "model")

    targets = []
    names = (
        ("bundle index", "model.index"),
        ("bundle data", "model.data-00000-of-00001"),
        ("forged index", "model.index"),
    )
    for name, file in names:
        place = folder / name
        place.mkdir()
        write_bundle(place / "model", released_variables(enhancer))
        targets.append(Target(name, file, ((place / file).read_bytes(),), read, mutate_bytes))
    return targets


def reset(target: Target, folder: Path) -> Path:
    """The target's folder; made if it has none."""
    place = folder / target.name
    (place / target.file).parent.mkdir(parents=True, exist_ok=True)
    if target.file == ".build/settings.json":
        shutil.rmtree(place)
        (place / ".build").mkdir(parents=True)
    return place
