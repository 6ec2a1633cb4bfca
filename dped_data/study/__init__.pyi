from .create import create_study as create_study
from .create import creation_text as creation_text
from .create import study_sets as study_sets
from .report import report_study as report_study
from .report_files import report_text as report_text
from .report_files import write_report as write_report
from .server import StudyServer as StudyServer
from .server import open_host_warning as open_host_warning
