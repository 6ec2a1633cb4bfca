"""What a person asks of `dped train`: defaults or the run's own settings, a file of settings, flags."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dped_data.common.typed_settings import load_settings, read_toml
from dped_data.dataset.manifest import find_dataset
from dped_train.run.folder import settings_of_run
from dped_train.settings import TrainSettings


def asked_settings(
    data: Path, phone: str | None, out: Path, config: Path | None, flags: Mapping[str, Any], *, resume: bool
) -> TrainSettings:
    """The settings of `dped train`: default < config < flag; with `resume` the run's own take the place of defaults.

    Args:
        data, phone, out: as in `train`; they say which run.
        config: a TOML file with the keys of the settings, such as the one that every run writes.
        flags: settings by name; None means "not given".
        resume: go on with the run that is there. What it may not change is found by `train`.

    Raises:
        InputError: no such dataset, or a run that cannot be read. UsageError: a setting that is unknown or wrong.
    """
    own = settings_of_run(out / find_dataset(data, phone).name) if resume else None
    table = read_toml(config) if config is not None else {}
    return load_settings(own or TrainSettings(), table, str(config), flags)
