"""Our enhancers in spandrel, the library by which ComfyUI, chaiNNer and others load models of many kinds.

spandrel knows a model by the names of its tensors. `install` tells it ours:

    from dped_train.enhancing.spandrel_support import install

    install()
    model = spandrel.ModelLoader().load_from_file("enhancer.safetensors")

Not said in spandrel's own words, since it is not one of our dependencies: everything of it is looked up when asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from dped_train.enhancing.photos import memory_by_itself
from dped_train.enhancing.streaming import WholePhotoEnhancer, map_bytes_within
from dped_train.networks.dped import CHANNELS, Enhancer, Normalisation, Padding
from dped_train.networks.file import REFLECTED

OUR_NAMES = ("head.weight", "blocks.3.conv2.weight", "blocks.3.norm2.bias", "body1.weight", "body2.weight")


def install() -> None:
    """Tell spandrel's main registry of our enhancers; again does nothing. ImportError where there is no spandrel."""
    import spandrel

    spandrel.MAIN_REGISTRY.add(
        spandrel.ArchSupport.from_architecture(_architecture(spandrel)()), ignore_duplicates=True
    )


def is_ours(tensors: Mapping[str, Tensor]) -> bool:
    """Tell whether these are the weights of an enhancer of photos (not of mosaics)."""
    named = all(name in tensors for name in OUR_NAMES)
    return named and tuple(tensors["head.weight"].shape) == (CHANNELS, 3, 9, 9)


def enhanced(network: Enhancer, photo: Tensor) -> Tensor:
    """(1, 3, H, W) RGB in [0, 1] to the same shape and type, not clipped, in strips: any size in bounded memory.

    Values are taken to 16 bits, 1 / 65535, on the way in: those of files of 8 and 16 bits stay as they are.
    """
    codes = (photo[0].permute(1, 2, 0).float().clamp(0, 1) * 65535).round().to(torch.int32).cpu().numpy()
    codes = codes.astype("uint16")
    memory = memory_by_itself(torch.float32, photo.device)
    maps = map_bytes_within(memory, codes.nbytes, torch.float32, device=photo.device)
    made = WholePhotoEnhancer(network, torch.float32, photo.device).enhance(codes, maps)
    return torch.from_numpy(made).permute(2, 0, 1)[None].to(photo)


def _architecture(spandrel: Any) -> Any:
    """The class that describes our enhancer in the words of `spandrel`."""

    class DpedArch(spandrel.Architecture):
        def __init__(self) -> None:
            super().__init__(id="DPED", detect=is_ours)

        def load(self, state_dict: dict[str, Tensor]) -> Any:
            normalisation: Normalisation = "batch" if "blocks.0.norm1.running_mean" in state_dict else "instance"
            padding: Padding = "reflect" if REFLECTED in state_dict else "zeros"
            return spandrel.ImageModelDescriptor(
                Enhancer(normalisation, padding),
                {name: value for name, value in state_dict.items() if name != REFLECTED},
                architecture=self,
                purpose="Restoration",
                tags=[f"{normalisation} normalisation", f"{CHANNELS}nf"],
                supports_half=False,
                supports_bfloat16=False,
                scale=1,
                input_channels=3,
                output_channels=3,
                tiling=spandrel.ModelTiling.INTERNAL,
                call_fn=enhanced,
            )

    return DpedArch
