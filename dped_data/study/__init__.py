"""The paper's user study (section 4.3): which of two photos of a scene looks better? Create, serve, report.

It stands above `work` and knows none of the rooms beside it; only the command line enters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dped_data.common.lazy import lazy_attributes

if TYPE_CHECKING:
    from dped_data.study.create import create_study, creation_text, study_sets
    from dped_data.study.report import report_study
    from dped_data.study.report_files import report_text, write_report
    from dped_data.study.server import StudyServer, open_host_warning

__all__ = [
    "StudyServer",
    "create_study",
    "creation_text",
    "open_host_warning",
    "report_study",
    "report_text",
    "study_sets",
    "write_report",
]

__getattr__ = lazy_attributes(
    __name__,
    {
        "StudyServer": "server",
        "create_study": "create",
        "creation_text": "create",
        "open_host_warning": "server",
        "report_study": "report",
        "report_text": "report_files",
        "study_sets": "create",
        "write_report": "report_files",
    },
)
