"""Cameras, rigs and the settings of every stage: typed, checked, documented on the field.

Precedence: default < TOML file < command-line flag. The flags of `dped build-dataset` and the page
docs/settings.md are generated from the fields below, so default, type and help are stated once.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

from dped_data.common.foreign_files import MOST_LIST_BYTES, read_json, typed
from dped_data.common.names import path_inside, shown
from dped_data.common.typed_settings import (
    FrozenDefaults,
    load_settings,
    read_toml,
    recorded_settings,
    setting,
    settings_toml,
    toml_value,
)
from dped_data.errors import UsageError

FORMAT_VERSION = 1
"""Version of the shard and manifest layout (docs/format.md); part of every digest."""

RIG_NAME = "rig"
"""Of a rig that has no other."""
_CAMERA_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_SIZE = re.compile(r"([0-9]{1,6})x([0-9]{1,6})")


@dataclass(frozen=True)
class Camera:
    """A camera of a rig.

    Attributes:
        name: the camera's folder below the captures folder.
        width_px, height_px: declared size of its photos, upright; 0 where none is declared. Used to render simulated
            rigs and held against the photos; a build reads the size of every photo from the photo.
    """

    name: str
    width_px: int = 0
    height_px: int = 0


@dataclass(frozen=True)
class Rig:
    """Cameras mounted together; one of them, the DSLR, gives the target photos.

    Attributes:
        name: free text for the manifest.
        dslr: name of the target camera; every other camera counts as a phone.
        cameras: all cameras, in the order of the file.
    """

    name: str
    dslr: str
    cameras: tuple[Camera, ...]

    def camera(self, name: str) -> Camera:
        """Return the camera called `name`; UsageError names the known ones."""
        for camera in self.cameras:
            if camera.name == name:
                return camera
        known = ", ".join(camera.name for camera in self.cameras)
        raise UsageError(
            f"camera '{name}' is not part of rig '{self.name}' (it has: {known}); "
            "name both cameras (--phone NAME --dslr NAME), or describe your rig in a TOML file and pass --rig FILE"
        )

    def phone(self, name: str) -> Camera:
        """Return the phone called `name`; UsageError if it is unknown or the DSLR itself."""
        camera = self.camera(name)
        if camera.name == self.dslr:
            phones = ", ".join(c.name for c in self.cameras if c.name != self.dslr)
            raise UsageError(f"camera '{name}' is the DSLR of rig '{self.name}'; choose a phone: {phones}")
        return camera


PAPER_RIG = Rig(
    name="DPED",
    dslr="canon",
    cameras=(  # Table 1 of the paper
        Camera("iphone", 2048, 1536),
        Camera("blackberry", 4160, 3120),  # as listed; the photos that were released are 2080x1560
        Camera("sony", 2592, 1944),
        Camera("canon", 3648, 2432),
    ),
)


@dataclass(frozen=True)
class PairingSettings:
    """How the photos of the two cameras become captures."""

    pairing: Literal["auto", "name", "time"] = setting(
        "auto",
        "pair photos by equal file stem (name), by capture time (time), or decide by the share of equal stems (auto)",
    )
    max_time_residual_s: float = setting(
        2.0,
        "largest time between two paired photos after the clocks' offset and drift are removed, seconds",
        minimum=0.01,
    )
    prefer: Literal["jpeg", "raw"] = setting(
        "jpeg", "which file stands for a shot that a camera stored as JPEG (or HEIC) and as RAW"
    )
    phone_name: str = setting(
        "*", "what surrounds a scene's name (*) in the names of the phone's photos, without suffix, such as *_LR4"
    )
    dslr_name: str = setting("*", "the same for the DSLR's photos, such as *_HR")


@dataclass(frozen=True)
class RawSettings:
    """How camera RAW photos are developed (docs/captures.md)."""

    raw_brightness: Literal["fixed", "auto"] = setting(
        "fixed",
        "RAW photos: the sensor's white level becomes white (fixed), or each photo is stretched its own way (auto)",
    )
    raw_white_balance: Literal["camera", "daylight"] = setting(
        "camera", "RAW photos: as the camera chose, or for daylight"
    )
    phone_raw: bool = setting(
        False,
        "also store the phone's mosaic, the sensor's own values, for each patch; each of its shots needs a RAW file",
    )
    phone_aligned: Literal["developed", "jpeg"] = setting(
        "developed",
        "with --phone-raw, the phone's photo that is aligned and cut: the RAW file developed, or the camera's JPEG "
        "(or HEIC) of the same shot where that has the same geometry",
    )
    dslr_linear: bool = setting(
        False, "also store the DSLR's patches in linear light, 16 bits, developed from its RAW files"
    )


@dataclass(frozen=True)
class SplitSettings:
    """How whole shooting sessions are divided into train, val and test."""

    session_gap_s: float = setting(
        1800.0, "a gap this long between two captures ends a shooting session, seconds", minimum=1
    )
    session_block: int = setting(
        20,
        "most captures in a block of consecutive names, which stands in for a session when there are no capture times",
        minimum=1,
    )
    test_captures: int = setting(
        100, "captures to reserve for testing in a large set (the paper: around 100)", minimum=0
    )
    test_share: float = setting(0.15, "largest share of the captures to reserve for testing", minimum=0, maximum=0.9)
    val_share: float = setting(0.05, "share of the captures to reserve for validation", minimum=0, maximum=0.9)


@dataclass(frozen=True)
class FeatureSettings:
    """SIFT keypoints and their matches (section 2, "Matching algorithm")."""

    detect_megapixels: float = setting(
        0.25,
        "photos are shrunk to this size for keypoint detection, megapixels; to a quarter of it where that is enough",
        minimum=0.05,
    )
    keypoints: int = setting(1000, "keypoints kept per photo, strongest first", minimum=50)
    match_ratio: float = setting(
        0.8, "a match counts when its distance is below this share of the second best's", minimum=0.1, maximum=1
    )


@dataclass(frozen=True)
class HomographySettings:
    """Robust homography from matches, and the tests it must pass."""

    inlier_threshold: float = setting(
        0.003, "inlier distance in the DSLR photo, share of its width", minimum=1e-4, maximum=0.05
    )
    min_inliers: int = setting(16, "fewer inliers than this reject the capture", minimum=4)


@dataclass(frozen=True)
class PatchSettings:
    """The sliding windows and what they must pass (section 2)."""

    patch_size: int = setting(100, "side of a patch, pixels (the paper: 100)", minimum=16, maximum=1024)
    stride: int = setting(
        0, "step of the sliding window, pixels; 0 means the patch size, so that windows do not overlap", minimum=0
    )
    min_ncc: float = setting(
        0.9, "keep patches whose cross-correlation, as stored, is above this (the paper: 0.9)", minimum=-1, maximum=1
    )
    max_error_px: float = setting(
        0.3, "keep patches whose predicted misalignment is below this, phone pixels", minimum=0.01
    )
    max_parallax: float = setting(
        0.0,
        "how far near objects move at most against the scene's main surface, phone pixels: windows are searched as "
        "far, 20 in any case, and pairs of which more than a third moves farther are rejected; 0 takes it from the "
        "matched keypoints",
        minimum=0,
    )
    max_foreign: float = setting(
        0.2,
        "drop patches with a cell, a quarter of the side, of which more than this share shows content that the other "
        "photo lacks there; 1 keeps all",
        minimum=0,
        maximum=1,
    )
    mask_cells: bool = setting(
        False,
        "keep patches with such cells where half of the pixels or more are left, and store which pixels are valid: "
        "training and metrics leave the others out",
    )
    max_clipped: float = setting(
        0.4,
        "drop patches whose DSLR half has a larger share of clipped pixels than the phone half by more than this: "
        "no target; 1 keeps all",
        minimum=0,
        maximum=1,
    )
    min_sharpness: float = setting(
        0.6,
        "drop photos whose DSLR halves have less fine detail than this share of the phone halves' (median of the "
        "windows), and single patches below 0.8 of it; 0 keeps all",
        minimum=0,
    )
    max_light_ev: float = setting(
        0.35,
        "drop patches over which the DSLR's light against the phone's changes by more than this, as at the edge of a "
        "cloud's shadow in one photo, stops; 100 keeps all",
        minimum=0,
        maximum=100,
    )
    keep_flat: bool = setting(
        False,
        "also keep patches of sky and walls that the field around them proves aligned, though noise lowers their NCC",
    )


@dataclass(frozen=True)
class ShardSettings:
    """How patches are stored."""

    captures_per_shard: int = setting(4, "captures in one shard, the unit of work that is resumed", minimum=1)
    keep_aligned: bool = setting(
        False, "also write each whole DSLR photo in the phone's frame, where it is valid, and its predicted error"
    )
    overlays: bool = setting(
        False, "also write a picture of each capture: squares of phone and aligned DSLR photo in turn, and both blended"
    )
    compression: Literal["none", "gzip", "lzf"] = setting(
        "none", "HDF5 compression; only uncompressed shards can be memory-mapped"
    )


@dataclass(frozen=True)
class BuildSettings:
    """Everything that decides what `build-dataset` writes; its digest marks every output."""

    rig: Rig = PAPER_RIG
    pairing: PairingSettings = field(default_factory=PairingSettings)
    raw: RawSettings = field(default_factory=RawSettings)
    split: SplitSettings = field(default_factory=SplitSettings)
    features: FeatureSettings = field(default_factory=FeatureSettings)
    homography: HomographySettings = field(default_factory=HomographySettings)
    patches: PatchSettings = field(default_factory=PatchSettings)
    shards: ShardSettings = field(default_factory=ShardSettings)
    alignment: Literal["refined", "paper"] = setting(
        "refined",
        "refined: sub-pixel alignment; paper: one homography, then whole-pixel shifts and rotations, to the letter",
    )
    seed: int = setting(0, "seed of everything random in the build", minimum=0)

    frozen_defaults: ClassVar[FrozenDefaults] = FrozenDefaults(
        format_version=1,
        first={
            "pairing.pairing": "auto",
            "pairing.max_time_residual_s": 2.0,
            "split.session_gap_s": 1800.0,
            "split.session_block": 20,
            "split.test_captures": 100,
            "split.test_share": 0.15,
            "split.val_share": 0.05,
            "features.detect_megapixels": 0.25,
            "features.keypoints": 1000,
            "features.match_ratio": 0.8,
            "homography.inlier_threshold": 0.003,
            "homography.min_inliers": 16,
            "patches.patch_size": 100,
            "patches.stride": 0,
            "patches.min_ncc": 0.9,
            "patches.max_error_px": 0.3,
            "patches.keep_flat": False,
            "shards.captures_per_shard": 4,
            "shards.keep_aligned": False,
            "shards.compression": "none",
            "alignment": "refined",
            "seed": 0,
        },
        added={
            "pairing.prefer": "jpeg",  # before, photos of such a shot were left without a partner
            "pairing.phone_name": "*",
            "pairing.dslr_name": "*",
            "patches.max_parallax": 0.0,
            # 1 is what was done before: it goes on with datasets of then, the fields' defaults do not.
            "patches.max_foreign": 1.0,
            "patches.max_clipped": 1.0,
            "patches.mask_cells": False,
            "patches.min_sharpness": 0.0,  # likewise
            "patches.max_light_ev": 100.0,
            "raw.raw_brightness": "auto",  # as above
            "raw.raw_white_balance": "camera",
            "raw.phone_raw": False,
            "raw.phone_aligned": "developed",
            "raw.dslr_linear": False,
            "shards.overlays": False,
        },
    )


PICTURE_SETTINGS = {"aligned": "keep_aligned", "overlays": "overlays"}
"""Kinds of pictures of whole captures (dataset.places.PICTURES), and the settings that ask for them."""


def asked_pictures(settings: BuildSettings) -> tuple[str, ...]:
    """The kinds of pictures that settings ask for."""
    return tuple(kind for kind, name in PICTURE_SETTINGS.items() if getattr(settings.shards, name))


def with_pictures(settings: BuildSettings, kinds: Collection[str]) -> BuildSettings:
    """Return the settings that ask for these kinds of pictures and no others."""
    shards = dataclasses.replace(settings.shards, keep_aligned="aligned" in kinds, overlays="overlays" in kinds)
    return dataclasses.replace(settings, shards=shards)


def deciding(settings: BuildSettings, before: Mapping[str, Any] | None = None) -> BuildSettings:
    """Return the settings without what is added to a dataset and decides nothing of it: pictures of whole captures.

    `before`: those recorded of the dataset that is there; one of an earlier version may count the aligned photos in.
    """
    shards = before.get("shards") if before else None
    counted = isinstance(shards, Mapping) and shards.get("keep_aligned") is True
    return with_pictures(settings, ("aligned",) if counted else ())


OTHER_TABLES = ("rig", "inspect")
"""Of a rig's TOML file, beside those of the settings."""


