"""What all compiled loops share."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numba
import numpy as np
from numba.core.caching import FunctionCache
from numba.core.dispatcher import Dispatcher

from dped_data.common.code_cache import find_place

if temporary := find_place():
    numba.config.CACHE_DIR = temporary.name

FAST_MATH = {"reassoc", "nsz", "arcp", "contract", "afn"}
"""Fast-math flags. Not "nnan" and "ninf": with those the compiler drops every test for NaN, and a NaN that becomes a
pixel's index reads outside the photo.

A function with these flags, or that calls one, is compiled with `forceinline=True` if another compiled one calls it.
Otherwise there are several copies of it, each optimised in its own surroundings, and which of them runs depends on what
was loaded first: the last digits of a first run would differ from a second's, which finds everything compiled."""


class _Cache(FunctionCache):
    """Numba's cache, which cannot fail: what cannot be read is compiled anew, what cannot be written is not kept."""

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Return the compiled code for a signature, None where there is none that can be read."""
        try:
            return super().load_overload(sig, target_context)
        except Exception:  # a file that was cut off may raise anything
            with suppress(OSError):
                self.flush()
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep the compiled code, unless there is no room."""
        with suppress(OSError):
            super().save_overload(sig, data)


def njit(**options: Any) -> Callable[[Any], Any]:
    """`numba.njit`; with `cache=True` what is compiled is kept, if there is a place for it (code_cache.py)."""
    kept = options.pop("cache", False)
    decorate = numba.njit(**options)

    def decorated(function: Any) -> Any:
        dispatcher = decorate(function)
        if kept and isinstance(dispatcher, Dispatcher):  # a plain function where the compiler is switched off
            with suppress(RuntimeError):  # no place at all
                dispatcher._cache = _Cache(dispatcher.py_func)
        return dispatcher

    return decorated


@njit(cache=True, nogil=True, forceinline=True)
def copy(source, target):  # type: ignore[no-untyped-def]
    """Copy a vector. For `target[:] = source` numba compiles the words of an error first, two seconds at each place."""
    for i in range(source.size):
        target[i] = source[i]


@njit(cache=True, nogil=True, fastmath=FAST_MATH, forceinline=True)
def dot(a, b):  # type: ignore[no-untyped-def]
    """Return the sum of the products of two float32 vectors."""
    total = np.float32(0.0)
    for i in range(a.size):
        total += a[i] * b[i]
    return total
