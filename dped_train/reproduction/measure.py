"""Train what a candidate needs, measure it on the test patches, and keep the row."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dped_data.common.ownership import remove
from dped_data.common.typed_settings import settings_dict
from dped_data.dataset.store import PatchStore
from dped_data.photos.files import file_state
from dped_train.data import open_pairs
from dped_train.evaluate.bootstrap import Figure
from dped_train.evaluate.evaluate import EvaluationReport, evaluate
from dped_train.evaluate.limitations import LimitationReport
from dped_train.networks.file import MODEL_NAME, enhancer_metadata
from dped_train.reproduction.cached_result import kept
from dped_train.reproduction.candidates import Candidate
from dped_train.reproduction.settings import ReproduceSettings
from dped_train.run.folder import run_facts
from dped_train.run.log import recorded_seconds
from dped_train.settings import TrainSettings
from dped_train.train import train


@dataclass(frozen=True)
class Bench:
    """Where a reproduction works: the dataset of one phone, the folder of its results, the budget."""

    dataset: Path
    out: Path
    settings: ReproduceSettings

    def test(self) -> PatchStore:
        """The test patches."""
        return open_pairs(self.dataset, "test")


@dataclass(frozen=True)
class Row:
    """What a candidate reached on the test patches.

    Attributes:
        name, label, published: the candidate's.
        model: the enhancer, None where there is none.
        psnr, ssim, ms_ssim: means over patches; dB, and 0 to 1.
        limitations: those of section 4.4.
        patches: test patches measured; train_seconds: time of all its training steps, 0 where nothing was trained.
    """

    name: str
    label: str
    published: str
    model: Path | None
    psnr: Figure
    ssim: Figure
    ms_ssim: Figure
    limitations: tuple[LimitationReport, ...]
    patches: int
    train_seconds: float


@dataclass(frozen=True)
class _Measured:
    """What is kept of an evaluation; see `Row`."""

    psnr: Figure
    ssim: Figure
    ms_ssim: Figure
    limitations: tuple[LimitationReport, ...]
    patches: int


def measured(bench: Bench, candidate: Candidate) -> Row:
    """The candidate's row; trained and measured now, or kept from an earlier call with the same settings and data.

    Raises:
        InputError: as `train` and `evaluate` do; a run of other settings in the same folder.
    """
    model, seconds = candidate.model, 0.0
    if candidate.training is not None:
        model = _trained(bench, candidate.name, candidate.training)
        seconds = recorded_seconds(model.parent)

    def make() -> _Measured:
        report = evaluate(
            bench.dataset,
            None,
            model=model,
            external=candidate.external,
            baseline=candidate.baseline,
            most_patches=bench.settings.test_patches,
            device=bench.settings.device,
            called=candidate.name,
        )
        return _measured(report)

    facts = {
        "dataset": dataset_facts(bench),
        "test_patches": bench.settings.test_patches,
        "model": weights_digest(model),
        "external": listing(candidate.external),
        "baseline": candidate.baseline,
    }
    result = kept(bench.out / "results" / f"{candidate.name}.json", facts, make, _Measured)
    return Row(
        name=candidate.name,
        label=candidate.label,
        published=candidate.published,
        model=model,
        psnr=result.psnr,
        ssim=result.ssim,
        ms_ssim=result.ms_ssim,
        limitations=result.limitations,
        patches=result.patches,
        train_seconds=seconds,
    )


@dataclass(frozen=True)
class Training:
    """Where the training of a candidate leaves its run, and what its being done depends on."""

    runs: Path
    run: Path
    done: Path
    facts: dict[str, Any]

    @property
    def model(self) -> Path:
        """The enhancer that it gives."""
        return self.run / MODEL_NAME


def training_of(bench: Bench, name: str, training: TrainSettings) -> Training:
    """The training of the candidate of this name."""
    runs = bench.out / "runs" / name
    facts = {"training": settings_dict(training), "dataset": dataset_facts(bench)}
    return Training(runs, runs / bench.dataset.name, runs / "done.json", facts)


def _trained(bench: Bench, name: str, training: TrainSettings) -> Path:
    """The enhancer that this training gives; a run that is finished is not even opened."""
    place = training_of(bench, name, training)
    if not place.model.is_file():
        remove(place.done)

    def make() -> dict[str, int]:
        report = train(bench.dataset, None, place.runs, training, resume=True)
        return {"steps": report.steps}

    kept(place.done, place.facts, make, dict[str, int])
    return place.model


def _measured(report: EvaluationReport) -> _Measured:
    figures = {row.metric: row.patches for row in report.metrics}
    return _Measured(figures["psnr"], figures["ssim"], figures["ms_ssim"], report.limitations, report.patches)


def dataset_facts(bench: Bench) -> dict[str, Any]:
    """What a result depends on of the dataset: its digest and its phone."""
    facts: dict[str, Any] = run_facts(bench.settings.training(), bench.test())["dataset"]
    return facts


def weights_digest(model: Path | None) -> str:
    """What tells an enhancer's weights from all others; "" for none. (Its bytes vary from write to write.)"""
    return enhancer_metadata(model)["sha256"] if model is not None else ""


def listing(folder: Path | None) -> list[list[Any]]:
    """The files of a folder of photos with their states; nothing for None."""
    if folder is None:
        return []
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return [[str(path.relative_to(folder)), *file_state(path)] for path in files]
