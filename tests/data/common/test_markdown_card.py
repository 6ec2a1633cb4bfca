"""Cards: metadata that hubs can read, figures that are true, and a person's words that stay."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from small_rig import write_capture, write_rig

from dped_data.build import build_dataset
from dped_data.common.markdown_card import CARD_NAME, NEW_CARD_NAME, Card, quoted, write_card
from dped_data.dataset.card import dataset_card
from dped_data.dataset.manifest import read_manifest
from dped_data.dataset.shards import open_shard
from dped_data.settings import load_build_settings

CARD = Card(("license: unknown",), ("size: 3",), "Title", "Say more.", "Three patches.")


def metadata(folder: Path) -> dict[str, Any]:
    """What a hub reads: the YAML between the first two lines of dashes."""
    loaded = yaml.safe_load((folder / CARD_NAME).read_text().split("---\n")[1])
    assert isinstance(loaded, dict)
    return loaded


def test_a_persons_words_outlive_new_figures(tmp_path: Path) -> None:
    assert write_card(tmp_path, CARD)
    path = tmp_path / CARD_NAME
    edited = path.read_text().replace("unknown", "cc-by-4.0").replace("Say more.", "Taken in **Bern**.") + "\nThanks.\n"
    path.write_text(edited)
    assert write_card(tmp_path, CARD) and path.read_text() == edited
    assert write_card(tmp_path, replace(CARD, metadata=("size: 4", "more: yes"), body="Four patches."))
    assert metadata(tmp_path) == {"license": "cc-by-4.0", "size": 4, "more": True}
    text = path.read_text()
    assert "Taken in **Bern**." in text and text.endswith("\nThanks.\n")
    assert "Four patches." in text and "Three" not in text
    assert not (tmp_path / NEW_CARD_NAME).exists()


@pytest.mark.parametrize("own", ["edited part", "no marks", "not text"])
def test_an_edited_part_is_never_written_over(tmp_path: Path, own: str) -> None:
    write_card(tmp_path, CARD)
    path, beside = tmp_path / CARD_NAME, tmp_path / NEW_CARD_NAME
    fresh = path.read_bytes()
    path.write_bytes(
        {
            "edited part": fresh.replace(b"Three patches.", b"Three fine patches."),
            "no marks": b"# My own page\n",
            "not text": b"\xff\xfe\x00M",
        }[own]
    )
    kept = path.read_bytes()
    assert not write_card(tmp_path, replace(CARD, body="Four patches."))
    assert path.read_bytes() == kept and "Four patches." in beside.read_text()
    path.write_bytes(fresh)
    assert write_card(tmp_path, replace(CARD, body="Five patches."))
    assert "Five patches." in path.read_text() and not beside.exists()


def test_any_text_is_valid_metadata() -> None:
    for text in ('a: b # "c"', "-", "é\n'", "yes"):
        assert yaml.safe_load(f"x: {quoted(text)}") == {"x": text}


def test_a_build_writes_a_card_with_its_figures_and_keeps_the_licence(tmp_path: Path) -> None:
    captures, toml = write_rig(tmp_path, 2)
    settings = load_build_settings(toml, {"patch_size": 64})
    folder = build_dataset(captures, tmp_path / "out", "pocket", settings, jobs=1).folder
    manifest = read_manifest(folder)
    assert metadata(folder)["license"] == "unknown"
    assert metadata(folder)["task_categories"] == ["image-to-image"]
    assert metadata(folder)["size_categories"] == ["n<1K"]
    text = (folder / CARD_NAME).read_text()
    errors = []
    for path in sorted(folder.glob("*/*.h5")):
        with open_shard(path) as file:
            errors.append(file["error_px"][:])
    median, p95 = np.percentile(np.concatenate(errors), [50, 95])
    assert f"median {median:.3f}, 95 % below {p95:.3f}" in text
    totals = manifest.totals
    assert f"{totals['patches']:,} patches of {totals['windows']:,} windows considered" in text
    assert "| pocket | phone: input | 320x240 |" in text and "| slr | DSLR: target | 448x336 |" in text
    assert f"`{manifest.digest}`" in text and str(tmp_path) not in text
    (folder / CARD_NAME).write_text(text.replace("license: unknown", "license: mit"))
    write_capture(captures, 2)
    larger = build_dataset(captures, tmp_path / "out", "pocket", settings, jobs=1).manifest
    text = (folder / CARD_NAME).read_text()
    assert metadata(folder)["license"] == "mit" and f"{larger.totals['patches']:,} patches of" in text
    settings = load_build_settings(toml, {"patch_size": 48})
    build_dataset(captures, tmp_path / "out", "pocket", settings, jobs=1, overwrite=True)
    assert metadata(folder)["license"] == "mit" and "48x48 pixels" in (folder / CARD_NAME).read_text()


def test_imported_patches_say_that_their_error_is_unknown(tmp_path: Path) -> None:
    captures, toml = write_rig(tmp_path, 1)
    manifest = build_dataset(captures, tmp_path / "out", "pocket", load_build_settings(toml, {}), jobs=1).manifest
    imported = replace(manifest, source="imported", settings={}, totals={**manifest.totals, "patches": 250_000})
    card = dataset_card(imported, np.full(3, np.nan, np.float32), {})
    assert "misalignment: unknown" in card.body and "size unknown" in card.body
    assert "made from released patches" in card.body and '- "100K<n<1M"' in card.metadata
