"""Names in the order a person expects."""

from __future__ import annotations

import re


def natural_key(name: str) -> tuple[tuple[str, int], ...]:
    """Return a key that sorts numbers inside names by value: IMG_9 before IMG_10."""
    return tuple((text, int(digits or -1)) for text, digits in re.findall(r"([^0-9]*)([0-9]*)", name))
