"""The card of a training run: README.md with what the model was trained on and how, its validation, its limits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dped_data.common.markdown_card import LICENCE_LINES, Card, quoted, write_card
from dped_data.common.typed_settings import changed_settings, setting_fields
from dped_data.dataset.store import PatchStore
from dped_train.run.methods import texture_factor
from dped_train.settings import FREE_ON_RESUME, TrainSettings

_METRICS = (("val_psnr", "psnr", "PSNR, dB"), ("val_ms_ssim", "ms-ssim", "MS-SSIM"))


def write_model_card(
    folder: Path,
    settings: TrainSettings,
    store: PatchStore,
    step: int,
    figures: Mapping[str, float],
    phone_psnr: float | None,
    dataset: str,
    origin: Sequence[str] = (),
    health: Sequence[str] = (),
) -> bool:
    """Write or update FOLDER/README.md for the enhancer there; see `write_card` for what it returns and leaves alone.

    Args:
        folder: the run's.
        settings: the run's.
        store: the training patches.
        step: steps done.
        figures: the validation: val_psnr (dB) and val_ms_ssim; they may be missing.
        phone_psnr: that of the untouched phone patches, dB.
        dataset: digest of the dataset's settings and shards.
        origin: sentences on where the weights come from besides.
        health: sentences on how the training went.
    """
    phone, dslr = store.manifest.phone, store.manifest.dslr
    name = f"{phone} photos as {dslr} takes them"
    return write_card(
        folder,
        Card(
            own_metadata=(
                *LICENCE_LINES,
                "library_name: dped",
                "pipeline_tag: image-to-image",
                "tags:",
                "- photo-enhancement",
                "- dped",
            ),
            metadata=_metadata(name, store, figures),
            title=f"Enhancer: {name}",
            invitation="Say here whose model this is, what it is meant for, and who may use it.",
            body="\n".join(_body(settings, store, step, figures, phone_psnr, dataset, origin, health)),
        ),
    )


def _metadata(name: str, store: PatchStore, figures: Mapping[str, float]) -> tuple[str, ...]:
    measured = [(kind, label, figures[key]) for key, kind, label in _METRICS if key in figures]
    lines = ["metrics:", *(f"- {kind}" for kind, _, _ in measured)] if measured else []
    if not measured:
        return tuple(lines)
    dataset = f"{store.manifest.phone} and {store.manifest.dslr} photo patches"
    lines += [
        "model-index:",
        f"- name: {quoted(name)}",
        "  results:",
        "  - task:",
        "      type: image-to-image",
        "    dataset:",
        f"      name: {quoted(dataset)}",
        "      type: dped",
        "      split: val",
        "    metrics:",
    ]
    for kind, label, value in measured:
        lines += [f"    - type: {kind}", f"      name: {quoted(label)}", f"      value: {value:.4f}"]
    return tuple(lines)


def _body(
    settings: TrainSettings,
    store: PatchStore,
    step: int,
    figures: Mapping[str, float],
    phone_psnr: float | None,
    dataset: str,
    origin: Sequence[str],
    health: Sequence[str],
) -> list[str]:
    manifest = store.manifest
    changed = changed_settings(_decisive(type(settings)()), _decisive(settings))
    lines = [
        "A network that makes photos of one camera look like those of another, trained with `dped`. Use it with",
        "",
        "    dped enhance enhancer.safetensors photo.jpg --out enhanced",
        "",
        "## Training",
        "",
        f"- Data: {len(store):,} pairs of {manifest.patch_size}x{manifest.patch_size} pixels, {manifest.phone} to "
        f"{manifest.dslr}, {manifest.source}; settings digest `{manifest.digest}`, with shards `{dataset}`.",
        *(f"- {line}" for line in origin),
        f"- Recipe: {settings.recipe}, method {settings.method}, {step:,} of {settings.steps:,} steps with batches of "
        f"{settings.batch_size}.",
        *_balance(settings),
        f"- Settings other than the defaults (was -> is): {'; '.join(changed) or 'none'}.",
        "",
        "## Validation",
        "",
    ]
    if "val_psnr" in figures and phone_psnr is not None:
        lines.append(
            f"Mean over validation patches of the same cameras: PSNR {figures['val_psnr']:.2f} dB, MS-SSIM "
            f"{figures['val_ms_ssim']:.4f}; the untouched phone patches have {phone_psnr:.2f} dB."
        )
    else:
        lines.append("None: the dataset has no validation patches.")
    if health:
        lines += ["", "## Health of the training", "", *(f"- {line}" for line in health)]
    lines += [
        "",
        "## Limits",
        "",
        f"- It knows {manifest.phone} photos. Those of another camera, edited or night photos may come out worse than "
        "they were.",
        f"- PSNR is measured against {manifest.dslr} patches that match to a fraction of a pixel at best; it says "
        "little about looks. Look at photos before you use it.",
        "- Colours and local contrast are invented, not measured: not for evidence, medicine or measurement.",
        "- With instance normalisation the result depends on the whole photo; a crop comes out otherwise.",
    ]
    return lines


def _balance(settings: TrainSettings) -> list[str]:
    factor = texture_factor(settings)
    return (
        [] if factor == 1 else [f"- The texture loss, a sum over the batch, is weighed {factor:g} times (`balance`)."]
    )


def _decisive(settings: TrainSettings) -> dict[str, Any]:
    """The settings that decide what is learnt; the others, and folders, say more about a machine than a model."""
    names = (field.name for field in setting_fields(type(settings)))
    decisive = {name: getattr(settings, name) for name in names if name not in FREE_ON_RESUME}
    return decisive | {"start": Path(settings.start).name}
