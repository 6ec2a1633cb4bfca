"""The pairs of a shard as a Parquet file, as `datasets.load_dataset` and the Hugging Face Hub read and show them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from dped_data.errors import InputError

FOLDER = "data"
SPLIT_NAMES = {"train": "train", "val": "validation", "test": "test"}
"""As the Hub calls them."""
_ROWS = 500
"""Ours: pairs in a row group, some 20 MB; the Hub's viewer reads whole ones."""
_COLUMNS = {
    "name": "string",
    "capture_id": "string",
    "phone_file": "string",
    "dslr_file": "string",
    "x": "int32",
    "y": "int32",
    "ncc": "float32",
    "error_px": "float32",
}


def check_parquet_installed() -> None:
    """Raise InputError where pyarrow is missing."""
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        raise InputError("pyarrow: not installed, Parquet needs it; pip install 'dped[parquet]'") from None


def parquet_path(split: str, number: int, count: int) -> str:
    """Where a shard's file lies in the folder, by the Hub's convention."""
    return f"{FOLDER}/{SPLIT_NAMES[split]}-{number:05d}-of-{count:05d}.parquet"


def write_parquet(
    path: Path, rows: Iterable[Mapping[str, Any]], images: Iterable[tuple[bytes, ...]], names: Sequence[str]
) -> None:
    """Write one file.

    Args:
        path: the file.
        rows: the columns of each pair beside its images, see `_COLUMNS`, and with mosaics `mosaic_facts`, JSON; None is
            unknown.
        images: the phone's and the DSLR's patch of each pair, encoded, and where there are any its mask and mosaic.
        names: of the images, with the suffix of their format: "phone.png", "dslr.png", "valid.png", "mosaic.png".
    """
    import pyarrow
    from pyarrow import parquet

    image = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])
    columns = [name.split(".")[0] for name in names]
    others = _COLUMNS | ({"mosaic_facts": "string"} if "mosaic" in columns else {})
    fields = [
        *((column, image) for column in columns),
        *((name, getattr(pyarrow, kind)()) for name, kind in others.items()),
    ]
    features = json.dumps({"info": {"features": _features(columns, others)}})
    schema = pyarrow.schema(fields, metadata={"huggingface": features})
    with parquet.ParquetWriter(path, schema) as writer:
        pairs = zip(rows, images, strict=True)
        while part := list(islice(pairs, _ROWS)):
            table = [
                {
                    **{
                        column: {"bytes": encoded, "path": f"{row['name']}.{name}"}
                        for column, name, encoded in zip(columns, names, pair, strict=True)
                    },
                    **{name: row[name] for name in others},
                }
                for row, pair in part
            ]
            writer.write_table(pyarrow.Table.from_pylist(table, schema))


def _features(images: Sequence[str], others: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """What `datasets` is told of the columns: which are images."""
    shown = {name: {"_type": "Image"} for name in images}
    return shown | {name: {"dtype": kind, "_type": "Value"} for name, kind in others.items()}