def load_build_settings(toml: Path | None, flags: Mapping[str, Any]) -> BuildSettings:
    """Return the settings of a build: defaults, then the file, then flags (field name -> value or None).

    The file may hold a table `[rig]` (name, dslr, and `[rig.cameras]` with name = "WIDTHxHEIGHT", or cameras as a
    list of names; `[rig.folders]` is for `rig_folders`) and one table per stage, named as in docs/settings.md;
    `[inspect]` is for `inspect-pairs`. The file may also be the dataset.json of a dataset, which is then built as it
    was.

    Raises:
        UsageError: for an unknown key, a wrong type, a value out of range, or a rig that is incomplete.
    """
    if toml is not None and toml.suffix == ".json":
        recorded, pictures = _recorded_settings(toml)
        kinds = {*pictures, *asked_pictures(recorded)}
        return load_settings(with_pictures(recorded, kinds), {}, str(toml), flags)
    table = read_toml(toml) if toml else {}
    source = str(toml) if toml else "settings"
    base = BuildSettings()
    table.pop("inspect", None)
    if "rig" in table:
        base = dataclasses.replace(base, rig=parse_rig(table.pop("rig"), source))
    return load_settings(base, table, source, flags, tables=OTHER_TABLES)


def _recorded_settings(manifest: Path) -> tuple[BuildSettings, tuple[str, ...]]:
    """The settings and pictures that a dataset was built with, by its dataset.json; UsageError where it has none."""
    try:
        document = dict(read_json(manifest, MOST_LIST_BYTES))
        table, pictures = dict(document["settings"]), typed(tuple[str, ...], document.get("pictures", []))
        rig = typed(Rig, table.pop("rig"))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{manifest}: no settings of a build in it ({error}); pass the dataset.json of one") from None
    return dataclasses.replace(recorded_settings(BuildSettings, table, str(manifest)), rig=rig), pictures


