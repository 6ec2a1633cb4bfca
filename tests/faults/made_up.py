"""Sound containers with made-up content: shards, JSON documents and tables whose fields, types and sizes are untrue."""

from __future__ import annotations

import copy
import csv
import io
import json
from collections.abc import Callable
from random import Random
from typing import Any

import h5py
import numpy as np

from dped_data.align.records import WINDOW_REASONS

Edit = Callable[[h5py.File], None]
BILLION = 10**9
_COLUMNS = ("phone", "dslr", "phone_xy", "dslr_xy", "shift_px", "angle_deg", "ncc", "error_px", "capture", "flat")
_WINDOWS = ("window_xy", "window_reason", "window_capture")
_CAPTURES = ("captures", "phone_file", "dslr_file", "phone_sha256", "phone_size_wh", "dslr_size_wh", "homography")
_PAIR = np.dtype([("x", np.int32), ("y", np.int32)])
_EXTREME = (-1, 0, 1, 7, 255, 2**31 - 1, -(2**31), np.nan, np.inf, -1e308, 1e308)
_NAMES = ("", ".", "..", "../x", "/etc/passwd", "a/../../x", "a\0b", "a" * 5000, "\x1b[2Ja", "é\r\n", "=1+1")
_TEXT = h5py.string_dtype("utf-8")
_NOT_WRITTEN = (LookupError, ValueError, TypeError, OSError, ArithmeticError, AttributeError, RuntimeError, MemoryError)
"""What h5py raises where it does not write what is asked for."""
_ATTRIBUTES = ("format", "format_version", "digest", "unit", "settings", "alignment")


def edited(shard: bytes, edit: Edit) -> bytes:
    """Return a shard after `edit`."""
    data = io.BytesIO(shard)
    with h5py.File(data, "r+", libver=("v110", "v110")) as file:
        edit(file)
    return data.getvalue()


def removed(name: str) -> Edit:
    """Without a dataset."""
    return lambda file: file.__delitem__(name)


def replaced(name: str, make: Callable[[h5py.Dataset], Any], **options: Any) -> Edit:
    """With another dataset of that name, made of the old one."""

    def edit(file: h5py.File) -> None:
        data = make(file[name])
        del file[name]
        file.create_dataset(name, data=data, **options)

    return edit


def declared(name: str, length: int, **options: Any) -> Edit:
    """With so many rows of which nothing is stored."""

    def edit(file: h5py.File) -> None:
        kind, shape = file[name].dtype, file[name].shape
        del file[name]
        file.create_dataset(name, (length, *shape[1:]), kind, **options)

    return edit


def filled(name: str, value: Any) -> Edit:
    """With one value everywhere."""

    def edit(file: h5py.File) -> None:
        with np.errstate(all="ignore"):
            file[name][...] = value if isinstance(value, str) else np.asarray(value).astype(file[name].dtype)

    return edit


def grouped(name: str) -> Edit:
    """With a group in place of a dataset."""

    def edit(file: h5py.File) -> None:
        del file[name]
        file.create_group(name)["inside"] = 1

    return edit


def attributed(name: str, value: Any) -> Edit:
    """With another attribute."""
    return lambda file: file.attrs.__setitem__(name, value)


def all_windows(length: int, **options: Any) -> Edit:
    """So many windows in all three of their datasets."""

    def edit(file: h5py.File) -> None:
        for name in _WINDOWS:
            declared(name, length, **options)(file)

    return edit


def one_text_a_thousand_times(file: h5py.File) -> None:
    """Ids that all refer to one long text."""
    replaced("captures", lambda d: ["x" * 60_000], dtype=_TEXT)(file)


