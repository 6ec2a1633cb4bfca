"""The settings of `dped train`, documented on the field; the command's flags are generated from them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

from dped_data.common.typed_settings import FrozenDefaults, setting
from dped_data.errors import UsageError

Method = Literal["dped", "srcnn", "johnson"]

RECIPE_WEIGHT = -1.0
"""The weight of a loss that stands for the recipe's own (`dped_train.losses`)."""

CHOSEN_RATE = -1.0
"""The learning rate of the discriminator that stands for one chosen by its normalisation."""
INSTANCE_SHARE = 0.2
"""Ours: of the enhancer's rate, for a discriminator with instance normalisation: at 5e-4 it learns little."""
CHOSEN_PRETRAINING = -1
"""The steps of the discriminator's pretraining that stand for the recipe's own share."""
BALANCED_BATCH = 50
"""The batch size at which the released recipe's losses have the balance that its authors chose."""

STARTS = ("identity", "random")
"""First weights that are made; every other `start` is a model to go on from."""

FREE_ON_RESUME = (
    "steps",
    "vgg",
    "precision",
    "device",
    "compile",
    "chunk",
    "feature_cache_mb",
    "figures_every",
    "checkpoint_every",
    "keep_checkpoints",
    "validation_patches",
)
"""Settings that may change when a run is resumed: they change no step beyond rounding."""


@dataclass(frozen=True)
class TrainSettings:
    """Everything that decides what `dped train` computes; stored in every checkpoint."""

    recipe: Literal["released", "paper"] = setting(
        "released",
        "losses and networks as in the authors' released code, or as in the paper's text (docs/decisions.md)",
    )
    method: Literal["dped", "srcnn", "johnson"] = setting(
        "dped",
        "the paper's network and losses, or those it is compared with: srcnn (Dong et al.: three layers, squared "
        "error), johnson (Johnson et al.: residual network, VGG loss)",
    )
    steps: int = setting(20_000, "training steps in all (the paper: 20,000)", minimum=1)
    batch_size: int = setting(50, "patch pairs in a batch, over all processes (the paper: 50)", minimum=1)
    learning_rate: float = setting(5e-4, "Adam's learning rate, for both networks (the paper: 5e-4)", minimum=0)
    discriminator_rate: float = setting(
        CHOSEN_RATE,
        "Adam's learning rate for the discriminator; -1 chooses: a fifth of the enhancer's with instance "
        "normalisation, the same with batch normalisation; 0: the same (as the authors)",
        minimum=-1,
    )
    schedule: Literal["constant", "cosine", "steps"] = setting(
        "constant",
        "how both rates go on: constant (as the authors), cosine (to 0 at the last step), steps (halved after a half, "
        "three quarters and nine tenths of the steps)",
    )
    warmup: int = setting(
        50, "steps over which the learning rate rises to its value; the authors' is there at once", minimum=0
    )
    content_weight: float = setting(
        RECIPE_WEIGHT, "weight of the content loss; 0 trains without VGG, -1 takes the recipe's", minimum=-1
    )
    texture_weight: float = setting(
        RECIPE_WEIGHT, "weight of the texture loss; 0 trains without a discriminator, -1 takes the recipe's", minimum=-1
    )
    colour_weight: float = setting(RECIPE_WEIGHT, "weight of the colour loss; -1 takes the recipe's", minimum=-1)
    tv_weight: float = setting(RECIPE_WEIGHT, "weight of the total variation; -1 takes the recipe's", minimum=-1)
    mse_weight: float = setting(
        RECIPE_WEIGHT,
        "weight of the squared error, the colour loss without its blur; -1 takes the recipe's",
        minimum=-1,
    )
    vgg: str = setting("", "file with VGG-19 or VGG-16 weights (.pth, .mat, .npz); empty: torch's cache or a download")
    start: str = setting(
        "identity",
        "first weights: identity (random but for three channels that hand the photo through), random (as the "
        "authors), or a model to go on from: a file, a run's folder, or a name in models/",
    )
    discriminator_start: Literal["edges", "random"] = setting(
        "edges",
        "first weights of the discriminator: edges (random but for its first layer, which sees texture alone), or "
        "random (as the authors)",
    )
    pretraining: int = setting(
        CHOSEN_PRETRAINING,
        "steps in which the discriminator first learns alone, from the phone's patches (with --start MODEL: from what "
        "that makes of them); -1 takes the recipe's: a twentieth of the steps (paper), none (released)",
        minimum=-1,
    )
    padding: Literal["zeros", "reflect"] = setting(
        "zeros",
        "what the enhancer sees beyond the border: zeros (as the authors; leaves a frame), or 8 pixels of the photo "
        "mirrored",
    )
    input: Literal["rgb", "raw"] = setting(
        "rgb",
        "what the enhancer sees: the phone's photo, or its sensor's mosaic, of a dataset built with --phone-raw; it "
        "then enhances RAW files",
    )
    crop_px: int = setting(0, "train on the middle of each patch only, this many pixels wide; 0: all of it", minimum=0)
    flips: bool = setting(False, "mirror half of the pairs, both photos alike")
    quarter_turns: bool = setting(False, "turn pairs by a random multiple of 90 degrees, both photos alike")
    balance: bool = setting(
        True,
        "keep the balance of the losses at other batch sizes than 50 where the recipe's texture loss is a sum over the "
        "batch (released): weigh it by 50 / batch size",
    )
    halves: bool = setting(
        True,
        "show the discriminator the DSLR's photo of every second pair (released); each by a coin of its own otherwise, "
        "as the authors",
    )
    exactly: bool = setting(
        False,
        "take the authors' value of every default that is ours (docs/training.md lists them); with --recipe released",
    )
    seed: int = setting(0, "seed of the first weights and of the order of the patches", minimum=0)
    ema_decay: float = setting(
        0.999,
        "the saved enhancer is the running mean of its weights with this decay; 0 saves the last",
        minimum=0,
        maximum=0.99999,
    )
    clip_norm: float = setting(
        0.0, "limit of the gradient's norm, for each network; 0 sets none (as the authors)", minimum=0
    )
    precision: Literal["auto", "fp32", "tf32", "bf16", "fp16"] = setting(
        "auto",
        "arithmetic of the convolutions; auto takes bf16 where the device multiplies faster in it, fp16 on GPUs that "
        "have it alone, else fp32; tf32 is fp32 with factors of 10 bits, on a GPU; VGG stays in fp32 (or tf32)",
    )
    device: str = setting("auto", "cpu, cuda, cuda:1, …; auto takes the first GPU there is")
    compile: bool = setting(
        False,
        "compile the networks with torch.compile, for a GPU, where nobody has timed it: minutes at the start; on a CPU "
        "it needs a C++ compiler and is no faster",
    )
    chunk: int = setting(
        0, "patches computed at once, to bound the memory; 0 chooses: 10 on a CPU, the whole batch on a GPU", minimum=0
    )
    feature_cache_mb: int = setting(
        2048, "memory for VGG features of DSLR patches already seen, megabytes; 0 keeps none", minimum=0
    )
    figures_every: int = setting(
        0,
        "steps after which their losses are fetched from the device and checked; 0 chooses: 1 on a CPU, 20 on a GPU, "
        "which waits each time",
        minimum=0,
    )
    checkpoint_every: int = setting(1000, "steps between two checkpoints, each with a validation", minimum=1)
    keep_checkpoints: int = setting(3, "newest checkpoints to keep, beside the best", minimum=1)
    validation_patches: int = setting(200, "patches of the val split in a validation, spread evenly over it", minimum=1)

    frozen_defaults: ClassVar[FrozenDefaults] = FrozenDefaults(
        format_version=1,
        first={
            "recipe": "released",
            "method": "dped",
            "steps": 20000,
            "batch_size": 50,
            "learning_rate": 0.0005,
            "warmup": 50,
            "content_weight": -1.0,
            "texture_weight": -1.0,
            "colour_weight": -1.0,
            "tv_weight": -1.0,
            "mse_weight": -1.0,
            "vgg": "",
            "start": "identity",
            "crop_px": 0,
            "flips": False,
            "quarter_turns": False,
            "seed": 0,
            "ema_decay": 0.999,
            "clip_norm": 0.0,
            "precision": "auto",
            "device": "auto",
            "compile": False,
            "chunk": 0,
            "feature_cache_mb": 2048,
            "checkpoint_every": 1000,
            "keep_checkpoints": 3,
            "validation_patches": 200,
        },
        added={
            "discriminator_rate": 0.0,
            "schedule": "constant",
            "padding": "zeros",
            "balance": False,
            "exactly": False,
            "input": "rgb",
            "halves": False,
            "figures_every": 0,
            "discriminator_start": "random",
            "pretraining": -1,
        },
    )


