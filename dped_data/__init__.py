"""Photos in, shards out: the DPED dataset construction and alignment toolkit."""

__all__ = ["PatchStore", "build_dataset"]


def __getattr__(name: str) -> object:
    """Load the names of __init__.pyi when they are asked for, and lazy_loader too: Ctrl-C is taken over before both."""
    import lazy_loader

    load, _, _ = lazy_loader.attach_stub(__name__, __file__)
    return load(name)
