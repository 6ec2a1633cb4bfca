"""What all compiled loops share (leaf)."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from tempfile import TemporaryDirectory
from typing import Any

import numba
import numpy as np
from numba.core.caching import FunctionCache
from numba.core.dispatcher import Dispatcher

from dped_data.progress import note

FAST_MATH = {"reassoc", "nsz", "arcp", "contract", "afn"}
"""Freedoms of the compiler's arithmetic. Not "nnan" and "ninf": they let it drop every test for NaN, and a NaN that
becomes a pixel's index reads outside the photo.

A function with these freedoms, or that calls one, is compiled with `forceinline=True` if another compiled one calls it.
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
    """`numba.njit`; with `cache=True` the code is kept, in a temporary folder where there is no other place for it."""
    kept = options.pop("cache", False)
    decorate = numba.njit(**options)

    def decorated(function: Any) -> Any:
        dispatcher = decorate(function)
        if kept and isinstance(dispatcher, Dispatcher):  # a plain function where the compiler is switched off
            _keep(dispatcher)
        return dispatcher

    return decorated


def _keep(dispatcher: Any) -> None:
    try:
        dispatcher._cache = _Cache(dispatcher.py_func)
    except RuntimeError:  # neither the installation nor the home folder can be written to
        if folder := _temporary_folder():
            # Worker processes inherit the variable.
            numba.config.CACHE_DIR = os.environ["NUMBA_CACHE_DIR"] = folder.name
            dispatcher._cache = _Cache(dispatcher.py_func)


@cache
def _temporary_folder() -> TemporaryDirectory[str] | None:
    """A folder for this run, which nobody else can have put code into; None where there can be none."""
    note(
        "compiled code cannot be kept, neither beside the program nor in a home folder: every run compiles it anew, "
        "for a minute; name a folder of your own for it: NUMBA_CACHE_DIR=DIR"
    )
    try:
        return TemporaryDirectory(prefix="dped-compiled-", ignore_cleanup_errors=True)
    except OSError:
        return None


@njit(cache=True, nogil=True, fastmath=FAST_MATH, forceinline=True)
def dot(a, b):  # type: ignore[no-untyped-def]
    """Return the sum of the products of two float32 vectors."""
    total = np.float32(0.0)
    for i in range(a.size):
        total += a[i] * b[i]
    return total
