"""Where each camera's photos lie: one folder for all cameras, or a folder of each camera, wherever it is."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from dped_data.errors import InputError, UsageError

Captures: TypeAlias = Path | str | Mapping[str, Path]
"""CAPTURES with a folder for each camera, or an address of that; or camera -> folder of its photos."""


@dataclass(frozen=True)
class PhotoFolders:
    """The folders of a phone and a DSLR.

    Attributes:
        root: the folder below which both lie, or an address; files are named by their paths below it.
        below: camera -> its folder below `root`, with "/" between folders; empty where it is the camera's name.
    """

    root: Path | str
    below: Mapping[str, str] = field(default_factory=dict)

    @property
    def places(self) -> tuple[Path | str, ...]:
        """The folders whose files count as photos."""
        return tuple(Path(self.root) / folder for folder in self.below.values()) if self.below else (self.root,)


def photo_folders(captures: Captures, phone: str, dslr: str) -> PhotoFolders:
    """Return where the photos of two cameras lie.

    Raises:
        InputError: a folder is not there.
        UsageError: a camera has no folder, one folder lies in the other, or they lie on two drives.
    """
    if not isinstance(captures, Mapping):
        return PhotoFolders(captures)
    for camera in (phone, dslr):
        if camera not in captures:
            raise UsageError(
                f"camera '{camera}' has no folder of photos; name it in table [rig.folders] of the rig's file"
            )
        if not captures[camera].is_dir():
            raise InputError(f"{captures[camera]}: no such folder; it is to hold the photos of '{camera}'")
    folders = {camera: captures[camera].resolve() for camera in (phone, dslr)}
    both = f"{captures[phone]} and {captures[dslr]}"
    if folders[phone].is_relative_to(folders[dslr]) or folders[dslr].is_relative_to(folders[phone]):
        raise UsageError(f"{both}: one lies in the other, or they are one folder; give each camera a folder of its own")
    try:
        root = Path(os.path.commonpath([*folders.values()]))
    except ValueError:
        raise UsageError(f"{both}: the photos lie on two drives; put both cameras' on one") from None
    return PhotoFolders(root, {camera: folder.relative_to(root).as_posix() for camera, folder in folders.items()})
