"""The entry of `torch.hub`: torch.hub.load("OWNER/dped", "enhancer", "enhancer.safetensors"), also of a clone."""

from typing import Any

dependencies = ["torch", "numpy", "safetensors", "lazy_loader", "filelock", "tqdm"]


def enhancer(model: str | None = None, device: str = "cpu", **kind: Any) -> Any:
    """An enhancer in evaluation mode: (N, 3, H, W) float RGB in [0, 1] to the same shape, not clipped.

    Args:
        model: a model file, or an address on the Hugging Face Hub, hf://OWNER/NAME; None for an untrained one, since no
            weights ship with the code.
        device: where to compute.
        kind: `normalisation`, `padding` and `input` of an untrained one.
    """
    from dped_train import load_enhancer
    from dped_train.networks.dped import Enhancer

    if model is None:
        return Enhancer(**kind).to(device).eval()
    return load_enhancer(model, device)
