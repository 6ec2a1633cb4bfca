"""Rigs from TOML files (leaf)."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dped_data.common.names import shown
from dped_data.common.typed_settings import load_settings, read_toml
from dped_data.errors import UsageError
from dped_data.settings import BuildSettings, Camera, Rig

_CAMERA_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_SIZE = re.compile(r"([0-9]{1,6})x([0-9]{1,6})")


def load_build_settings(toml: Path | None, flags: Mapping[str, Any]) -> BuildSettings:
    """Return the settings of a build: defaults, then the TOML file, then flags (field name -> value or None).

    The file may hold a table `[rig]` (name, dslr, and `[rig.cameras]` with name = "WIDTHxHEIGHT") and one table
    per stage, named as in docs/settings.md.

    Raises:
        UsageError: for an unknown key, a wrong type, a value out of range, or a rig that is incomplete.
    """
    table = read_toml(toml) if toml else {}
    source = str(toml) if toml else "settings"
    base = BuildSettings()
    if "rig" in table:
        base = dataclasses.replace(base, rig=parse_rig(table.pop("rig"), source))
    return load_settings(base, table, source, flags)


def parse_rig(table: Any, source: str) -> Rig:
    """Return the Rig that a TOML `[rig]` table describes; UsageError names `source`, the key and the cure."""
    if not isinstance(table, Mapping):
        raise UsageError(f"{source}: 'rig' must be a table: [rig] with name, dslr and [rig.cameras]")
    unknown = sorted({*table} - {"name", "dslr", "cameras"})
    if unknown:
        raise UsageError(f"{source}: unknown setting {shown(f'rig.{unknown[0]}')}; a rig has name, dslr and cameras")
    cameras = table.get("cameras")
    if not isinstance(cameras, Mapping) or len(cameras) < 2:
        raise UsageError(f'{source}: rig.cameras must list at least two cameras, each as name = "WIDTHxHEIGHT"')
    dslr, name = table.get("dslr"), table.get("name", "rig")
    if not isinstance(name, str):
        raise UsageError(f"{source}: rig.name = {shown(name)} is {type(name).__name__}, expected str")
    if not isinstance(dslr, str) or dslr not in cameras:
        raise UsageError(f"{source}: rig.dslr = {shown(dslr)} must name one of the cameras: {', '.join(cameras)}")
    return Rig(name, dslr, tuple(_parse_camera(key, size, source) for key, size in cameras.items()))


def _parse_camera(name: str, size: Any, source: str) -> Camera:
    if not _CAMERA_NAME.fullmatch(name):  # it becomes a folder name
        raise UsageError(
            f"{source}: camera name {shown(name)} may hold only letters, digits, '.', '_' and '-', 100 at most"
        )
    match = _SIZE.fullmatch(size) if isinstance(size, str) else None
    if match is None or not (int(match[1]) and int(match[2])):
        raise UsageError(f'{source}: rig.cameras.{name} = {shown(size)} must be a size such as "2592x1944"')
    return Camera(name, int(match[1]), int(match[2]))