def parse_rig(table: Any, source: str) -> Rig:
    """Return the Rig that a TOML `[rig]` table describes; UsageError names `source`, the key and the cure."""
    if not isinstance(table, Mapping):
        raise UsageError(f"{source}: 'rig' must be a table: [rig] with name, dslr and [rig.cameras]")
    known = ("name", "dslr", "cameras", "folders")
    if unknown := sorted({*table} - {*known}):
        near = difflib.get_close_matches(unknown[0], known, n=1)
        meant = f"; did you mean '{near[0]}'?" if near else ";"
        raise UsageError(
            f"{source}: unknown setting {shown(f'rig.{unknown[0]}')}{meant} a rig has name, dslr, cameras and folders"
        )
    cameras = table.get("cameras")
    if isinstance(cameras, list) and all(isinstance(name, str) for name in cameras):
        cameras = dict.fromkeys(cameras)
    if not isinstance(cameras, Mapping) or len(cameras) < 2:
        raise UsageError(
            f'{source}: rig.cameras must list at least two cameras: their names, or each as name = "WIDTHxHEIGHT"'
        )
    dslr, name = table.get("dslr"), table.get("name", RIG_NAME)
    if not isinstance(name, str):
        raise UsageError(f"{source}: rig.name = {shown(name)} is {type(name).__name__}, expected str")
    if not isinstance(dslr, str) or dslr not in cameras:
        raise UsageError(f"{source}: rig.dslr = {shown(dslr)} must name one of the cameras: {', '.join(cameras)}")
    return Rig(name, dslr, tuple(_parse_camera(key, size, source) for key, size in cameras.items()))


