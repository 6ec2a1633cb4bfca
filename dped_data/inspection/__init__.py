"""Judge a dataset: measure it independently of the builder, give a verdict, and show the worst first.

It stands above `work` and knows none of the rooms beside it; `align_folders` and the command line enter.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
