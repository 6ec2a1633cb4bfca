"""The layout of the released DPED patches, in and out: `import_dped` and `export_dped`.

It stands above `work` and knows none of the rooms beside it; only the command line enters.
"""

from __future__ import annotations

from dped_data.released.exporting import ExportReport, export_dped
from dped_data.released.importing import ImportReport, import_dped

__all__ = ["ExportReport", "ImportReport", "export_dped", "import_dped"]