AUTHORS: dict[str, Any] = {
    "start": "random",
    "warmup": 0,
    "ema_decay": 0.0,
    "discriminator_rate": 0.0,
    "discriminator_start": "random",
    "balance": False,
    "halves": False,
}
"""What `exactly` sets: the authors' values of the settings whose default is ours. It also draws patches as they do and
divides as their Adam does (`dped_train.train`)."""


def resolved(settings: TrainSettings) -> TrainSettings:
    """The settings with what `exactly` stands for.

    Raises:
        UsageError: another recipe or method, a setting that contradicts it, or a padding that the method does not have.
    """
    if settings.padding != "zeros" and settings.method != "dped":
        raise UsageError(f"--padding {settings.padding}: is for --method dped; {settings.method} pads with zeros")
    if settings.input == "raw":
        _check_raw(settings)
    if not settings.exactly:
        return settings
    if (settings.recipe, settings.method) != ("released", "dped"):
        raise UsageError("--exactly is the authors' released training; it goes with --recipe released --method dped")
    ours = TrainSettings()
    for name, authors in {
        **AUTHORS,
        "schedule": "constant",
        "clip_norm": 0.0,
        "padding": "zeros",
        "pretraining": 0,
    }.items():
        if (value := getattr(settings, name)) not in (authors, getattr(ours, name)):
            raise UsageError(
                f"--exactly: the authors' {name} is {authors}, {value} was asked for; leave one of them out"
            )
    return replace(settings, **AUTHORS)


def _check_raw(settings: TrainSettings) -> None:
    """Raise UsageError for what mosaics cannot be trained with."""
    if settings.method != "dped":
        raise UsageError(f"--input raw: is for --method dped; {settings.method} sees photos")
    for flag, is_asked in (("--flips", settings.flips), ("--quarter-turns", settings.quarter_turns)):
        if is_asked:
            raise UsageError(f"{flag} with --input raw: a mosaic that is turned over begins with another colour")
    if settings.exactly:
        raise UsageError("--exactly is the authors' released training, which sees photos; leave out --input raw")
