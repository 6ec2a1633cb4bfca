"""First weights with which the enhancer hands the photo through, instead of painting it gray.

With the authors' small random weights the enhancer starts at gray and needs thousands of steps to give back what it
was shown; only then does it begin to improve it. The architecture can pass a photo on: its residual blocks add to what
they get, and the output's tanh is nearly straight. Ours; the losses and the networks stay those of the recipe.
"""

from __future__ import annotations

import torch
from torch import nn

from dped_train.networks import OUTPUT_OFFSET, OUTPUT_SCALE, Enhancer

CARRIERS = 3  # the channels that carry red, green and blue from the head to the tail
BRANCH_SCALE = 0.01  # what the blocks may add to the carriers at first: 1 % of the photo's range. 0 would never learn
TAIL_GAIN = 1.17 / OUTPUT_SCALE  # least squares fit of tanh to a straight line over the photo's range


def hand_photo_through(enhancer: Enhancer) -> None:
    """Change the weights of a freshly initialised `enhancer` so that it returns its input, within about 0.03.

    Every channel but the carriers keeps its random weights, and every weight can still learn.
    """
    with torch.no_grad():
        for layer in (enhancer.head, enhancer.body1, enhancer.body2):
            _carry(layer)
        for block in enhancer.residual_blocks():
            block.norm2.weight[:CARRIERS] = BRANCH_SCALE
        middle = enhancer.tail.weight.shape[-1] // 2
        enhancer.tail.weight[:, :CARRIERS] = 0
        for channel in range(CARRIERS):
            enhancer.tail.weight[channel, channel, middle, middle] = TAIL_GAIN
        bias = enhancer.tail.bias
        assert bias is not None
        bias.fill_(-TAIL_GAIN * OUTPUT_OFFSET)


def _carry(layer: nn.Conv2d) -> None:
    """Let the layer's first channels out be its first channels in."""
    assert layer.bias is not None
    layer.weight[:CARRIERS] = 0
    nn.init.zeros_(layer.bias[:CARRIERS])
    middle = layer.weight.shape[-1] // 2
    for channel in range(CARRIERS):
        layer.weight[channel, channel, middle, middle] = 1
