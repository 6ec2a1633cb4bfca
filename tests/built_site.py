"""Build the docs site, for the tests of its pages."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def build_site(root: Path, site: Path) -> subprocess.CompletedProcess[str]:
    """Build the site of the project in `root` as `make docs` does, into the folder `site`."""
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "-f", str(root / "mkdocs.yml")]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}  # of its makers' next program
    return subprocess.run(
        [*command, "-d", str(site)], cwd=root, env=environment, capture_output=True, text=True, check=False
    )
