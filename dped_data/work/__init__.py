"""How a dataset gets onto the disk, whole, whatever happens: units of work, life cycle, crashes, stores.

It stands on `dataset`; `plan`, `build` and `released` enter, and who opens a dataset at an address.
"""
