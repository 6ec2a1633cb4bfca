"""What a training run carries from step to step: two networks, two optimisers, the running mean, the best so far."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from dped_data.common.foreign_files import typed
from dped_data.errors import InputError
from dped_train.losses import Recipe
from dped_train.networks.compared import PhotoNetwork
from dped_train.networks.dped import Discriminator, initialise
from dped_train.networks.edge_start import initialise_to_edges
from dped_train.networks.identity_start import initialise_as_identity
from dped_train.run.checkpoint import Checkpoint, pack_adam, pack_module, unpack_adam, unpack_module
from dped_train.run.distributed import Process, share_batch_norms
from dped_train.run.methods import Rates, new_network
from dped_train.settings import TrainSettings

Network = TypeVar("Network", bound=nn.Module)

EMA_WARMUP = 10  # ours: in the first steps the decay is (1 + step) / (10 + step), so that the mean forgets the start


@dataclass(frozen=True)
class _Own:
    """What a checkpoint's facts hold of the state, besides its tensors."""

    best_step: int | None
    best_psnr: float | None
    scaler: dict[str, float]


@dataclass
class TrainingState:
    """The mutable state of a run.

    Attributes:
        enhancer, discriminator: the networks, in training mode, channels last.
        mean: the running mean of the enhancer, in evaluation mode: what is validated and saved.
        enhancer_adam, discriminator_adam: their optimisers.
        scaler: scales the loss under fp16, does nothing otherwise.
        best_step, best_psnr: the step of the best validation so far and its PSNR, dB; None before the first.
    """

    enhancer: PhotoNetwork
    discriminator: Discriminator
    mean: PhotoNetwork
    enhancer_adam: torch.optim.Adam
    discriminator_adam: torch.optim.Adam
    scaler: torch.amp.GradScaler
    best_step: int | None = None
    best_psnr: float | None = None

    def start_from(self, model: PhotoNetwork) -> None:
        """Take over the weights of another enhancer of this architecture."""
        for network in (self.enhancer, self.mean):
            network.load_state_dict(model.state_dict())

    def prepare_step(self, rates: Rates, epsilon: float) -> None:
        """Give the optimisers the learning rates of the next step, and what they add to the root of the squares."""
        for adam, rate in ((self.enhancer_adam, rates.enhancer), (self.discriminator_adam, rates.discriminator)):
            for group in adam.param_groups:
                group["lr"], group["eps"] = rate, epsilon

    def follow_mean(self, step: int, decay: float) -> None:
        """Move the mean towards the enhancer after `step` steps."""
        decay = min(decay, (1 + step) / (EMA_WARMUP + step)) if decay else 0.0
        with torch.no_grad():
            torch._foreach_lerp_(list(self.mean.parameters()), list(self.enhancer.parameters()), 1 - decay)
            for mean, buffer in zip(self.mean.buffers(), self.enhancer.buffers(), strict=True):
                mean.copy_(buffer)

    def note_validation(self, step: int, psnr: float | None) -> None:
        """Remember `step` if its validation is the best so far."""
        if psnr is not None and (self.best_psnr is None or psnr > self.best_psnr):
            self.best_step, self.best_psnr = step, psnr

    def pack(self, step: int, facts: dict[str, Any]) -> Checkpoint:
        """The state after `step` steps as a checkpoint; `facts` are stored beside it."""
        tensors = {
            **pack_module("enhancer", self.enhancer),
            **pack_module("discriminator", self.discriminator),
            **pack_module("mean", self.mean),
            **pack_adam("enhancer_adam", self.enhancer_adam),
            **pack_adam("discriminator_adam", self.discriminator_adam),
        }
        own = {"best_step": self.best_step, "best_psnr": self.best_psnr, "scaler": self.scaler.state_dict()}
        return Checkpoint(step, tensors, {**facts, **own})

    def unpack(self, checkpoint: Checkpoint, source: Path) -> None:
        """Take over what `pack` stored; InputError if `source` holds other networks."""
        unpack_module(checkpoint, "enhancer", self.enhancer, source)
        unpack_module(checkpoint, "discriminator", self.discriminator, source)
        unpack_module(checkpoint, "mean", self.mean, source)
        unpack_adam(checkpoint, "enhancer_adam", self.enhancer_adam, source)
        unpack_adam(checkpoint, "discriminator_adam", self.discriminator_adam, source)
        try:
            own = typed(_Own, {name: checkpoint.facts.get(name) for name in ("best_step", "best_psnr", "scaler")})
            if own.scaler and self.scaler.is_enabled():
                self.scaler.load_state_dict(own.scaler)
        except (ValueError, KeyError) as error:
            raise InputError(f"{source}: its facts are not those of a training run ({error}); delete it") from None
        self.best_step, self.best_psnr = own.best_step, own.best_psnr


def begin(settings: TrainSettings, recipe: Recipe, patch_size: int, process: Process, scaled: bool) -> TrainingState:
    """The state before the first step; the same seed gives the same weights on every process."""
    enhancer = new_network(settings.method, recipe, settings.padding, settings.input)
    discriminator = Discriminator(recipe.normalisation, patch_size, recipe.discriminator_outputs)
    initialise(enhancer, settings.seed)
    initialise(discriminator, settings.seed + 1)
    if settings.start == "identity":
        initialise_as_identity(enhancer)
    if settings.discriminator_start == "edges":
        initialise_to_edges(discriminator)
    mean = copy.deepcopy(enhancer)
    for network in (enhancer, discriminator):
        share_batch_norms(network, process.count)
        place(network, process.device).train()
    place(mean, process.device).eval().requires_grad_(False)
    if settings.compile:
        enhancer.compile()
        discriminator.compile()
    return TrainingState(
        enhancer=enhancer,
        discriminator=discriminator,
        mean=mean,
        enhancer_adam=torch.optim.Adam(enhancer.parameters(), settings.learning_rate, fused=True),
        discriminator_adam=torch.optim.Adam(discriminator.parameters(), settings.learning_rate, fused=True),
        scaler=torch.amp.GradScaler(process.device.type, enabled=scaled),
    )


def place(network: Network, device: torch.device) -> Network:
    """Bring a network to `device` with its kernels channels last, the layout of the photos."""
    return network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
