"""What a build will do, before any pixel is read: which phone, which captures, which split."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from dped_data.captures.find import find_captures
from dped_data.captures.folders import Captures, photo_folders
from dped_data.captures.listing import has_camera
from dped_data.captures.photo_sizes import sample_sizes, size_warning
from dped_data.captures.raw_shots import asked_raw
from dped_data.captures.records import SPLITS, Capture, Pairing, Split
from dped_data.captures.remote_headers import headers_of
from dped_data.captures.split import assign_splits, split_warnings
from dped_data.common.remote_folder import is_remote
from dped_data.common.typed_settings import changed_settings, digest_of, settings_dict
from dped_data.dataset.capture_table import read_captures
from dped_data.dataset.manifest import pictures_of, settings_on_disk
from dped_data.dataset.places import CAPTURES_NAME, picture_names
from dped_data.errors import InputError, UsageError
from dped_data.settings import FORMAT_VERSION, PAPER_RIG, BuildSettings, Rig, asked_pictures, deciding
from dped_data.work.units import plan_units, recorded_units, splits_on_disk


@dataclass(frozen=True)
class PlannedWork:
    """What a build would do to the dataset that is there.

    Attributes:
        folder: of the dataset.
        new: captures that it does not hold, or whose group another capture or a changed photo has changed.
        reused: captures that are done; photos that only their content tells from before are found when they are read.
        gone: captures that it holds and the photos no longer yield; their patches would be removed.
        drawn: captures that are done and lack pictures that are asked for.
        changes: settings that differ from the dataset's, "key: old -> new": without --overwrite the build refuses.
    """

    folder: str
    new: int
    reused: int
    gone: int
    drawn: int = 0
    changes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plan:
    """Pairing and split of a build, before any pixel is read.

    Attributes:
        pairing: captures, photos without a partner, notes.
        splits: of each capture, in the order of `pairing.captures`.
        photo_sizes: camera -> "WIDTHxHEIGHT" -> photos, of a sample of the captures' photos.
        warnings: what a person should hear before work begins.
        work: what a build would do; None where nothing is known of the place where the dataset goes.
    """

    pairing: Pairing
    splits: tuple[Split, ...]
    photo_sizes: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    work: PlannedWork | None = None


def choose_phone(captures: Captures, rig: Rig) -> str:
    """Return the only phone of the rig that has a folder: below `captures`, a folder or an address, or in that mapping.

    Raises:
        InputError: there is no captures folder or no phone's folder in it; UsageError: there are several.
    """
    if isinstance(captures, Mapping):
        named = [camera.name for camera in rig.cameras if camera.name in captures and camera.name != rig.dslr]
        if len(named) != 1:
            raise UsageError(f"rig '{rig.name}' names folders of {len(named)} phones; choose one with --phone")
        return named[0]
    with headers_of(captures) as headers:
        return _only_phone(headers, rig)


def _only_phone(captures: Path, rig: Rig) -> str:
    phones = [camera.name for camera in rig.cameras if camera.name != rig.dslr]
    if not captures.is_dir():
        raise InputError(
            f"{captures}: no such folder; put each camera's photos into a folder of its own "
            f"({captures}/{phones[0]}, {captures}/{rig.dslr}) or name another place with --captures"
        )
    present = [name for name in phones if has_camera(captures, name)]
    if len(present) > 1:
        raise UsageError(f"{captures}: holds photos of {', '.join(present)}; choose one with --phone")
    if not present:
        found = ", ".join(sorted(path.name for path in captures.iterdir() if path.is_dir())) or "no folder"
        raise InputError(
            f"{captures}: has no folder of a phone of rig '{rig.name}' ({', '.join(phones)}), it has: {found}; "
            "describe your cameras in a TOML file and pass --rig FILE"
        )
    return present[0]


def plan_dataset(
    captures: Path,
    phone: str,
    settings: BuildSettings,
    folder: Path | None = None,
    pairs: Path | None = None,
    folders: Mapping[str, str] | None = None,
) -> Plan:
    """Pair the photos below `captures` and assign the splits; reads headers only. `folders` as in `list_cameras`.

    Captures of the dataset in `folder`, if there is one, keep the split that its captures.csv states. Where that is
    damaged, they keep the split in which their shards lie; a note says so. `pairs` is a person's list of pairs.

    Raises:
        UsageError: the rig has no such phone.
        InputError: a camera folder is missing, unreadable or empty; as `find_captures`.
    """
    settings.rig.phone(phone)
    pairing = find_captures(
        captures,
        phone,
        settings.rig.dslr,
        settings.pairing,
        pairs,
        folders,
        asked_raw(settings.raw),
        settings.raw.dslr_linear,
    )
    earlier: dict[str, Split] = {}
    if folder and (folder / CAPTURES_NAME).exists():
        try:
            earlier = {row.capture_id: split for row in read_captures(folder) for split in SPLITS if row.split == split}
        except InputError as error:
            earlier = splits_on_disk(folder)
            told = f"{error}; until then the splits of {len(earlier)} captures are taken from their shards"
            pairing = replace(pairing, notes=(*pairing.notes, told))
    splits = assign_splits(pairing.captures, settings.split, earlier)
    sizes, warnings = _sizes(captures, pairing.captures, phone, settings.rig)
    return Plan(pairing, splits, sizes, (*warnings, *split_warnings(pairing.captures, splits, settings.split)))


def _sizes(
    captures_dir: Path, captures: Sequence[Capture], phone: str, rig: Rig
) -> tuple[dict[str, Counter[str]], tuple[str, ...]]:
    """Return the photos' sizes and warnings of what is declared otherwise.

    Nobody declared the paper's rig for these photos: they may be rendered smaller, or the released ones.
    """
    files = {phone: [c.phone_file for c in captures], rig.dslr: [c.dslr_file for c in captures]}
    sizes = {camera: sample_sizes(captures_dir, some) for camera, some in files.items()}
    declared = () if rig == PAPER_RIG else rig.cameras
    warnings = (size_warning(camera, sizes[camera.name]) for camera in declared if camera.name in sizes)
    return sizes, tuple(warning for warning in warnings if warning)


def plan_build(
    captures: Captures,
    out: Path | str,
    phone: str,
    settings: BuildSettings,
    overwrite: bool = False,
    pairs: Path | None = None,
) -> Plan:
    """Return what a build with these arguments would do, as far as headers tell: what `--dry-run` shows.

    Of a dataset in a store nothing is read: captures there may keep another split than is shown.

    Raises:
        UsageError, InputError: as `plan_dataset`.
    """
    photos = photo_folders(captures, phone, settings.rig.dslr)
    with headers_of(photos.root) as headers:
        folder = None if overwrite or is_remote(out) else Path(out) / phone
        plan = plan_dataset(headers, phone, settings, folder, pairs, photos.below)
        work = None if is_remote(out) else _work(plan, headers, Path(out) / phone, settings, overwrite)
        return replace(plan, work=work)


def _work(plan: Plan, headers: Path, folder: Path, settings: BuildSettings, overwrite: bool) -> PlannedWork:
    before = None if overwrite else settings_on_disk(folder)
    captures, asked = plan.pairing.captures, settings_dict(deciding(settings, before))
    if before is None:
        return PlannedWork(str(folder), len(captures), 0, 0)
    digest = digest_of(asked, FORMAT_VERSION)
    units = plan_units(captures, plan.splits, headers, digest, settings.shards.captures_per_shard)
    done = recorded_units(folder, units)
    reused = sum(len(unit.captures) for unit in units if unit.key in done)
    held: dict[str, int] = {}
    with suppress(InputError):  # a damaged table is told among the notes
        rows = read_captures(folder) if (folder / CAPTURES_NAME).exists() else []
        held = {row.capture_id: row.patches for row in rows}
    gone = len({*held} - {capture.capture_id for capture in captures})
    kinds = {*asked_pictures(settings), *pictures_of(folder)}
    done_ids = [c.capture_id for unit in units if unit.key in done for c in unit.captures if held.get(c.capture_id)]
    lacking = [name for name in done_ids if not all((folder / file).is_file() for file in picture_names([name], kinds))]
    changes = tuple(changed_settings(before, asked))
    return PlannedWork(str(folder), len(captures) - reused, reused, gone, len(lacking), changes)


def work_text(work: PlannedWork) -> str:
    """Return what a build would do, as lines for a person."""
    if work.changes:
        told = "; ".join(work.changes)
        return f"  {work.folder}: built with other settings ({told}); only --overwrite builds it, all anew"
    parts = [f"{work.new:,} captures to align", f"{work.reused:,} done before and kept"]
    parts += [f"{work.drawn:,} of them to be drawn"] if work.drawn else []
    parts += [f"{work.gone:,} to be removed, their photos are gone"] if work.gone else []
    return f"  {work.folder}: {', '.join(parts)}"


def check_captures(plan: Plan, captures: Captures, phone: str, dslr: str) -> None:
    """Raise InputError if nothing could be paired."""
    if plan.pairing.captures:
        return
    first = plan.pairing.unpaired[0] if plan.pairing.unpaired else None
    detail = f" (first: {first.file}: {first.reason})" if first else ""
    place = ", ".join(map(str, captures.values())) if isinstance(captures, Mapping) else captures
    raise InputError(
        f"{place}: no photo of '{phone}' pairs with one of '{dslr}'{detail}; "
        "run with --dry-run to see all, choose --pairing name or --pairing time, or list the pairs in a file: --pairs"
    )
