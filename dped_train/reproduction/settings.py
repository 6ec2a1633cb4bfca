"""The settings of `dped reproduce`: the budget that all methods share, and how much is shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from dped_data.common.typed_settings import setting
from dped_train.settings import RECIPE_WEIGHT, TrainSettings


@dataclass(frozen=True)
class ReproduceSettings:
    """One budget for every method; the defaults are the paper's."""

    steps: int = setting(20_000, "training steps of each method (the paper: 20,000)", minimum=1)
    batch_size: int = setting(50, "patch pairs in a batch (the paper: 50)", minimum=1)
    learning_rate: float = setting(5e-4, "Adam's learning rate (the paper: 5e-4)", minimum=0)
    crop_px: int = setting(0, "train on the middle of each patch only, this many pixels wide; 0: all of it", minimum=0)
    recipe: Literal["released", "paper"] = setting("released", "form and weights of the losses, as in dped train")
    tv_weight: float = setting(RECIPE_WEIGHT, "weight of the total variation; -1 takes the recipe's", minimum=-1)
    vgg: str = setting(
        "", "file with VGG weights, as in dped train; without any, methods with a content loss are left out"
    )
    test_patches: int = setting(0, "test patches to measure, spread evenly; 0: all", minimum=0)
    shift_patches: int = setting(50_000, "patches of figure 6 (the paper: 50,000), at most all there are", minimum=1)
    largest_shift_px: int = setting(15, "largest shift of figure 6, pixels", minimum=5, maximum=30)
    scenes: int = setting(6, "test photos shown in figures 8, 9 and 13 to 18", minimum=1)
    photo_px: int = setting(1600, "longest side of the part of a photo that figures show, pixels", minimum=100)
    device: str = setting("auto", "cpu, cuda, cuda:1, …; auto takes the first GPU there is")
    seed: int = setting(0, "seed of first weights, order of patches, and shifts", minimum=0)

    def training(self) -> TrainSettings:
        """What every training of this reproduction shares."""
        return TrainSettings(
            recipe=self.recipe,
            steps=self.steps,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            crop_px=self.crop_px,
            tv_weight=self.tv_weight,
            vgg=self.vgg,
            device=self.device,
            seed=self.seed,
            checkpoint_every=max(1, min(1000, self.steps // 2)),
            keep_checkpoints=1,
            validation_patches=40,
        )


# Ours: what two cores do in ten minutes. The gentle rate and the small weight of total variation are those with which
# so few steps on so small batches improve on the phone at all (docs/reproduction.md).
QUICK = ReproduceSettings(
    steps=60,
    batch_size=4,
    learning_rate=2e-4,
    crop_px=48,
    tv_weight=100.0,
    test_patches=120,
    shift_patches=1000,
    scenes=4,
    photo_px=480,
)
