from .loose_pipeline import inspect_set as inspect_set
from .pipeline import inspect_pairs as inspect_pairs
from .pipeline import redraw_report as redraw_report
from .report_files import as_json as as_json
from .review_server import ReviewServer as ReviewServer
from .terminal import terminal_text as terminal_text
from .verify import verify_dataset as verify_dataset
from .verify import verify_text as verify_text
