"""A simulated rig: captures rendered from any photos with exactly known geometry, and a dataset's score against it.

It stands above `work` and knows none of the rooms beside it; only the command line enters.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
