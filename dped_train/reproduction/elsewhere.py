"""The tables and figures that no training makes: where each of them is, or why it is nowhere."""

from __future__ import annotations

from dped_data.dataset.manifest import Manifest


def elsewhere(manifest: Manifest) -> tuple[tuple[str, str], ...]:
    """For each of them what it is and where to find it, for this dataset."""
    found = (f"{camera} {' and '.join(sizes)}" for camera, sizes in manifest.photo_sizes.items())
    sizes = ", ".join(found) or "not recorded with this dataset"
    return (
        ("Table 1: cameras", f"The rig of this dataset: {sizes}."),
        ("Figure 1: before and after", "The first pair under figure 9."),
        ("Figure 2: the rig", "A photo of the authors' own; nothing to repeat."),
        ("Figure 3: what the cameras saw", "The report of dped inspect-pairs shows both photos of every capture."),
        (
            "Figure 4: matching",
            "The report of dped inspect-pairs: overlap, windows and remaining shifts.",
        ),
        ("Figure 7: the networks", "Code: dped_train/networks/dped.py, sizes checked by its tests."),
        ("Figures 10 and 11: user study", "dped study create, serve and report; it needs people."),
    )
