"""CSV tables: every cell quoted, no cell a formula, read back exactly as written.

Spreadsheets run a cell that begins with =, +, -, @, a tab or a carriage return as a formula. Text that does so, or that
begins with an apostrophe, gets an apostrophe in front, which reading takes off again. Whether a table is written so is
told by its first byte, a quotation mark: tables of earlier versions and of spreadsheets are read as they stand.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

MARK = "\ufeff"
"""Spreadsheet programs write it in front of UTF-8."""
_ESCAPED = ("=", "+", "-", "@", "\t", "\r", "'")


def csv_text(header: Sequence[str], rows: Iterable[Iterable[object]]) -> str:
    """Return a table as text. Only text is escaped: numbers are passed as numbers, formatted ones as `Formatted`."""
    return "".join(csv_line(row) for row in (header, *rows))


def csv_line(cells: Iterable[object], *, escaped: bool = True, separator: str = ",") -> str:
    """Return one row as text; not `escaped`, with another separator: to go on in a table of another program."""
    text = io.StringIO(newline="")
    row = [_escape(cell) if escaped else cell for cell in cells]
    csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n", delimiter=separator).writerow(row)
    return text.getvalue()


class Formatted(str):
    """A number that is formatted already: it may begin with a minus."""

    __slots__ = ()


def _escape(cell: object) -> object:
    escaped = isinstance(cell, str) and not isinstance(cell, Formatted) and cell.startswith(_ESCAPED)
    return f"'{cell}" if escaped else cell


def is_escaped(text: str) -> bool:
    """Whether the text of a table is escaped, by its first byte; one that is yet to be begun will be."""
    return not text or text.removeprefix(MARK).startswith('"')


def separator_of(text: str) -> str:
    """Return what stands between the cells of a table, by its first line: spreadsheets write ; or tabs, too."""
    first = (text.splitlines() or [""])[0]
    return max((",", ";", "\t"), key=first.count)


@dataclass(frozen=True)
class Table:
    """A table that is being read: the columns of its header, and its rows, each with the line on which it ends."""

    columns: tuple[str, ...]
    rows: Iterator[tuple[int, Mapping[str, str | None]]]


def read_table(text: str, *, strict: bool = True, separator: str = ",") -> Table:
    """Return a table that `csv_text` or an earlier version wrote; rows are read as they are asked for.

    A row that is too short has None in its last cells; what is too much in a row is left out.

    Raises:
        ValueError: no table, also while rows are read; the message names the line. `strict` is for tables that appear
            whole or not at all.
    """
    reader = csv.reader(io.StringIO(text.removeprefix(MARK), newline=""), strict=strict, delimiter=separator)
    escaped = is_escaped(text)
    columns = tuple(_read_cell(cell, escaped) for cell in _next(reader) or ())
    if len(columns) != len({*columns}):
        raise ValueError("line 1: a column stands twice")
    return Table(columns, _rows(reader, columns, escaped))


def _rows(reader: Any, columns: tuple[str, ...], escaped: bool) -> Iterator[tuple[int, Mapping[str, str | None]]]:
    while (cells := _next(reader)) is not None:
        if cells:
            values = [_read_cell(cell, escaped) for cell in cells]
            yield reader.line_num, dict(zip_longest(columns, values[: len(columns)]))


def _next(reader: Any) -> tuple[str, ...] | None:
    try:
        return tuple(next(reader))
    except StopIteration:
        return None
    except csv.Error as error:
        raise ValueError(f"line {reader.line_num}: {error}") from None


def _read_cell(cell: str, escaped: bool) -> str:
    return cell[1:] if escaped and cell.startswith("'") and cell[1:].startswith(_ESCAPED) else cell
