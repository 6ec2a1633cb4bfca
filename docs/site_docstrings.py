"""Docstrings on the docs site (mkdocs.yml): a placeholder such as OUT/<phone> is text; Markdown would read a tag."""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension, Object

_CODE_OR_PLACEHOLDER = re.compile(r"(`[^`]*`)|<(?=\w)")


class Placeholders(Extension):
    """Escape what looks like a tag, outside of code."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        """Change the docstring of an object once it is loaded."""
        if obj.docstring is not None:
            text = obj.docstring.value
            obj.docstring.value = _CODE_OR_PLACEHOLDER.sub(lambda found: found[1] or "&lt;", text)
