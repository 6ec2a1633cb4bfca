"""What `frozen_defaults` must hold, for the tests of every settings class that has them."""

from __future__ import annotations

import json
from typing import Any

from dped_data.common.typed_settings import setting_fields


def check_frozen(cls: Any, format_version: int) -> None:
    """Fail unless what `cls` froze for `format_version` is what its fields say today."""
    frozen = cls.frozen_defaults
    assert frozen.format_version == format_version, "a new format version freezes its own defaults"
    defaults = {field.key: field.default for field in setting_fields(cls)}
    first = {key: value for key, value in defaults.items() if key in frozen.first}
    assert json.dumps(first) == json.dumps(frozen.first), (
        "a default of this format version was changed, or a setting removed, renamed or moved: what was recorded with "
        "it would count as other settings (docs/format.md)"
    )
    assert {*defaults} == {*frozen.first, *frozen.added}, "list what is new in `added`, with its default"
    assert {key: type(value) for key, value in frozen.added.items()} == {
        key: type(defaults[key]) for key in frozen.added
    }
