"""Write a report: verdict.json for programs, and the page around the captures' folders."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any, Literal

import numpy as np

from dped_data.common.files import atomic_path
from dped_data.common.hints import hint
from dped_data.dataset.places import MANIFEST_NAME, REVIEW_NAME, captures_folder
from dped_data.inspection.page import PAGE_NAME, VERDICT_NAME, write_page
from dped_data.inspection.records import Dataset
from dped_data.inspection.report import Check, InspectReport, RankedCapture, Status, Summary
from dped_data.inspection.settings import InspectSettings
from dped_data.inspection.verdict import weakest_check


def judged_report(
    out: Path,
    place: str,
    opened: Dataset,
    summary: Summary,
    captures: tuple[RankedCapture, ...],
    judged: tuple[Status, tuple[Check, ...]],
    settings: InspectSettings,
    kind: Literal["captures", "patches"] = "captures",
) -> InspectReport:
    """Return the report on a dataset or set of pairs at `place`, `judged` with its verdict and checks."""
    verdict, checks = judged
    return InspectReport(
        dataset=place,
        phone=opened.phone,
        dslr=opened.dslr,
        digest=opened.digest,
        verdict=verdict,
        weakest=weakest_check(checks).name,
        checks=checks,
        summary=summary,
        captures=captures,
        photos=str(opened.captures_folder or ""),
        page=str(out / PAGE_NAME),
        review=opened.review,
        settings=dataclasses.asdict(settings),
        kind=kind,
    )


def write_report(out: Path, report: InspectReport, opened: Dataset, data: Path) -> None:
    """Write verdict.json and the page; the page alone has what holds on this machine only."""
    document = as_json(report)
    with atomic_path(out / VERDICT_NAME) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
        json.dump(document, file, indent=1)
        file.write("\n")
    write_page(out, {**document, "review_hint": _review_hint(out, report, opened, data)}, opened)


def _review_hint(out: Path, report: InspectReport, opened: Dataset, data: Path) -> str:
    """The command that applies the decisions made in this report, as a person can paste it into a terminal."""
    folder, review, dataset = data.resolve(), (out / REVIEW_NAME).resolve(), Path(report.dataset).resolve()
    if opened.alignment == "imported" and (source := captures_folder(dataset)):
        where = ("--out", dataset.parent)
        return hint("import-dped", source.resolve(), "--phone", opened.phone, *where, "--review", review)
    if opened.captures_folder is None or opened.alignment == "imported":
        return ""
    manifest = dataset / MANIFEST_NAME
    photos = opened.captures_folder.resolve()
    photos_and_data = ("--captures", photos, "--out", folder)
    return hint("build-dataset", "--phone", opened.phone, *photos_and_data, "--rig", manifest, "--review", review)


def as_json(report: InspectReport) -> dict[str, Any]:
    """Return the report as plain dicts, lists and scalars, at full precision and without NaN."""
    plain: dict[str, Any] = _plain(dataclasses.asdict(report))
    return plain


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    return value
