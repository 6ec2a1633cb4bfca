"""Names that stand in files are names: they lead nowhere but where they stand."""

from __future__ import annotations

import os
import re
from typing import Any

from dped_data.errors import InputError

_MOST_BYTES, _MOST_PATH_BYTES = 255, 4096
"""What file systems take: bytes of one name, and of a whole path."""
_SEPARATORS = re.compile(r"/" if os.sep == "/" else r"[/\\]")
_SHOWN = 80


def plain_name(text: Any, where: str, error: type[InputError] = InputError) -> str:
    """Return `text` if it can name a folder that is made: one part of a path, of printable characters.

    Args:
        text: what a file or a flag says.
        where: the file and the field, or the flag, for the message.
        error: what is raised.
    """
    fault = name_fault(text)
    if fault is None and ("\\" in text or re.match("[A-Za-z]:", text)):
        fault = "a separator or a drive is not allowed"
    if fault is None and any(ord(letter) < 32 or 127 <= ord(letter) < 160 for letter in text):
        fault = "control characters are not allowed"
    if fault is not None:
        raise error(f"{where} {shown(text)} is not a plain name ({fault}); give one without separators, such as 'sony'")
    return str(text)


def path_inside(text: Any, where: str) -> str:
    """Return `text` if it is a relative path, with "/" between folders, that stays inside the folder it belongs to.

    Photos have whatever names their file system takes, control characters included.
    """
    fault = "not text"
    if isinstance(text, str):
        faults = (name_fault(part) for part in _SEPARATORS.split(text))
        fault = next((found for found in faults if found is not None), "")
        if os.sep == "\\" and re.match("[A-Za-z]:", text):
            fault = fault or "a drive is not allowed"
        if not fault and len(text.encode()) > _MOST_PATH_BYTES:
            fault = f"{len(text.encode())} bytes, at most {_MOST_PATH_BYTES} are allowed"
    if fault:
        raise InputError(
            f"{where} {shown(text)} leads out of its folder or is no path ({fault}); use the file as it was written"
        )
    return str(text)


def name_fault(text: Any) -> str | None:
    """Say in a few words why `text` is not one part of a path; None where it is."""
    if not isinstance(text, str):
        return "not text"
    if text in ("", ".", ".."):
        return "it is empty or leads elsewhere"
    if _SEPARATORS.search(text) or "\0" in text:
        return "a separator is not allowed"
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        return "it cannot be stored as UTF-8"
    return None if size <= _MOST_BYTES else f"{size} bytes, at most {_MOST_BYTES} are allowed"


def shown(value: Any) -> str:
    """Return a value of somebody's file as a short piece of one line, without control characters."""
    text = repr(value[:_SHOWN] if isinstance(value, str | bytes) else value)
    return text if len(text) <= 2 * _SHOWN else f"{text[: 2 * _SHOWN]}…"
