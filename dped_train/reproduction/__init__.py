"""The paper's own tables and figures, repeated on any dataset: `dped reproduce`.

It stands on all of the trainer; only the command line enters.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
