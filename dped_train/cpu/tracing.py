"""Whether torch is compiling or exporting what runs (leaf)."""

from __future__ import annotations

import torch


def is_traced() -> bool:
    """Whether a compiler or an exporter follows: it wants torch's own operations in their plain form."""
    return bool(torch.compiler.is_compiling() or torch.jit._trace.is_tracing())