def made_up_shards() -> dict[str, Edit]:
    """Untrue shards by name; every one must be refused."""
    shorter = {f"{name} has one row less": replaced(name, lambda d: d[:-1]) for name in (*_COLUMNS, *_WINDOWS)}
    fewer = {f"{name} has a capture less": replaced(name, lambda d: d[:-1]) for name in _CAPTURES if name != "captures"}
    gone = {f"no {name}": removed(name) for name in (*_COLUMNS[:9], *_WINDOWS, "captures")}
    groups = {f"{name} is a group": grouped(name) for name in ("phone", "captures", "window_xy", "homography", "flat")}
    flat = {f"{name} is flat": replaced(name, lambda d: d[:].ravel()) for name in ("phone_xy", "window_xy", "dslr_xy")}
    huge = {f"{name} declares 10^9": declared(name, BILLION, chunks=True) for name in ("capture", "ncc", "captures")}
    values = {
        f"{name} is {value}": filled(name, value)
        for name, value in (
            *(("capture", v) for v in (-1, 2, 2**31 - 1)),
            *(("window_capture", v) for v in (-1, 2, -(2**31))),
            *(("window_reason", v) for v in (len(WINDOW_REASONS), 255)),
            *(("phone_xy", v) for v in (-2, 60_000, 2**20, 2**31 - 1)),
            *(("window_xy", v) for v in (-(2**31), 2**30)),
            *(("phone_size_wh", v) for v in (-5, 1, 30_000, 2**20, 2**31 - 1)),
            *(("dslr_size_wh", v) for v in (-1, 30_000, 2**20)),
        )
    }
    names = {
        f"a capture is {text[:20]!r}": replaced("captures", lambda d, t=text: [t, "b"], dtype=_TEXT)
        for text in _NAMES
        if "\0" not in text and text not in ("=1+1", "é\r\n", "\x1b[2Ja")
    }
    photos = {
        f"a {name} is outside": replaced(name, lambda d: ["../private/x.jpg", "b"], dtype=_TEXT)
        for name in ("phone_file", "dslr_file")
    }
    return {
        **shorter, **fewer, **gone, **groups, **flat, **huge, **values, **names, **photos,
        "two captures of one name": replaced("captures", lambda d: ["a", "a"], dtype=_TEXT),
        "captures are numbers": replaced("captures", lambda d: np.arange(2)),
        "captures are not UTF-8": replaced("captures", lambda d: [b"\xff\xfe", b"b"], dtype=_TEXT),
        "captures are one text": replaced("captures", lambda d: "ab", dtype=_TEXT),
        "captures are lists": replaced("captures", lambda d: np.array([np.arange(3), np.arange(2)], object),
                                       dtype=h5py.vlen_dtype(np.int32)),
        "captures are references": replaced("captures", lambda d: [d.file.ref, d.file.ref], dtype=h5py.ref_dtype),
        "no captures": replaced("captures", lambda d: np.empty(0, object), dtype=_TEXT),
        "an endless capture": one_text_a_thousand_times,
        "phone is grey": replaced("phone", lambda d: d[:, :, :, 0]),
        "phone is float": replaced("phone", lambda d: d[:].astype(np.float32)),
        "phone is long": replaced("phone", lambda d: d[:, :, :8]),
        "patches of no size": lambda f: [replaced(n, lambda d: d[:, :0, :0])(f) for n in ("phone", "dslr")] and None,
        "10^9 windows": all_windows(BILLION, chunks=True),
        "10^9 windows in one piece": all_windows(BILLION),
        "10^9 windows by their fill value": all_windows(BILLION, chunks=True, fillvalue=1),
        "10^7 packed windows": lambda f: [
            replaced(n, lambda d: np.zeros((10**7, *d.shape[1:]), d.dtype), compression="gzip")(f) for n in _WINDOWS
        ] and None,
        "a billion patches": lambda f: [declared(n, BILLION, chunks=(1, 16, 16, 3))(f) for n in ("phone", "dslr")]
        and None,
        "ncc in huge chunks": replaced("ncc", lambda d: d[:], chunks=(2**28,), maxshape=(None,), compression="gzip"),
        "ncc by another filter": replaced("ncc", lambda d: d[:], chunks=True, scaleoffset=4),
        "ncc is nothing": replaced("ncc", lambda d: h5py.Empty("f4")),
        "ncc is one number": replaced("ncc", lambda d: np.float32(1)),
        "ncc is compound": replaced("ncc", lambda d: np.zeros(d.shape, _PAIR)),
        "ncc is big-endian": replaced("ncc", lambda d: d[:].astype(">f4")),
        "capture is float": replaced("capture", lambda d: d[:].astype(float)),
        "flat is numbers": replaced("flat", lambda d: d[:].astype(np.int8)),
        "flat is an enum": replaced("flat", lambda d: d[:].astype(np.int8),
                                    dtype=h5py.enum_dtype({"no": 0, "yes": 1, "maybe": 2}, basetype="i1")),
        "homography is 2x3": replaced("homography", lambda d: d[:, :2]),
        "homography is text": replaced("homography", lambda d: ["a", "b"], dtype=_TEXT),
        "format is an array": attributed("format", np.zeros(3)),
        "format_version is a list": attributed("format_version", [1, 1]),
        "format_version is text": attributed("format_version", "1"),
    }  # fmt: skip


