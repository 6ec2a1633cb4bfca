"""Memory that is refused is known by whatever words a library has for it."""

from __future__ import annotations

import errno
import os

import cv2
import numpy as np
import pytest
import torch

from dped_data.common.malloc import REFUSED, memory_was_refused, refusals_told, too_many_processes
from dped_data.errors import PhotoError


def decoded_wrongly() -> None:
    try:
        raise MemoryError
    except MemoryError:
        raise PhotoError("a.jpg", "truncated or damaged photo") from None


def raise_(error: Exception) -> None:
    raise error


@pytest.mark.parametrize(
    "refused",
    [
        lambda: np.empty(1 << 50),
        lambda: torch.empty(1 << 60),
        lambda: cv2.resize(np.zeros((9, 9, 3), np.uint8), (2**31 - 1, 2**31 - 1)),
        decoded_wrongly,
        lambda: raise_(RuntimeError("can't start new thread")),
        lambda: raise_(RuntimeError("std::bad_alloc")),
        lambda: raise_(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")),
        lambda: raise_(OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))),
        lambda: raise_(BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))),
        lambda: raise_(ImportError("libx.so: failed to map segment from shared object")),
        lambda: raise_(OSError("Can't synchronously write data (memory allocation failed for chunk)")),
    ],
)
def test_refusals_become_one_error(refused: object) -> None:
    with pytest.raises(MemoryError, match="memory was refused") as caught, refusals_told():
        refused()  # type: ignore[operator]
    assert type(caught.value) is MemoryError and str(caught.value) == REFUSED


@pytest.mark.parametrize(
    "error",
    [
        PhotoError("out of memory.jpg", "truncated or damaged photo"),
        ValueError("not enough memory of this name"),
        RuntimeError("shapes differ"),
        OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
    ],
)
def test_other_errors_stay(error: Exception) -> None:
    assert not memory_was_refused(error)
    with pytest.raises(type(error)) as caught, refusals_told():
        raise error
    assert caught.value is error


def test_a_single_process_is_not_told_to_be_fewer() -> None:
    assert too_many_processes("it was killed", 1) == f"it was killed, most likely for want of memory; {REFUSED}"
    assert "with fewer processes than the 2 of this run (--jobs)" in too_many_processes("it was killed", 2)
