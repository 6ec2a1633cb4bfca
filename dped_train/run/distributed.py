"""Training in several processes started by `torchrun`: who does what, and sums over all of them.

Each process works on its share of every batch; gradients and statistics are summed, so that the result equals that of
one process up to rounding, whatever the shares.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.distributed import nn as differentiable

from dped_data.common.parent import end_with_agent
from dped_train.devices import chosen_device
from dped_train.networks.dped import BatchNorm


@dataclass(frozen=True)
class Process:
    """This process among all: its rank from 0, the number of processes, and the device it computes on."""

    rank: int
    count: int
    device: torch.device

    @property
    def leads(self) -> bool:
        """Whether this is the one process that writes files and shows progress."""
        return self.rank == 0


@contextmanager
def joined_processes(device: str) -> Iterator[Process]:
    """Join the processes that `torchrun` started, or stand alone.

    They stay joined until this process ends: a second training of the same process could not join them anew. A process
    group that the caller has made is used as it is, and left to the caller.

    Args:
        device: "cpu", "cuda", "cuda:1", or "auto" for the first GPU there is. Under torchrun each process takes the
            GPU of its local rank.
    Raises:
        UsageError: no such device here.
    """
    end_with_agent()
    rank, count = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    chosen = chosen_device(device, int(os.environ.get("LOCAL_RANK", "0")) if count > 1 else None)
    if count == 1:
        yield Process(0, 1, chosen)
        return
    if chosen.type == "cuda":
        torch.cuda.set_device(chosen)
    if not torch.distributed.is_initialized():
        torch.distributed.init_process_group("nccl" if chosen.type == "cuda" else "gloo")
        atexit.register(torch.distributed.destroy_process_group)
    yield Process(rank, count, chosen)


def sum_gradients(parameters: Iterable[nn.Parameter], processes: int) -> None:
    """Replace each gradient by its sum over all processes, in one exchange."""
    if processes == 1:
        return
    gradients = [p.grad for p in parameters if p.grad is not None]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    torch.distributed.all_reduce(flat)
    start = 0
    for gradient in gradients:
        gradient.copy_(flat[start : start + gradient.numel()].view_as(gradient))
        start += gradient.numel()


def summed(figures: Tensor, processes: int) -> Tensor:
    """Sum of `figures` over all processes, without gradient."""
    if processes > 1:
        torch.distributed.all_reduce(figures)
    return figures


class SharedBatchNorm(BatchNorm):
    """Batch normalisation whose statistics in training are those of the whole batch, over all processes.

    Each process gives the mean and the variance of its share, and these are merged: the mean of the squares minus the
    square of the mean would lose the variance in float32 wherever it is small beside the mean. torch's own
    SyncBatchNorm refuses the CPU.
    """

    def forward(self, input: Tensor, relu: bool = False, skip: Tensor | None = None) -> Tensor:
        """(N, C, H, W) to the same shape, as `BatchNorm`; N may differ between the processes."""
        if not self.training:
            return super().forward(input, relu, skip)
        x = input.float()
        count, mean, variance = _merged_moments(x)
        self._follow(mean.detach(), variance.detach() * count / (count - 1))
        normal = (x - mean.view(1, -1, 1, 1)) * torch.rsqrt(variance + self.eps).view(1, -1, 1, 1)
        x = (normal * self.weight.view(1, -1, 1, 1) + self.bias.view(1, -1, 1, 1)).to(input.dtype)
        x = torch.relu(x) if relu else x
        return x if skip is None else x + skip

    def _follow(self, mean: Tensor, variance: Tensor) -> None:
        assert self.running_mean is not None and self.running_var is not None and self.momentum is not None
        assert self.num_batches_tracked is not None
        with torch.no_grad():
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance, self.momentum)
            self.num_batches_tracked += 1


def _merged_moments(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Number of values of a channel, mean and variance (C,) of (N, C, H, W) over all processes, with gradient.

    One exchange: every process fills its row of a table of zeros, which is summed.
    """
    variance, mean = torch.var_mean(x, (0, 2, 3), correction=0)
    own = torch.cat([mean, variance, x.new_tensor([x.numel() / x.shape[1]])])
    row = torch.distributed.get_rank()
    table = torch.nn.functional.pad(own[None], (0, 0, row, torch.distributed.get_world_size() - row - 1))
    table = differentiable.all_reduce(table)
    counts = table[:, -1:].detach()
    means, variances = table[:, :-1].chunk(2, dim=1)
    shares = counts / counts.sum()
    whole = (shares * means).sum(0)
    return counts.sum(), whole, (shares * (variances + (means - whole).square())).sum(0)


def share_batch_norms(module: nn.Module, processes: int) -> None:
    """Make the batch normalisations of `module` use statistics over all processes; weights and names stay."""
    if processes == 1:
        return
    for parent in list(module.modules()):
        for name, child in parent.named_children():
            if isinstance(child, BatchNorm):
                shared = SharedBatchNorm(child.num_features)
                shared.load_state_dict(child.state_dict())
                setattr(parent, name, shared.to(next(child.parameters()).device))