def odd_shards() -> dict[str, Edit]:
    """Shards whose figures are odd and whose layout is sound: read or refused, as it comes."""
    return {
        **{f"{name} is {value}": filled(name, value)
           for name in ("ncc", "error_px", "shift_px", "angle_deg", "dslr_xy", "homography")
           for value in (np.nan, np.inf, -1e308, 1e308)},
        **{f"{name} is {value!r}": attributed(name, value)
           for name in ("digest", "unit", "settings") for value in (5, "../../x", "a\nb", [1, 2])},
        **{f"a capture is {text!r}": replaced("captures", lambda d, t=text: [t, "b"], dtype=_TEXT)
           for text in ("=1+1", "é\r\n", "\x1b[2Ja")},
        **{f"without {name}": removed(name) for name in (*_CAPTURES[1:], "flat")},
        "phone is a place": filled("phone_xy", 2**20),
        "packed": lambda f: [replaced(n, lambda d: d[:], compression="gzip")(f) for n in ("phone", "ncc")] and None,
    }  # fmt: skip


def mutate_shard(data: bytes, rng: Random) -> bytes:
    """Return a shard with one or two of its datasets or attributes made up."""
    for _ in range(rng.choice((1, 1, 2))):
        try:
            data = edited(data, _random_edit(rng))
        except (
            LookupError,
            ValueError,
            TypeError,
            OSError,
            ArithmeticError,
            AttributeError,
            RuntimeError,
            MemoryError,
        ):
            continue  # what h5py does not write
    return data


def _random_edit(rng: Random) -> Edit:
    name, seed = rng.choice((*_COLUMNS, *_WINDOWS, *_CAPTURES)), rng.randrange(2**32)
    kinds: list[Edit] = [
        removed(name),
        grouped(name),
        filled(name, rng.choice(_EXTREME)),
        declared(name, rng.choice((0, 1, 4, 10**6, BILLION)), chunks=rng.choice((None, True)),
                 fillvalue=rng.choice((None, 1))),
        replaced(name, lambda d: d[:].astype(rng.choice(("u1", "i4", "f4", "f8", "i8", "S5", ">i4", "?")))),
        replaced(name, lambda d: d[:].reshape(-1)),
        replaced(name, lambda d: d[:][None]),
        replaced(name, lambda d: np.repeat(d[:], rng.choice((0, 2, 100)), axis=0)),
        replaced(name, lambda d: d[:-1]),
        replaced(name, lambda d: np.zeros(d.shape[0], _PAIR)),
        replaced(name, lambda d: h5py.Empty("f4")),
        replaced(name, lambda d: d[:], compression=rng.choice(("gzip", "lzf")), shuffle=rng.choice((True, False))),
        replaced(name, lambda d: d[:], chunks=(rng.choice((1, 2, 2**20)), *[1] * 3)[:1], maxshape=(None,)),
        replaced(name, lambda d: np.random.default_rng(seed).permutation(d[:].ravel()).reshape(d.shape)),
        replaced(name, lambda d: [rng.choice(_NAMES) for _ in range(d.shape[0])], dtype=_TEXT),
        replaced(rng.choice(_CAPTURES[:3]), lambda d: [rng.choice(_NAMES) for _ in d], dtype=_TEXT),
        attributed(rng.choice(_ATTRIBUTES), rng.choice((0, 1, 2, -1, "x", "../x", "a\nb", [1, 2], 1.5, b"\xff"))),
    ]  # fmt: skip
    return rng.choice(kinds)


