"""Datasets in a store that a version without a record has published: what can be told from their manifest."""

from __future__ import annotations

import csv
import json
from collections import Counter
from contextlib import suppress
from dataclasses import fields
from pathlib import Path

from dped_data.dataset.capture_table import CaptureRow, read_captures
from dped_data.dataset.manifest import Manifest, dataset_digest, read_manifest
from dped_data.dataset.places import CAPTURES_NAME, MANIFEST_NAME, SETTINGS_NAME, TABLES, UNPAIRED_NAME
from dped_data.errors import InputError

DESCRIBING = frozenset((*TABLES, SETTINGS_NAME))
"""What describes a dataset; `known_by_manifest` wants as many of these as there are."""


def known_by_manifest(folder: Path) -> tuple[Manifest | None, list[str]]:
    """Return the manifest in `folder` if a build wrote it, and the names of DESCRIBING that agree with it.

    Without a manifest only settings can be known, by being just as a build writes them at its beginning.
    """
    manifest = _own_manifest(folder)
    return manifest, _agreeing(folder, manifest)


def _is_as_written(text: str, *, sort_keys: bool) -> bool:
    """Tell whether JSON is to the byte as this program writes it: an editor rarely leaves it so."""
    with suppress(ValueError, RecursionError):
        return text == json.dumps(json.loads(text), indent=1, sort_keys=sort_keys) + "\n"
    return False


def _own_manifest(folder: Path) -> Manifest | None:
    with suppress(InputError, OSError, ValueError):
        manifest, text = read_manifest(folder), (folder / MANIFEST_NAME).read_text(encoding="utf-8")
        if _is_as_written(text, sort_keys=False) and manifest.digest == dataset_digest(
            manifest.settings, manifest.review
        ):
            return manifest
    return None


def _agreeing(folder: Path, manifest: Manifest | None) -> list[str]:
    """Name the files in `folder` that say what the manifest says; without one, settings as a build begins with them."""
    names = [MANIFEST_NAME] if manifest else []
    with suppress(OSError, ValueError):
        text = (folder / SETTINGS_NAME).read_text(encoding="utf-8")
        settings = json.loads(text)
        same = settings == manifest.settings if manifest else {"rig", "patches", "shards"} <= set(settings)
        names += [SETTINGS_NAME] if same and _is_as_written(text, sort_keys=True) else []
    with suppress(InputError, OSError, ValueError, csv.Error):
        names += [CAPTURES_NAME] if manifest and _agrees(read_captures(folder), _head(folder), manifest) else []
    with suppress(OSError, ValueError, csv.Error), (folder / UNPAIRED_NAME).open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
        count = 1 + manifest.totals.get("unpaired_photos", -1) if manifest else 0
        names += [UNPAIRED_NAME] if len(rows) == count and {len(row) for row in rows} == {2} else []
    return names


def _head(folder: Path) -> list[str]:
    with (folder / CAPTURES_NAME).open(newline="", encoding="utf-8") as file:
        return next(csv.reader(file), [])


def _agrees(rows: list[CaptureRow], head: list[str], manifest: Manifest) -> bool:
    status = Counter(row.status for row in rows)
    sums = {
        "captures": len(rows),
        **{kind: status[kind] for kind in ("kept", "rejected", "failed")},
        "windows": sum(row.windows or 0 for row in rows),
        "patches": sum(row.patches for row in rows),
    }
    reasons = Counter(f"{row.stage}: {row.reason}" for row in rows if row.status != "kept")
    same = head == [field.name for field in fields(CaptureRow)] and reasons == Counter(manifest.rejections)
    return same and all(manifest.totals.get(key) == value for key, value in sums.items())
