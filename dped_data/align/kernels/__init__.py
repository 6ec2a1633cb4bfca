"""The compiled loops of the alignment; each is held against readable numpy in tests/naive.

They import themselves and `common.jit` alone; only `align` may enter.
"""
