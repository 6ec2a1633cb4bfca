"""Pages in one file, for the screen in light and dark and for paper: templates that share a style sheet."""

from __future__ import annotations

import base64

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined


def page_templates(package: str, folder: str) -> Environment:
    """Return the templates in a package's folder; they find the style sheet `page.css` beside their own files.

    Text that is put into them is escaped, and a name that is not given is an error.
    """
    own, shared = PackageLoader(package, folder), PackageLoader("dped_data.common", "printed")
    return Environment(
        loader=ChoiceLoader([own, shared]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def embedded(data: bytes, kind: str) -> str:
    """Return the address of a picture (kind: jpeg, png) that lies in the page itself."""
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
