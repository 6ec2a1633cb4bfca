"""Tables 2 and 3: who takes part, what stands beside them, and what is said of the outcome."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import cli
from dped_data.common.typed_settings import setting_fields
from dped_data.errors import InputError, UsageError
from dped_train.evaluate.bootstrap import Figure
from dped_train.reproduction import tables
from dped_train.reproduction.cached_result import kept
from dped_train.reproduction.candidates import added_row, losses, methods, needs_vgg, vgg_missing
from dped_train.reproduction.measure import Row
from dped_train.reproduction.published import PHONES, TABLE_2, TABLE_3
from dped_train.reproduction.report import _flags
from dped_train.reproduction.settings import QUICK, ReproduceSettings
from dped_train.reproduction.tables import Table, ssim_verdict, table_text
from dped_train.run.methods import recipe_of
from dped_train.settings import TrainSettings


def _row(label: str, published: str, ssim: float, spread: float = 0.002) -> Row:
    figure = Figure(ssim, ssim - spread, ssim + spread)
    return Row(label, label, published, None, Figure(20, 19, 21), figure, figure, (), 10, 1.0)


def test_the_four_losses_are_those_of_table_3() -> None:
    recipes = [recipe_of(c.training) for c in losses(ReproduceSettings()) if c.training is not None]
    weights = [(r.colour_weight, r.content_weight, r.texture_weight, r.mse_weight) for r in recipes]
    assert weights == [(0.5, 10, 1, 0), (0, 10, 1, 0), (0, 0, 1, 0.5), (0, 0, 0, 0.5)]
    assert {r.tv_weight for r in recipes} == {2000}
    paper = [recipe_of(c.training) for c in losses(ReproduceSettings(recipe="paper")) if c.training is not None]
    assert [r.mse_weight for r in paper] == [0, 0, 0.1, 0.1]


def test_all_methods_share_one_budget() -> None:
    trained = [c.training for c in (*methods(QUICK, ()), *losses(QUICK)) if c.training is not None]
    assert len({(t.steps, t.batch_size, t.learning_rate, t.crop_px, t.seed) for t in trained}) == 1
    assert [c.name for c in methods(QUICK, ()) if needs_vgg(c)] == ["johnson", "dped"]
    assert [c.name for c in losses(QUICK) if needs_vgg(c)] == ["dped", "content-texture"]


def test_every_row_of_the_paper_has_all_phones() -> None:
    for table in (TABLE_2, TABLE_3):
        assert all(tuple(row) == PHONES for row in table.values())
    assert TABLE_3["Color + Content + Texture"] == TABLE_2["Ours"]


def test_the_paper_stands_beside_its_own_phones_only() -> None:
    row = _row("DPED", "Ours", 0.9)
    known, other = (Table("Table 2", phone, (row,), TABLE_2, ("a note",)) for phone in ("sony", ""))
    beside = known.beside(row)
    assert beside is not None
    assert (beside.psnr, beside.ssim) == (21.81, 0.9437)
    assert other.beside(row) is None
    assert " 21.81 0.9437\n" in table_text(known) and max(map(len, table_text(known).splitlines())) <= 80
    assert "a note" in table_text(known)
    assert "no such phone" in table_text(other)


def test_the_verdict_says_who_is_best_in_ssim_and_why() -> None:
    ours, mse = "Color + Content + Texture", "MSE"
    (won,) = ssim_verdict([_row("DPED", ours, 0.93), _row("MSE", mse, 0.92)], QUICK)
    assert "best in SSIM, as in the paper" in won
    lost = ssim_verdict([_row("DPED", ours, 0.91), _row("MSE", mse, 0.92)], QUICK)
    assert "do not overlap" in lost[0]
    assert lost[1].startswith("Why at this budget: 60 steps of 4 pairs are 0.02%")
    near = ssim_verdict([_row("DPED", ours, 0.9195), _row("MSE", mse, 0.92)], ReproduceSettings())
    assert "may be chance" in near[0]
    assert not any("at this budget" in text for text in near)
    assert "The paper's own table has MSE ahead" in near[1]
    (absent,) = ssim_verdict([_row("MSE", mse, 0.92)], QUICK)
    assert "could not be trained" in absent


def test_without_vgg_the_rest_goes_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tables, "vgg_missing", lambda settings: "none at hand")
    rows, notes = tables.possible(losses(QUICK), QUICK)
    assert [c.name for c in rows] == ["mse-texture", "mse", "dped-no-content"]
    assert "colour + content + texture (DPED); content + texture (none at hand)" in notes[0]
    with pytest.raises(InputError, match="no such VGG weights file"):
        vgg_missing(replace(QUICK, vgg=str(tmp_path / "none.npz")))


def test_a_row_is_a_model_or_a_folder(tmp_path: Path) -> None:
    (tmp_path / "m.safetensors").touch()
    model, folder = added_row(f"My net={tmp_path / 'm.safetensors'}"), added_row(f"Retoucher={tmp_path}")
    assert (model.name, model.label, model.model) == ("row-my-net", "My net", tmp_path / "m.safetensors")
    assert folder.external == tmp_path
    for wrong in ("x", f"={tmp_path}", "x=nowhere"):
        with pytest.raises(UsageError, match="must be NAME=FILE"):
            added_row(wrong)


def test_results_are_kept_until_what_they_depend_on_changes(tmp_path: Path) -> None:
    calls: list[int] = []

    def make() -> dict[str, int]:
        calls.append(1)
        return {"calls": len(calls)}

    path, kind = tmp_path / "results" / "a.json", dict[str, int]
    assert kept(path, {"model": "1"}, make, kind) == kept(path, {"model": "1"}, make, kind) == {"calls": 1}
    assert kept(path, {"model": "2"}, make, kind) == {"calls": 2}
    path.write_text(path.read_text()[:-20])
    assert kept(path, {"model": "2"}, make, kind) == {"calls": 3}
    path.write_text(path.read_text().replace("3", '"three"'))  # whole, but no such result
    assert kept(path, {"model": "2"}, make, kind) == {"calls": 4}


def test_settings_become_flags_that_set_them() -> None:
    settings = TrainSettings(steps=7, balance=False, flips=True, vgg="a b.pth")
    words = _flags(settings, TrainSettings())
    given = {k: v for k, v in cli.dped.commands["train"].make_context("train", words).params.items() if v is not None}
    names = {field.name for field in setting_fields(TrainSettings)}
    assert replace(TrainSettings(), **{name: value for name, value in given.items() if name in names}) == settings
