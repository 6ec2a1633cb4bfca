"""A simulated rig: captures rendered from any photos with exactly known geometry, and a dataset's score against it.

It stands above `work` and knows none of the rooms beside it; only the command line enters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dped_data.common.lazy import lazy_attributes

if TYPE_CHECKING:
    from dped_data.simulation.rig import SimulationReport, simulate_rig
    from dped_data.simulation.score import Score, score_dataset, score_table
    from dped_data.simulation.settings import SimulationSettings
    from dped_data.simulation.truth import Truth, read_truths

__all__ = [
    "Score",
    "SimulationReport",
    "SimulationSettings",
    "Truth",
    "read_truths",
    "score_dataset",
    "score_table",
    "simulate_rig",
]

__getattr__ = lazy_attributes(
    __name__,
    {
        "Score": "score",
        "SimulationReport": "rig",
        "SimulationSettings": "settings",
        "Truth": "truth",
        "read_truths": "truth",
        "score_dataset": "score",
        "score_table": "score",
        "simulate_rig": "rig",
    },
)
