"""The paper's user study (section 4.3): which of two photos of a scene looks better? Create, serve, report.

It stands above `work` and knows none of the rooms beside it; only the command line enters.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
