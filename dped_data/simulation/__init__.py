"""A simulated rig: captures rendered from any photos with exactly known geometry, and a dataset's score against it."""

from __future__ import annotations

from dped_data.simulation.rig import SimulationReport, simulate_rig
from dped_data.simulation.settings import SimulationSettings
from dped_data.simulation.truth import Truth, read_truths

__all__ = ["SimulationReport", "SimulationSettings", "Truth", "read_truths", "simulate_rig"]
