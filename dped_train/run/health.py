"""Is a training healthy? What is measured at each checkpoint, and what is said when it is not.

All limits are ours. They are those at which trainings of ours were seen to go wrong; nothing is stopped by them.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

LEAST_STEPS = 100
"""Steps of the discriminator over which its accuracy is judged at least."""
CHANCE, CERTAIN = 0.55, 0.98
"""Mean accuracy of the discriminator below which it tells nothing, and above which it leaves nothing to learn."""
LEAST_TEXTURE = 0.05
"""Share of the texture loss in the gradients that the losses have at the enhanced patches, lengths added up."""
MOST_CAST, MOST_BORDER = 2.0, 2.0
"""Levels of 255: between the channels, and between border and middle, of the mean difference to the DSLR."""
BORDER_PX = 4


def cast_levels(photos: NDArray[np.uint8], dslr: NDArray[np.uint8]) -> float:
    """By how many levels (N, S, S, 3) photos are off in one colour against another: the spread of the mean errors."""
    difference = photos.mean(axis=(0, 1, 2), dtype=np.float64) - dslr.mean(axis=(0, 1, 2), dtype=np.float64)
    return float(np.ptp(difference))


def border_levels(photos: NDArray[np.uint8], dslr: NDArray[np.uint8]) -> float:
    """By how many levels the outer `BORDER_PX` of (N, S, S, 3) photos are brighter (darker: below 0) than their middle.

    Of the difference to the DSLR, so that a scene that is dark at its border counts nothing.
    """
    difference = photos.mean(axis=(0, 3), dtype=np.float64) - dslr.mean(axis=(0, 3), dtype=np.float64)
    inner = slice(BORDER_PX, -BORDER_PX)
    middle = difference[inner, inner]
    return float((difference.sum() - middle.sum()) / (difference.size - middle.size) - middle.mean())


def findings(figures: Mapping[str, float], discriminator_steps: int) -> dict[str, str]:
    """What is wrong by the figures of a checkpoint, by the figure's name; figures that are missing say nothing.

    Args:
        figures: mean_accuracy, texture_share, val_cast and val_border, as in metrics.csv.
        discriminator_steps: over how many steps the accuracy is a mean.
    """
    found: dict[str, str] = {}
    accuracy, share = figures.get("mean_accuracy"), figures.get("texture_share")
    cast, border = figures.get("val_cast"), figures.get("val_border")
    if accuracy is not None and discriminator_steps >= LEAST_STEPS:
        told = f"the discriminator is right in {accuracy:.0%} over {discriminator_steps} steps"
        if accuracy < CHANCE:
            found["mean_accuracy"] = (
                f"{told}, at least {CHANCE:.0%} are needed to learn texture from; try another --discriminator-rate"
            )
        elif accuracy > CERTAIN:
            found["mean_accuracy"] = (
                f"{told}, at most {CERTAIN:.0%} leave the enhancer something to learn; try a lower --discriminator-rate"
            )
    if share is not None and share < LEAST_TEXTURE:
        found["texture_share"] = (
            f"the texture loss has {share:.1%} of the losses' gradients, at least {LEAST_TEXTURE:.0%} are needed to be "
            "seen; try more steps, or a higher --texture-weight"
        )
    if cast is not None and cast > MOST_CAST:
        found["val_cast"] = (
            f"validation patches have a colour cast of {cast:.1f} levels, at most {MOST_CAST:g}; try more steps, or a "
            "higher --colour-weight"
        )
    if border is not None and abs(border) > MOST_BORDER:
        found["val_border"] = (
            f"validation patches have a frame of {border:+.1f} levels, at most {MOST_BORDER:g} either way; try more "
            "steps"
        )
    return found


def health_lines(figures: Mapping[str, float], discriminator_steps: int) -> list[str]:
    """What a card says: every figure that was measured, and what is wrong."""
    words = {
        "mean_accuracy": f"Accuracy of the discriminator, mean over {discriminator_steps:,} steps: {{:.2f}}.",
        "texture_share": "Share of the texture loss in the losses' gradients: {:.1%}.",
        "val_cast": "Colour cast of the validation patches: {:.1f} levels of 255.",
        "val_border": "Frame of the validation patches: {:+.1f} levels of 255.",
    }
    known = [text.format(figures[name]) for name, text in words.items() if name in figures]
    return [*known, *(f"Warning: {text}." for text in findings(figures, discriminator_steps).values())]