def rig_of(phone: str, dslr: str) -> Rig:
    """Return the rig of two cameras of which nothing is declared but their names; UsageError if one is no name."""
    if phone == dslr:
        raise UsageError(f"--phone and --dslr are both '{phone}'; name two cameras")
    return Rig(RIG_NAME, dslr, tuple(_parse_camera(name, None, "--phone, --dslr") for name in (phone, dslr)))


def with_cameras(settings: BuildSettings, phone: str | None, dslr: str | None) -> BuildSettings:
    """Return the settings with `dslr` as target camera: of the rig if it has both cameras, else of a rig of these two.

    Raises:
        UsageError: `dslr` without `phone`, unless the rig has this camera; names that are none.
    """
    known = {camera.name for camera in settings.rig.cameras}
    if dslr is None or (dslr in known and (phone is None or phone in known)):
        return (
            settings
            if dslr is None
            else dataclasses.replace(settings, rig=dataclasses.replace(settings.rig, dslr=dslr))
        )
    if phone is None:
        raise UsageError(
            f"--dslr {dslr}: no camera of rig '{settings.rig.name}' ({', '.join(sorted(known))}); add --phone NAME"
        )
    return dataclasses.replace(settings, rig=rig_of(phone, dslr))


def rig_folders(file: Path | None) -> dict[str, Path]:
    """Return camera -> folder of its photos as table `[rig.folders]` of a TOML file, or a dataset.json, states it.

    Of a TOML file they are absolute: relative ones start at the file's folder. Those of a dataset.json are relative to
    the captures folder. Where nothing is stated, as usual, photos lie in CAPTURES/<camera>.

    Raises:
        UsageError: the file cannot be read, a key is no camera of its rig, or a value is no text.
        InputError: a folder in a dataset.json leads out of the captures folder.
    """
    if file is None:
        return {}
    if file.suffix == ".json":
        try:
            stated = typed(dict[str, str], dict(read_json(file, MOST_LIST_BYTES)).get("folders", {}))
        except (OSError, ValueError, TypeError) as error:
            raise UsageError(f"{file}: no dataset.json ({error}); pass the dataset.json of a dataset") from None
        return {camera: Path(path_inside(folder, f"{file}: folders.{camera}")) for camera, folder in stated.items()}
    rig = read_toml(file).get("rig", {})
    folders = rig.get("folders", {}) if isinstance(rig, Mapping) else {}
    cameras = {*rig.get("cameras", ())} if folders else set()
    if not isinstance(folders, Mapping):
        raise UsageError(f'{file}: rig.folders must be a table: [rig.folders] with camera = "FOLDER"')
    for camera, folder in folders.items():
        if camera not in cameras or not isinstance(folder, str) or not folder or "\0" in folder:
            raise UsageError(f"{file}: rig.folders.{camera} = {shown(folder)} must give one of the cameras its folder")
    return {camera: (file.parent / folder).resolve() for camera, folder in folders.items()}


