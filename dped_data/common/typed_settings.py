"""Settings as frozen dataclasses: declare, read from TOML and flags, check, digest.

A settings class holds scalar fields made by `setting` and nested settings classes ("sections").
Field names are unique over all sections, so that each has one flat command-line flag.
"""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import json
import math
import tomllib
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from dped_data.common.foreign_files import read_limited
from dped_data.common.names import shown
from dped_data.errors import UsageError

S = TypeVar("S")

_MOST_TOML_BYTES, _MOST_TOML_LINE = 2**16, 1000
"""Ours: a file of all settings with their help takes 8 KB. The parser's time and memory grow with the square of a key's
dots, so that it is the line that is bounded."""
_MOST_INTEGER = 2**63 - 1


def setting(default: Any, help: str, *, minimum: float | None = None, maximum: float | None = None) -> Any:
    """Declare a settings field with its default, its help text (lower case, with the unit) and its allowed range."""
    return dataclasses.field(default=default, metadata={"help": help, "minimum": minimum, "maximum": maximum})


@dataclass(frozen=True)
class FrozenDefaults:
    """What records on disk leave unsaid, for the `frozen_defaults` of a settings class; added to, never edited.

    Attributes:
        format_version: of the records.
        first: key -> default of the settings that this format version knew from the start. Records hold all of them.
        added: key -> default, as it was on the day, of the settings added since. Records hold those that differ.
    """

    format_version: int
    first: Mapping[str, Any]
    added: Mapping[str, Any]


@dataclass(frozen=True)
class SettingField:
    """One scalar setting as the command line and the docs need it; `section` is "" at the top level."""

    section: str
    name: str
    type: Any
    default: Any
    help: str
    minimum: float | None
    maximum: float | None

    @property
    def choices(self) -> tuple[str, ...]:
        """Allowed values of a Literal setting, else ()."""
        return tuple(get_args(self.type)) if get_origin(self.type) is Literal else ()

    @property
    def type_name(self) -> str:
        """The type as a person reads it."""
        return " | ".join(self.choices) if self.choices else self.type.__name__

    @property
    def key(self) -> str:
        """The name in a TOML file: section.name."""
        return f"{self.section}.{self.name}" if self.section else self.name

    def check(self, value: Any, where: str) -> Any:
        """Return `value` as this setting's type; UsageError names `where`, the key, the value and what is allowed."""
        if type(value) is int and abs(value) > _MOST_INTEGER:
            raise UsageError(f"{where}: {self.key} is an integer of more than 64 bits; give a smaller one")
        value = float(value) if self.type is float and type(value) is int else value
        if self.choices:
            if value not in self.choices:
                raise UsageError(f"{where}: {self.key} = {shown(value)} is not one of {', '.join(self.choices)}")
        elif type(value) is not self.type:
            raise UsageError(
                f"{where}: {self.key} = {shown(value)} is {type(value).__name__}, expected {self.type_name}"
            )
        if self.minimum is not None and not value >= self.minimum:
            raise UsageError(f"{where}: {self.key} = {value} is below the least allowed {self.minimum:g}")
        if self.maximum is not None and not value <= self.maximum:
            raise UsageError(f"{where}: {self.key} = {value} is above the most allowed {self.maximum:g}")
        if isinstance(value, float) and not math.isfinite(value):
            raise UsageError(f"{where}: {self.key} = {value} is not a number; give a finite one")
        return value


def setting_fields(cls: type) -> Iterator[SettingField]:
    """Yield every scalar setting of `cls` and of its sections, in the order of declaration."""
    yield from _fields(cls, "")


def _fields(cls: type, section: str) -> Iterator[SettingField]:
    hints = get_type_hints(cls)
    for f in dataclasses.fields(cls):
        if "help" in f.metadata:
            yield SettingField(section, f.name, hints[f.name], f.default, **f.metadata)
        elif not section and _is_section(hints[f.name]):
            yield from _fields(hints[f.name], f.name)


def _is_section(hint: Any) -> bool:
    return dataclasses.is_dataclass(hint) and any("help" in f.metadata for f in dataclasses.fields(hint))


def read_toml(path: Path) -> dict[str, Any]:
    """Parse a TOML file; UsageError names the file and the fault."""
    try:
        text = read_limited(path, _MOST_TOML_BYTES).decode()
        if (longest := max(map(len, text.splitlines()), default=0)) > _MOST_TOML_LINE:
            raise ValueError(f"a line of {longest} characters, at most {_MOST_TOML_LINE} are allowed")
        return tomllib.loads(text)
    except FileNotFoundError:
        raise UsageError(f"{path}: no such file; pass an existing TOML file") from None
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"{path}: not a readable TOML file ({error})") from None


