"""Settings of `inspect-pairs`: how much is measured, and the limits of the verdict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dped_data.common.typed_settings import check_tables, load_settings, read_toml, setting, setting_fields
from dped_data.errors import UsageError
from dped_data.settings import OTHER_TABLES, BuildSettings


@dataclass(frozen=True)
class InspectSettings:
    """How closely a dataset is looked at and what it must satisfy; a limit comes as a pair, warn and fail."""

    sample_patches: int = setting(64, "patches re-measured per capture, spread evenly over the photo", minimum=4)
    cell_patches: int = setting(
        24, "of these, patches per capture that are also looked at cell by cell and for sharpness", minimum=4
    )
    max_deviation_px: float = setting(
        0.1,
        "patches whose shift cannot be re-measured with a smaller standard deviation are left out, pixels",
        minimum=0.01,
        maximum=1,
    )
    least_patches: int = setting(30, "patches that must be measured for a figure over patches to pass", minimum=1)
    least_share: float = setting(
        0.2,
        "share of the sampled patches, of the captures or of the regions that must be measured for a check to pass",
        minimum=0,
        maximum=1,
    )
    ce90_warn_px: float = setting(0.5, "warn when 90 % of the re-measured shifts are not below this, pixels", minimum=0)
    ce90_fail_px: float = setting(1.0, "fail when 90 % of the re-measured shifts are not below this, pixels", minimum=0)
    systematic_warn_px: float = setting(0.1, "warn of a shift that all captures share, pixels", minimum=0)
    systematic_fail_px: float = setting(0.3, "fail on a shift that all captures share, pixels", minimum=0)
    field_warn_px: float = setting(0.2, "warn of a shift that one region of every photo shares, pixels", minimum=0)
    field_fail_px: float = setting(0.5, "fail on a shift that one region of every photo shares, pixels", minimum=0)
    drift_warn_px: float = setting(0.2, "warn when the shift drifts by this over the shooting, pixels", minimum=0)
    drift_fail_px: float = setting(0.6, "fail when the shift drifts by this over the shooting, pixels", minimum=0)
    capture_warn_px: float = setting(0.5, "warn of a capture whose median shift is above this, pixels", minimum=0)
    capture_fail_px: float = setting(1.0, "fail on a capture whose median shift is above this, pixels", minimum=0)
    match_warn: float = setting(0.8, "warn when a smaller share of a capture's patches match", minimum=0, maximum=1)
    match_fail: float = setting(0.5, "fail when a smaller share of a capture's patches match", minimum=0, maximum=1)
    clipped_warn: float = setting(0.2, "warn when a larger share of pixels is burnt out or black", minimum=0, maximum=1)
    clipped_fail: float = setting(0.5, "fail when a larger share of pixels is burnt out or black", minimum=0, maximum=1)
    foreign_warn: float = setting(
        0.05, "warn when a larger share of a capture's patches shows two contents", minimum=0, maximum=1
    )
    foreign_fail: float = setting(
        0.2, "fail when a larger share of a capture's patches shows two contents", minimum=0, maximum=1
    )
    sharpness_warn: float = setting(
        0.7, "warn when a capture's DSLR patches have less fine detail than this share of the phone's", minimum=0
    )
    sharpness_fail: float = setting(
        0.5, "fail when a capture's DSLR patches have less fine detail than this share of the phone's", minimum=0
    )
    scale_warn: float = setting(0.005, "warn when one half is larger than the other by this share", minimum=0)
    scale_fail: float = setting(0.02, "fail when one half is larger than the other by this share", minimum=0)
    share_warn: float = setting(
        0.02, "warn when a larger share of loose patches has one and the same fault", minimum=0, maximum=1
    )
    share_fail: float = setting(
        0.1, "fail when a larger share of loose patches has one and the same fault", minimum=0, maximum=1
    )
    outlier_warn: float = setting(6.0, "warn of brightness or colour this many robust deviations off", minimum=1)
    leak_correlation: float = setting(
        0.85, "scenes in two splits count as near-duplicates above this correlation", minimum=0.1, maximum=1
    )
    repeated_correlation: float = setting(
        0.98, "loose patches in two splits count as the same above this correlation", minimum=0.5, maximum=1
    )
    kept_warn: float = setting(0.5, "warn when a smaller share of the captures is kept", minimum=0, maximum=1)
    coverage_warn: float = setting(0.2, "warn when a smaller share of the windows is kept", minimum=0, maximum=1)
    calibration_warn: float = setting(
        3.0, "warn when re-measured shifts exceed the builder's predicted error by this factor", minimum=1
    )


MEASURING = ("sample_patches", "cell_patches", "max_deviation_px")
"""Settings that decide what is measured; the others are limits, which can be changed afterwards."""


def load_inspect_settings(toml: Path | None, flags: Mapping[str, Any]) -> InspectSettings:
    """Return the settings of an inspection: defaults, then table `[inspect]` of a rig's TOML file, then flags.

    Raises:
        UsageError: the file cannot be read, or the table has an unknown key, a wrong type or a value out of range.
    """
    file = read_toml(toml) if toml else {}
    check_tables(file, {*OTHER_TABLES, *(field.section for field in setting_fields(BuildSettings))}, str(toml))
    table = file.get("inspect", {})
    if not isinstance(table, Mapping):
        raise UsageError(f"{toml}: 'inspect' must be a table: [inspect] with the limits of inspect-pairs")
    return load_settings(InspectSettings(), table, f"{toml}: [inspect]" if toml else "settings", flags)