def rig_toml(settings: BuildSettings, folders: Mapping[str, Path]) -> str:
    """Return the settings, their rig and the folders of its photos as a TOML file that `load_build_settings` reads."""
    title = "The rig and the settings of a dataset, for `dped build-dataset --rig THIS_FILE` (docs/settings.md)"
    head, _, sections = settings_toml(settings, title).partition("\n[")
    rig = settings.rig
    lines = [head, "[rig]", f"name = {toml_value(rig.name)}", f"dslr = {toml_value(rig.dslr)}"]
    if all(camera.width_px for camera in rig.cameras):
        lines += ["", "[rig.cameras]"]
        lines += [f'{toml_value(c.name)} = "{c.width_px}x{c.height_px}"' for c in rig.cameras]
    else:
        lines.append(f"cameras = [{', '.join(toml_value(camera.name) for camera in rig.cameras)}]")
    if folders:
        lines += ["", "[rig.folders]"]
        lines += [f"{toml_value(camera)} = {toml_value(str(folder))}" for camera, folder in folders.items()]
    return "\n".join(lines) + f"\n\n[{sections}"


def _parse_camera(name: str, size: Any, source: str) -> Camera:
    if not _CAMERA_NAME.fullmatch(name):  # it becomes a folder name
        raise UsageError(
            f"{source}: camera name {shown(name)} may hold only letters, digits, '.', '_' and '-', 100 at most"
        )
    if size is None:
        return Camera(name)
    match = _SIZE.fullmatch(size) if isinstance(size, str) else None
    if match is None or not (int(match[1]) and int(match[2])):
        raise UsageError(f'{source}: rig.cameras.{name} = {shown(size)} must be a size such as "2592x1944"')
    return Camera(name, int(match[1]), int(match[2]))
