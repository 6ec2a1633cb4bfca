"""The command that makes a dataset again what it was, for messages about what is missing or damaged in it."""

from __future__ import annotations

from pathlib import Path

from dped_data.common.hints import data_words, hint
from dped_data.common.remote_folder import is_remote
from dped_data.dataset.manifest import settings_in
from dped_data.dataset.places import MANIFEST_NAME, SOURCE_NAME

_DEEPEST = 3
"""How far below the dataset's folder its files lie, at most."""


def making(path: Path) -> str:
    """Return, in backticks, the command that makes again the dataset in which `path` lies, with its real places.

    Where they are not known (a shard by itself, a damaged manifest), the command has no words.
    """
    for folder in [path, *path.parents][: _DEEPEST + 1]:
        settings = settings_in(folder / MANIFEST_NAME, "settings")
        if settings is not None:
            return f"`{_command(folder, settings)}`"
    return f"`{hint('build-dataset')}`"


def _command(folder: Path, settings: dict[str, object]) -> str:
    source, out = _source(folder), data_words(folder.parent, "--out")
    if settings.get("source") == "imported":
        return hint("import-dped", source or "FOLDER", "--phone", str(settings.get("phone")), *out)
    captures = ["--captures", source] if source else []
    return hint("build-dataset", "--rig", folder / MANIFEST_NAME, "--phone", folder.name, *captures, *out)


def _source(folder: Path) -> str | None:
    """The folder of the photos, or their address; None where it is not known."""
    try:
        stated = (folder / SOURCE_NAME).read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        return None
    return stated if is_remote(stated) else str((folder / stated).resolve())
