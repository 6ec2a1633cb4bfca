"""Train and use the DPED photo enhancer: patch shards in, models and enhanced photos out."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