def load_settings(
    base: S, table: Mapping[str, Any], source: str, flags: Mapping[str, Any], tables: Iterable[str] = ()
) -> S:
    """Return `base` with the values of a TOML table, then of flat flags, put over it.

    Args:
        base: a settings object that holds the defaults.
        table: parsed TOML without the keys that are not settings; sections are sub-tables.
        source: the table's file, for messages.
        flags: field name -> value; None means "not given".
        tables: further tables that the file may have, for others to read.
    Raises:
        UsageError: for an unknown table or key (with the nearest known one), a wrong type, or a value out of range.
    """
    known = {f.key: f for f in setting_fields(type(base))}
    by_name = {f.name: f for f in known.values()}
    values: dict[str, Any] = {}
    sections = {f.section for f in known.values()} - {""}
    check_tables(table, {*sections, *tables}, source)
    for key, value in _flatten(table, sections):
        if key not in known:
            raise UsageError(f"{source}: unknown setting {shown(key)}{_nearest(key, known)}")
        values[key] = known[key].check(value, source)
    for name, value in flags.items():
        if value is not None:
            values[by_name[name].key] = by_name[name].check(value, f"--{name.replace('_', '-')}")
    return _replace(base, values)


def check_tables(table: Mapping[str, Any], known: Collection[str], source: str) -> None:
    """Raise UsageError where a TOML file has a table that is none of the known ones; it names the nearest of them."""
    for key, value in table.items():
        if isinstance(value, Mapping) and key not in known:
            raise UsageError(f"{source}: unknown table {shown(f'[{key}]')}{_nearest(key, known)}")


def _flatten(table: Mapping[str, Any], sections: set[str]) -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        if isinstance(value, Mapping) and key in sections:
            yield from ((f"{key}.{name}", inner) for name, inner in value.items())
        else:
            yield key, value


def _nearest(key: str, known: Collection[str]) -> str:
    near = difflib.get_close_matches(key, sorted(known), n=1, cutoff=0.4)
    return f"; did you mean '{near[0]}'?" if near else "; docs/settings.md lists all settings"


def _replace(base: S, values: Mapping[str, Any]) -> S:
    top = {key: value for key, value in values.items() if "." not in key}
    for section in sorted({key.split(".")[0] for key in values if "." in key}):
        inner = {key.split(".")[1]: value for key, value in values.items() if key.startswith(f"{section}.")}
        top[section] = dataclasses.replace(getattr(base, section), **inner)
    return dataclasses.replace(base, **top)  # type: ignore[type-var]


def settings_dict(settings: Any) -> dict[str, Any]:
    """Return the settings as they are recorded, digested and compared: plain nested dicts, lists and scalars.

    Where their class has `frozen_defaults`, a setting that was added to a format version stands there only if it
    differs from the default it came with: at this default, records are those of before it was added.
    """
    table: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(settings)))
    frozen: FrozenDefaults | None = getattr(settings, "frozen_defaults", None)
    if frozen is None:
        return table
    for field in setting_fields(type(settings)):
        section = table[field.section] if field.section else table
        if field.key not in frozen.first and section[field.name] == frozen.added.get(field.key, field.default):
            del section[field.name]
    return {key: value for key, value in table.items() if value != {}}


def recorded_settings(cls: type[S], table: Mapping[str, Any], source: str) -> S:
    """Return the settings that `settings_dict` recorded: what a record leaves unsaid has the default it came with.

    Raises:
        UsageError: an unknown key, a wrong type, or a value out of range, as in `load_settings`.
    """
    frozen: FrozenDefaults | None = getattr(cls, "frozen_defaults", None)
    defaults = {**frozen.first, **frozen.added} if frozen else {}
    unsaid = {key.rpartition(".")[2]: value for key, value in defaults.items()}
    return load_settings(load_settings(cls(), {}, source, unsaid), table, source, {})


def settings_toml(settings: Any, title: str) -> str:
    """Return the settings as a TOML file that `load_settings` reads, each with its help above it."""
    lines, section = [f"# {title}"], ""
    for field in sorted(
        setting_fields(type(settings)), key=lambda field: field.section != ""
    ):  # TOML wants these first
        if field.section != section:
            lines += ["", f"[{field.section}]"]
            section = field.section
        value = getattr(getattr(settings, field.section) if field.section else settings, field.name)
        lines += ["", f"# {field.help}", f"{field.name} = {toml_value(value)}"]
    return "\n".join(lines) + "\n"


def toml_value(value: bool | float | str) -> str:
    """Return a scalar as TOML writes it; text also serves as a key."""
    if isinstance(value, bool):
        return str(value).lower()
    # JSON writes strings as TOML reads them, but for one control character
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def digest_of(settings: Mapping[str, Any], format_version: int) -> str:
    """Return the sha256 (hexadecimal) of settings as sorted JSON together with the format version."""
    text = json.dumps({"format_version": format_version, "settings": settings}, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def changed_settings(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> list[str]:
    """List the differences between two settings dicts as "key: old -> new" lines, sorted by key.

    A setting that one of them does not hold is "not recorded" there: it has the default that it came with.
    """
    lines: list[str] = []
    for key in sorted({*old, *new}):
        before, after = old.get(key), new.get(key)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            lines += changed_settings(before, after, f"{prefix}{key}.")
        elif before != after:
            told = (json.dumps(table[key]) if key in table else "not recorded" for table in (old, new))
            lines.append(f"{prefix}{key}: {' -> '.join(told)}")
    return lines