_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2, 2**31, 2**63, 10**30, 0.5, -0.0, 1e308, float("nan"), float("inf")),
    *([], {}, [None], [[]], [1, 2, 3], {"a": 1}, [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]),
    *("", "x", "nan", "1", "train", "kept", "../../outside", "/etc/passwd", "C:\\x", "a/b", "a\0b", "a\nb", "\ud800"),
    *("a" * 5000, "\x1b[2J", "\u202e"),
)


def mutate_json(data: bytes, rng: Random) -> bytes:
    """Return a JSON document with one to three of its values made up, removed, added or moved."""
    document = json.loads(data)
    for _ in range(rng.choice((1, 1, 2, 3))):
        place = _place(document, rng)
        if place is None:
            return json.dumps(rng.choice(_VALUES)).encode()
        parent, key = place
        match rng.randrange(6):
            case 0 if isinstance(parent, dict):
                del parent[key]
            case 1 if isinstance(parent, list):
                parent[key:key] = copy.deepcopy([parent[key]] * rng.choice((1, 50)))
            case 2 if isinstance(parent, dict):
                parent[rng.choice(("x", "", "../x", "phone", "a" * 300))] = copy.deepcopy(parent[key])
            case 3 if (other := _place(document, rng)) is not None:
                parent[key] = json.loads(json.dumps(other[0][other[1]]))
            case _:
                parent[key] = copy.deepcopy(rng.choice(_VALUES))  # it may be changed in turn
    return json.dumps(document).encode()


def _place(document: Any, rng: Random) -> tuple[Any, Any] | None:
    """A container somewhere in a document, and a key of it."""
    places: list[tuple[Any, Any]] = []
    waiting = [document]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict | list):
            keys = [*one] if isinstance(one, dict) else [*range(len(one))]
            places += [(one, key) for key in keys]
            waiting += [one[key] for key in keys]
    return rng.choice(places) if places else None


_CELLS = (
    *("", " ", "0", "-1", "1", "nan", "inf", "-inf", "1e999", "1e400", "99999999999999999999", "0.5", "1_0", "²", "١"),
    *("kept", "train", "../../x", "/etc/passwd", "a\0b", "a\r", "a\nb", "=1+1", "'", "''", "'=x", '"', "a,b", "é"),
    *("a" * 200_000, "\ufeff", "\x1b[2J"),
)


def mutate_cells(data: bytes, rng: Random) -> bytes:
    """Return a CSV table with some cells, columns or rows made up."""
    rows = [*csv.reader(io.StringIO(data.decode(), newline=""))]
    for _ in range(rng.choice((1, 2, 4))):
        row = rng.choice(rows)
        match rng.randrange(6):
            case 0:
                row.insert(rng.randrange(len(row) + 1), rng.choice(_CELLS))
            case 1 if row:
                del row[rng.randrange(len(row))]
            case 2:
                rows.insert(rng.randrange(len(rows) + 1), [*rng.choice(rows)])
            case _ if row:
                row[rng.randrange(len(row))] = rng.choice((*_CELLS, rng.choice(rng.choice(rows) or [""])))
    text = io.StringIO(newline="")
    quoting = rng.choice((csv.QUOTE_ALL, csv.QUOTE_ALL, csv.QUOTE_MINIMAL))
    csv.writer(text, quoting=quoting, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()
