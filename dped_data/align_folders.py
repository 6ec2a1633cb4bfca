"""Two folders of photos in, a dataset and its report out: what `dped align` does, with nothing to be written before."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dped_data.build import BuildReport, build_dataset
from dped_data.common.files import atomic_write_text
from dped_data.common.folder_lock import held
from dped_data.common.ownership import keep_changed
from dped_data.errors import UsageError
from dped_data.inspection import inspect_pairs
from dped_data.inspection.report import InspectReport
from dped_data.inspection.settings import load_inspect_settings
from dped_data.plan import Plan
from dped_data.settings import BuildSettings, load_build_settings, rig_folders, rig_of, rig_toml

DATASET_NAME, REPORT_NAME, RIG_FILE_NAME = "dataset", "report", "rig.toml"
"""What lies in the folder of the result."""
_MOST_NAME = 80
"""Ours: letters of a folder's name that become a camera's, with room for what tells two of them apart."""


@dataclass(frozen=True)
class AlignReport:
    """What became of two folders.

    Attributes:
        rig_file: the rig and all settings, for `dped build-dataset --rig`.
        build: of the dataset.
        inspection: of its pairs; None where there was no patch to look at.
    """

    rig_file: Path
    build: BuildReport
    inspection: InspectReport | None

    @property
    def exit_status(self) -> int:
        """That of the inspection; 1 where nothing could be inspected."""
        return 1 if self.inspection is None else self.inspection.exit_status


def align_folders(
    phone_dir: Path,
    dslr_dir: Path,
    out: Path,
    flags: Mapping[str, Any] | None = None,
    *,
    pairs: Path | None = None,
    jobs: int = -1,
    overwrite: bool = False,
    retry_failed: bool = False,
    show_plan: Callable[[Plan], None] | None = None,
    show_build: Callable[[BuildReport], None] | None = None,
) -> AlignReport:
    """Pair the photos of two folders, build OUT/dataset/<phone>, inspect it (OUT/report), write OUT/rig.toml.

    The photos stay where they are and as they are. The same call again goes on where the last one stood; settings that
    a person has changed in OUT/rig.toml hold.

    Args:
        phone_dir, dslr_dir: the photos of each camera; their names become the cameras'.
        out: folder of the result.
        flags: settings of the build, field name -> value; None means "not given".
        pairs, jobs, overwrite, retry_failed, show_plan: as in `build_dataset`.
        show_build: is handed what was built before it is inspected.
    Raises:
        UsageError: folders that lie in each other; OUT holds the result of other folders.
        InputError: as `build_dataset` and `inspect_pairs`.
    """
    folders = _check_folders(phone_dir, dslr_dir, out)
    rig_file = out / RIG_FILE_NAME
    settings, cameras = _settings(rig_file, folders, flags or {})
    phone = next(name for name in cameras if name != settings.rig.dslr)
    inspect_settings = load_inspect_settings(rig_file if rig_file.exists() else None, {})
    with held(out, "align"):  # to the end of the inspection: what follows belongs to one call
        build = build_dataset(
            cameras,
            out / DATASET_NAME,
            phone,
            settings,
            pairs=pairs,
            jobs=jobs,
            overwrite=overwrite,
            retry_failed=retry_failed,
            show_plan=show_plan,
        )
        _keep_rig_file(rig_file, settings, cameras)
        if show_build:
            show_build(build)
        if not build.manifest.totals["patches"]:
            return AlignReport(rig_file, build, None)
        inspection = inspect_pairs(out / DATASET_NAME, phone, out / REPORT_NAME, inspect_settings, jobs=jobs)
        return AlignReport(rig_file, build, inspection)


def camera_names(phone_dir: Path, dslr_dir: Path) -> tuple[str, str]:
    """Return names for the cameras of two folders: the folders' own, made names of cameras, and two different ones."""
    phone, dslr = (_camera_name(folder, role) for folder, role in ((phone_dir, "phone"), (dslr_dir, "dslr")))
    return (phone, dslr) if phone.lower() != dslr.lower() else (f"{phone}-phone", f"{dslr}-dslr")


def _camera_name(folder: Path, role: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", folder.name).strip(".-_")[:_MOST_NAME] or role


def _check_folders(phone_dir: Path, dslr_dir: Path, out: Path) -> tuple[Path, Path]:
    """Return the real places of the photos; UsageError where the result would lie among them, or they in the result."""
    place = out.resolve()
    for folder in (phone_dir, dslr_dir):
        real = folder.resolve()
        if place.is_relative_to(real):
            raise UsageError(f"{out}: the result would be written among the photos of {folder}; choose another --out")
        for name in (DATASET_NAME, REPORT_NAME):
            if real.is_relative_to(place / name):
                raise UsageError(f"{folder}: the photos lie where {out / name} is to be written; choose another --out")
    return phone_dir.resolve(), dslr_dir.resolve()


def _settings(
    rig_file: Path, folders: tuple[Path, Path], flags: Mapping[str, Any]
) -> tuple[BuildSettings, dict[str, Path]]:
    """Return the settings, those of an earlier result where there is one, and camera -> folder, the phone first."""
    if not rig_file.exists():
        names = camera_names(*folders)
        settings = replace(load_build_settings(None, flags), rig=rig_of(*names))
        return settings, dict(zip(names, folders, strict=True))
    settings, stated = load_build_settings(rig_file, flags), rig_folders(rig_file)
    names_of = {folder: name for name, folder in stated.items()}
    if {*folders} != {*names_of} or names_of[folders[1]] != settings.rig.dslr:
        held = ", ".join(map(str, stated.values())) or "no folders"
        raise UsageError(f"{rig_file}: is the rig of other photos ({held}); choose another --out, or move it away")
    return settings, {names_of[folder]: folder for folder in folders}


def _keep_rig_file(path: Path, settings: BuildSettings, cameras: Mapping[str, Path]) -> None:
    """Write the rig's file, unless the one that is there says the same, in whatever words."""
    if path.exists() and load_build_settings(path, {}) == settings:
        return
    keep_changed(path)
    atomic_write_text(path, rig_toml(settings, cameras))
