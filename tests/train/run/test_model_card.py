"""The card of a run: what hubs read, and figures that are those of the run."""

from __future__ import annotations

from pathlib import Path

import yaml
from make_shards import make_dataset

from dped_data.dataset.store import PatchStore
from dped_train.run.model_card import write_model_card
from dped_train.settings import TrainSettings
from dped_train.train import train

SMALL = TrainSettings(steps=2, batch_size=2, content_weight=0, texture_weight=0, device="cpu", precision="fp32")


def test_a_run_writes_its_card(tmp_path: Path) -> None:
    make_dataset(tmp_path / "data" / "sony", train=6, val=2, test=0)
    report = train(tmp_path / "data", None, tmp_path / "runs", SMALL)
    text = (report.folder / "README.md").read_text()
    metadata = yaml.safe_load(text.split("---\n")[1])
    assert (metadata["license"], metadata["pipeline_tag"]) == ("unknown", "image-to-image")
    (result,) = metadata["model-index"][0]["results"]
    assert result["task"] == {"type": "image-to-image"} and result["dataset"]["name"] == "sony and canon photo patches"
    values = {metric["type"]: metric["value"] for metric in result["metrics"]}
    assert report.val_psnr is not None and report.val_ms_ssim is not None
    assert values == {"psnr": round(report.val_psnr, 4), "ms-ssim": round(report.val_ms_ssim, 4)}
    assert f"untouched phone patches have {report.phone_psnr:.2f} dB" in text
    assert "6 pairs of 32x32 pixels" in text and "2 of 2 steps with batches of 2" in text
    assert "content_weight: -1.0 -> 0" in text and str(tmp_path) not in text


def test_a_resumed_run_keeps_the_licence_and_brings_the_figures_up_to_date(tmp_path: Path) -> None:
    store = PatchStore(make_dataset(tmp_path / "sony", train=6, val=2, test=0), "train")
    assert write_model_card(tmp_path, SMALL, store, 1, {}, None, "abc")
    card = tmp_path / "README.md"
    assert "None: the dataset has no validation patches." in card.read_text()
    assert "model-index" not in card.read_text()
    card.write_text(card.read_text().replace("license: unknown", "license: cc-by-nc-4.0"))
    assert write_model_card(tmp_path, SMALL, store, 2, {"val_psnr": 21.5, "val_ms_ssim": 0.9}, 20.0, "abc")
    metadata = yaml.safe_load(card.read_text().split("---\n")[1])
    assert metadata["license"] == "cc-by-nc-4.0"
    assert metadata["model-index"][0]["results"][0]["metrics"][0]["value"] == 21.5
