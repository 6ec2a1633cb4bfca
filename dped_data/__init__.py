"""Photos in, shards out: the DPED dataset construction and alignment toolkit."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
